"""The Linux installer in machines with a real systemd, from a minimal image to nothing left: the whole story.

A machine here has no network but a line to its cloud, and Python packages from the wheelhouse only.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.chaos.network import CLOUD_ADDRESS
from tests.installers.releases import BROKEN, BROKEN_LATER, new_release
from tests.installers.site import (
    BUNDLED,
    COMMAND,
    CONFIG,
    ETC,
    PROGRAM,
    SOURCE,
    STATE,
    STEPS,
    UNIT,
    WITHIN,
    NewSite,
    Run,
    Site,
    steps_of,
    verdict_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]

MOST_EXPOSED = 1.5  # by systemd-analyze, of 10
WATCHDOG = 2  # seconds in the test of it, instead of a minute


def test_a_minimal_image_becomes_a_service_whose_first_report_is_accepted(first_run: tuple[list[Path], Run]) -> None:
    done = first_run[1]
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert list(STEPS) == steps_of(done.stdout), "one line a step"
    assert 10 == len(done.stdout.splitlines())
    assert done.stdout.endswith(f" accepted by {CLOUD_ADDRESS}\n"), "which is none of AWS's"


def test_status_and_doctor_of_root_find_nothing_wrong(site: Site) -> None:
    status, doctor = (site.machine.run(COMMAND, question) for question in ("--status", "--doctor"))
    assert 0 == status.returncode, status.stdout + status.stderr
    assert status.stdout.startswith("healthy: ")
    assert "has changed since" not in status.stdout, "the key that systemd hands over makes no other configuration"
    assert 0 == doctor.returncode, doctor.stdout + doctor.stderr


def test_a_dry_run_by_nobody_changes_nothing(new_site: NewSite, minimal_root: Path) -> None:
    site = new_site(minimal_root).open()
    before = site.every_file()
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    identity = ["--endpoint=e", "--thing-name=t", "--certificate=/etc/hostname", "--private-key=/etc/hostname"]
    done = site.machine.run(*as_nobody, "bash", f"{SOURCE}/installers/install-rpi.bash", "--dry-run", *identity)
    assert 0 == done.returncode, done.stderr
    assert list(STEPS) == steps_of(done.stdout)
    assert "apt-get" in done.stdout
    assert before == site.every_file()


def test_the_unit_is_verified_without_a_word_and_hardly_exposed(site: Site) -> None:
    verified = site.machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
    assert (0, "") == (verified.returncode, verified.stderr)
    exposure = site.machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", exposure)
    assert found is not None, exposure
    assert float(found[1]) <= MOST_EXPOSED, exposure


def test_a_second_run_keeps_configuration_keys_and_program(site: Site) -> None:
    site.write(CONFIG, site.read(CONFIG).replace('"cpu_usage": {}', '"cpu_usage": {}, "uptime": {}'))
    before = {
        name: site.read(ETC / name) for name in ("amazon-defender-publisher.json", "certificate.pem", "private.key")
    }
    version = site.version()
    done = site.install(*BUNDLED)
    assert " accepted by " in verdict_of(done)
    assert before == {name: site.read(ETC / name) for name in before}
    assert version == site.version()
    assert "is there already" in done.stdout
    assert '"uptime"' not in site.read(f"{CONFIG}.new"), "the new default is beside the one that is kept"


@pytest.mark.parametrize(
    "damage",
    [
        "rm -rf {venv}/lib/*/site-packages/cbor2",
        "rm {venv}/bin/python",
        "mv {venv}/lib/python3* {venv}/lib/python3.6",
    ],
    ids=["a package is lost", "Python is lost", "the system's Python is another one"],
)
def test_a_broken_environment_is_repaired(site: Site, damage: str) -> None:
    site.machine.run("sh", "-c", damage.format(venv=PROGRAM / "current" / "venv"), check=True)
    assert " accepted by " in verdict_of(site.install())
    site.wait_for_report()


@pytest.mark.parametrize("program", [BROKEN, BROKEN_LATER], ids=["at once", "a second after it was ready"])
def test_a_new_version_that_does_not_start_is_taken_back(site: Site, program: str) -> None:
    old, unit = site.version(), site.read(f"/etc/systemd/system/{UNIT}")
    new_release(site, "/later", program)
    site.write(
        "/later/installers/amazon-defender-publisher.service", unit.replace("[Unit]", "[Unit]\n# of the later one")
    )
    done = site.install(source="/later")
    assert 1 == done.returncode, done.stdout
    assert f"does not start; restored {old}, which is running" in done.stderr
    assert "I am broken" in done.stderr
    assert (old, unit) == (site.version(), site.read(f"/etc/systemd/system/{UNIT}"))
    assert [old] == site.machine.run("ls", PROGRAM / "versions").stdout.split()
    site.wait_for_report()


def test_a_frozen_daemon_is_started_again_by_the_watchdog(site: Site) -> None:
    site.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    site.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", f"[Service]\nWatchdogSec={WATCHDOG}\nRestartSec=1\n")
    site.machine.run("systemctl", "daemon-reload", check=True)
    site.machine.run("systemctl", "restart", UNIT, check=True)
    pid = site.pid()
    site.wait_for_report()
    site.kill("STOP", pid)
    deadline = time.monotonic() + 30
    while site.pid() in (0, pid):
        assert time.monotonic() < deadline, site.journal()
        time.sleep(0.2)
    site.wait_for_report()
    assert "watchdog" in site.journal().lower()


def test_reports_go_on_after_the_broker_was_restarted(site: Site) -> None:
    pid = site.pid()
    site.stop_broker()
    time.sleep(3.0)
    site.start_broker()
    site.wait_for_report()
    assert pid == site.pid()


def test_after_a_reboot_it_is_there_by_itself_also_when_the_network_comes_later(site: Site) -> None:
    site.machine.switch_off()
    site.network.unplug()
    site.machine.boot()
    assert "active" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()
    assert "not connected" in site.machine.run("systemctl", "show", "-P", "StatusText", UNIT).stdout
    site.network.plug_in()
    site.wait_for_report()


def test_what_is_removed_keeps_its_identity_and_comes_back_with_it(site: Site) -> None:
    before = {
        name: site.read(ETC / name) for name in ("amazon-defender-publisher.json", "certificate.pem", "private.key")
    }
    done = site.uninstall()
    assert 0 == done.returncode, done.stderr
    assert f"kept (--purge removes it): {ETC} {PROGRAM}/logs {STATE}" in done.stdout
    assert "aws iot update-certificate --new-status INACTIVE --certificate-id " in done.stdout
    assert 0 != site.machine.run("systemctl", "cat", UNIT).returncode
    assert ["etc", "logs"] == site.machine.run("ls", PROGRAM).stdout.split()
    assert before == {name: site.read(ETC / name) for name in before}
    again = site.uninstall()
    assert (0, "") == (again.returncode, again.stderr)
    assert " accepted by " in verdict_of(site.install())


def test_a_purge_leaves_nothing(new_site: NewSite, minimal_root: Path, first_run: tuple[list[Path], Run]) -> None:
    site = new_site(minimal_root).open()
    site.machine.run(
        *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", "--no-install-recommends"),
        "python3-venv",
        check=True,
        within=110,
    )
    accounts = [f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")]
    before = site.every_file(), [site.read(path) for path in accounts]
    assert " accepted by " in verdict_of(site.install(*BUNDLED))
    site.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    done = site.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    after = site.every_file(), [site.read(path) for path in accounts]
    assert before[0] == after[0]
    assert before[1] == after[1]
    shown = site.machine.run("systemctl", "show", "--property=LoadState,ActiveState", UNIT).stdout
    assert {"LoadState=not-found", "ActiveState=inactive"} == set(shown.split())
    assert "" == site.machine.run("systemctl", "list-unit-files", "--no-legend", "amazon*").stdout
    again = site.uninstall("--purge")
    assert (0, "") == (again.returncode, again.stderr)
    assert "aws iot" not in again.stdout
