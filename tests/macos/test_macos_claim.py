"""A Mac that gets its certificate by its fleet's claim, and has it replaced, against a double of AWS IoT."""

from __future__ import annotations

import os
import plistlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.authority import Authority
from tests.fakes.provisioning import ACTIVE, DENIED, INACTIVE, ProvisioningBroker
from tests.installers.claims import write_claim
from tests.macos.mac import ACCOUNT, LABEL, ROOT, Mac
from tests.macos.test_macos_cloudwatch import jobs_of
from tests.macos.test_macos_quick import MADE, STEPS
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
THING = "osx-c02xk"
ROTATION = "com.amazonaws.amazon-defender-rotation"
CLAIMED = [*STEPS[:7], "provision", *STEPS[7:]]
OWN = f"{ACCOUNT}:{ACCOUNT}"


@pytest.fixture
def cloud(tmp_path: Path, authority: Authority) -> Iterator[ProvisioningBroker]:
    """AWS IoT on loopback, as far as a device that provisions itself sees it."""
    broker = ProvisioningBroker(tmp_path, authority)
    yield broker
    broker.close()


@pytest.fixture
def claim(tmp_path: Path, cloud: ProvisioningBroker) -> Path:
    """The claim of a fleet, whose things are named after a serial number."""
    instance = {"prefix": "osx", "command": "echo C02XK"}
    return write_claim(tmp_path / "claim.tar", cloud, "localhost", cloud.port, instance=instance)


def pair_of(mac: Mac) -> tuple[bytes, bytes]:
    """Return certificate and key that are in force."""
    return (mac.etc / "certificate.pem").read_bytes(), (mac.etc / "private.key").read_bytes()


def test_a_mac_makes_its_key_gets_its_certificate_and_reports(mac: Mac, cloud: ProvisioningBroker, claim: Path) -> None:
    before = mac.tree()
    done = mac.install("--claim", claim, "--forget-claim")
    assert (0, "") == (done.returncode, done.stderr)
    assert CLAIMED == re.findall(r"^ *\d+/11  (\S+)", done.stdout, re.MULTILINE)
    assert re.search(r" report \d+ accepted by localhost$", done.stdout.splitlines()[-1])
    assert (1, 1) == (cloud.keys, len(cloud.of(THING)))
    assert OWN == mac.owner((mac.etc / "private.key").resolve()), "launchd hands over no key"
    assert {
        "amazon-defender-publisher.json",
        "certificate.pem",
        "identities",
        "identity",
        "private.key",
        "roots.pem",
    } == {path.name for path in mac.etc.iterdir()}
    assert {LABEL, ROTATION} == jobs_of(mac)
    etc, pair = {path: path.lstat().st_mtime_ns for path in mac.etc.rglob("*") if path.is_file()}, pair_of(mac)
    done = mac.install("--claim", claim, "--forget-claim")
    assert (0, "") == (done.returncode, done.stderr)
    assert f"already provisioned as {THING}; nothing was changed" in done.stdout
    assert (etc, pair) == (
        {path: path.lstat().st_mtime_ns for path in mac.etc.rglob("*") if path.is_file()},
        pair_of(mac),
    )
    done = mac.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert set() == jobs_of(mac)
    assert set(before) == {*mac.tree()} - MADE


def test_a_mac_that_is_refused_says_so_last_and_goes_on_once_it_is_allowed(
    mac: Mac, cloud: ProvisioningBroker, claim: Path
) -> None:
    cloud.next_answers["register"] = [DENIED]
    done = mac.install("--claim", claim)
    assert 77 == done.returncode
    assert done.stderr.startswith("provision: ")
    assert "AccessDenied" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert mac.job() is None
    done = mac.install("--claim", claim)
    assert (0, "") == (done.returncode, done.stderr)
    assert (1, 1) == (cloud.keys, len(cloud.of(THING)))


def test_a_wish_replaces_the_pair_and_the_service_goes_on(mac: Mac, cloud: ProvisioningBroker, claim: Path) -> None:
    mac.install("--claim", claim)
    old, before = pair_of(mac), mac.job()
    assert 0 == mac.run_tool("launchctl", "kickstart", f"system/{ROTATION}").returncode
    assert wait_until(lambda: "due" in said(mac))
    assert (old, before) == (pair_of(mac), mac.job()), "which is not touched where nothing is due"
    cloud.wish("2026-12-01T10:00:00Z")
    cloud.drop()  # so that the service asks for its shadow again
    assert wait_until((mac.program / "state" / "rotation-wanted.json").exists)
    assert 0 == mac.run_tool("launchctl", "kickstart", "-k", f"system/{ROTATION}").returncode
    assert wait_until(lambda: cloud.kept.committed != [] and mac.runs()), said(mac)
    assert (1, 1) == (len(cloud.of(THING, ACTIVE)), len(cloud.of(THING, INACTIVE)))
    assert old != pair_of(mac)
    assert OWN == mac.owner((mac.etc / "private.key").resolve())
    assert "identities/b" == os.readlink(mac.etc / "identity")
    assert wait_until(lambda: "accepted" in mac.run_tool("launchctl", "print", f"system/{LABEL}").stdout or mac.runs())


def said(mac: Mac) -> str:
    """Return what the job that rotates has said."""
    path = mac.program / "stderr-rotation.log"
    return path.read_text() if path.exists() else ""


def test_the_job_that_rotates_is_roots_and_looks_once_a_day_and_at_each_wish() -> None:
    job = plistlib.loads((ROOT / "installers" / f"{ROTATION}.plist").read_bytes())
    assert (86400, False) == (job["StartInterval"], "UserName" in job)
    assert ["/opt/aws/amazon-defender-publisher/state/rotation-wanted.json"] == job["WatchPaths"]
