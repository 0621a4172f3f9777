"""The second service, which sends metrics and logs to CloudWatch, in machines with a real systemd.

AWS's doubles listen on the loopback of the machine's own network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.authority import Authority
from tests.chaos.network import CLOUD_ADDRESS
from tests.cloudwatch.doubles import ALIAS, Double, answer_as_provider, provider_context
from tests.installers.releases import BROKEN_LATER, new_release
from tests.installers.site import (
    BUNDLE,
    ETC,
    PORT,
    PROGRAM,
    THING,
    UNIT,
    WITHIN,
    Site,
    verdict_of,
    write_bundle,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]

SECOND = "amazon-defender-cloudwatch.service"
DROP_IN = f"/etc/systemd/system/{SECOND}.d"
MOST_EXPOSED = 1.5  # by systemd-analyze, of 10
SENT_WITHIN = 60.0  # seconds
LOG = "/var/log/of-the-system.log"
SECTIONS = {
    "metrics": {"namespace": "System/Tests"},
    "logs": {
        "log_group_name": "/system/{thing_name}",
        "logs_collected": {"files": {"collect_list": [{"file_path": LOG, "from": "start"}]}, "journal": True},
    },
}


class Aws:
    """The credentials provider, and the API of CloudWatch and its logs, as a machine reaches them."""

    def __init__(self, provider: Double, api: Double) -> None:
        self.provider, self.api = provider, api

    def messages(self) -> list[str]:
        """Return the lines that were sent."""
        return [each["message"] for body in self._bodies("PutLogEvents") for each in body["logEvents"]]

    def metrics(self) -> set[str]:
        """Return the names of the metrics that were sent."""
        return {each["MetricName"] for body in self._bodies("PutMetricData") for each in body["MetricData"]}

    def _bodies(self, operation: str) -> list[Any]:
        asked = [each for each in self.api.requests if each.headers.get("x-amz-target", "").endswith(operation)]
        return [each.document for each in asked]


@pytest.fixture
def aws(site: Site, authority: Authority) -> Iterator[Aws]:
    """AWS, on the machine's loopback."""
    with site.network.device.entered():
        provider, api = Double(answer_as_provider, provider_context(authority)), Double(lambda *_: (200, {}))
        with provider, api:
            yield Aws(provider, api)


@pytest.fixture
def second(site: Site, aws: Aws, bundles: Path, authority: Authority) -> Site:
    """A machine on which both services run."""
    files = {"certificate": "certificate.pem", "private_key": "private.key", "root_ca": "roots.pem"}
    credentials = {"endpoint": f"localhost:{aws.provider.port}", "role_alias": ALIAS}
    agent = {
        "authentication": {"endpoint": CLOUD_ADDRESS, "port": PORT, **files, "credentials": credentials},
        "region": "eu-west-1",
        "logs_collection_interval": 1,
    }
    write_bundle(bundles / "cloudwatch.tar", authority, THING, SECTIONS, **agent)
    site.machine.run("mkdir", "-p", DROP_IN, check=True)
    site.write(f"{DROP_IN}/double.conf", f"[Service]\nEnvironment=AWS_ENDPOINT_URL=http://localhost:{aws.api.port}\n")
    site.write(LOG, "what only adm may read\n")
    site.machine.run("chown", "root:adm", LOG, check=True)
    site.machine.run("chmod", "640", LOG, check=True)
    done = site.install("--bundle", f"{BUNDLE}/cloudwatch.tar", "--replace", "--cloudwatch")
    assert " accepted by " in verdict_of(done)
    return site


def wait_until(holds: Callable[[], bool], site: Site) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + SENT_WITHIN
    while not holds():
        assert time.monotonic() < deadline, site.machine.run("journalctl", "-u", SECOND).stdout
        time.sleep(0.2)


def groups_of(site: Site, unit: str) -> set[str]:
    """Return the names of the groups that the process of a service is in."""
    pid = site.machine.run("systemctl", "show", "-P", "MainPID", unit, check=True).stdout.strip()
    (line,) = re.findall(r"^Groups:(.*)$", site.read(f"/proc/{pid}/status"), re.MULTILINE)
    said = [site.machine.run("getent", "group", number, check=True).stdout for number in line.split()]
    return {each.partition(":")[0] for each in said}


def test_logs_that_only_adm_may_read_the_journal_and_metrics_are_sent_by_the_second_service_alone(
    second: Site, aws: Aws
) -> None:
    second.machine.run("systemd-cat", "echo", "said to the journal", check=True)
    wanted = {"what only adm may read", "said to the journal"}
    wait_until(lambda: wanted <= {*aws.messages()} and "MemoryUsed" in aws.metrics(), second)
    assert {"adm", "systemd-journal"} <= groups_of(second, SECOND)
    assert not {"adm", "systemd-journal"} & groups_of(second, UNIT)
    with_group = second.machine.run("id", "-Gn", "amazon-defender-publisher", check=True).stdout.split()
    assert ["amazon-defender-publisher"] == with_group
    assert "active" == second.machine.run("systemctl", "is-active", SECOND).stdout.strip()
    checked = second.machine.run(f"{PROGRAM}/bin/amazon-defender-cloudwatch", "--check-config")
    assert (0, True) == (checked.returncode, f"thing name = {THING}" in checked.stdout), checked.stderr


def test_the_second_unit_is_verified_without_a_word_and_hardly_exposed(second: Site) -> None:
    verified = second.machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{SECOND}")
    assert (0, "") == (verified.returncode, verified.stderr)
    exposure = second.machine.run("systemd-analyze", "security", "--no-pager", SECOND).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", exposure)
    assert found is not None, exposure
    assert float(found[1]) <= MOST_EXPOSED, exposure


def test_without_anything_to_send_it_is_refused_before_anything_is_changed(site: Site) -> None:
    before = site.pid()
    done = site.install("--cloudwatch")
    assert 1 == done.returncode
    assert "configuration: amazon-defender-cloudwatch cannot use it" in done.stderr
    assert "there is nothing to send to CloudWatch: give metrics.namespace" in done.stderr
    assert (before, True) == (site.pid(), 0 != site.machine.run("systemctl", "cat", SECOND).returncode)


def test_an_upgrade_keeps_the_second_service_takes_it_back_with_the_first_and_leaves_it_out_when_told_to(
    second: Site, aws: Aws
) -> None:
    assert " accepted by " in verdict_of(second.install(source=new_release(second, "/later")))
    new = second.version()
    assert new.startswith("9.")
    second.machine.run("sh", "-c", f"echo after the upgrade >> {LOG}", check=True)
    wait_until(lambda: "after the upgrade" in aws.messages(), second)
    assert 1 == aws.messages().count("what only adm may read"), "where reading stands is kept"
    new_release(second, "/broken")
    second.write("/broken/amazon-defender-cloudwatch", BROKEN_LATER)
    done = second.install(source="/broken")
    assert (1, True) == (done.returncode, f"does not start; restored {new}, which is running" in done.stderr)
    assert "I am broken" in done.stderr
    assert (new, "active") == (second.version(), second.machine.run("systemctl", "is-active", SECOND).stdout.strip())
    assert " accepted by " in verdict_of(second.install("--no-cloudwatch", source="/later"))
    assert 0 != second.machine.run("systemctl", "is-active", SECOND).returncode
    assert "" == second.machine.run("sh", "-c", f"ls /etc/systemd/system/{SECOND} 2>/dev/null").stdout


def test_a_purge_leaves_nothing_of_both(second: Site) -> None:
    done = second.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    left = second.machine.run(
        "sh", "-c", f"ls -d {PROGRAM} {ETC} /etc/systemd/system/amazon* /var/lib/amazon* /opt/aws"
    )
    assert "" == left.stdout
    assert "" == second.machine.run("systemctl", "list-unit-files", "--no-legend", "amazon*").stdout
    assert 0 != second.machine.run("getent", "passwd", "amazon-defender-publisher").returncode
