"""The second job on a Mac, which sends metrics and files to CloudWatch: installed, kept, left out and removed."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from tests.macos.mac import LABEL, NAME, ROOT, Mac

pytestmark = pytest.mark.slow

SECOND = "com.amazonaws.amazon-defender-cloudwatch"
PLIST = ROOT / "installers" / f"{SECOND}.plist"


@pytest.fixture
def bundle(new_bundle: Callable[..., Path]) -> Path:
    """The bundle of a thing whose metrics are wanted."""
    path = new_bundle(region="eu-west-1")
    with tarfile.open(path) as tar:
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    config = json.loads(files[f"{NAME}.json"])
    files[f"{NAME}.json"] = json.dumps({**config, "metrics": {"namespace": "System/Macs"}}).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path


def jobs_of(mac: Mac) -> set[str]:
    """Return the labels of the jobs that launchd has."""
    path = mac.state / "launchd.json"
    return set(json.loads(path.read_text())["jobs"]) if path.exists() else set()


def test_the_second_job_runs_is_kept_left_out_and_removed(mac: Mac, bundle: Path) -> None:
    before = mac.tree()
    done = mac.install("--bundle", bundle, "--cloudwatch")
    assert (0, "") == (done.returncode, done.stderr)
    assert "and amazon-defender-cloudwatch" in done.stdout
    assert {LABEL, SECOND} == jobs_of(mac)
    assert "state = running" in mac.run_tool("launchctl", "print", f"system/{SECOND}").stdout
    daemons = mac.root / "Library" / "LaunchDaemons"
    assert PLIST.read_bytes() == (daemons / PLIST.name).read_bytes()
    assert 0 == mac.install().returncode
    assert {LABEL, SECOND} == jobs_of(mac), "without the option, too"
    assert 0 == mac.install("--no-cloudwatch").returncode
    assert {LABEL} == jobs_of(mac)
    assert not (daemons / PLIST.name).exists()
    assert 0 == mac.install("--cloudwatch").returncode
    done = mac.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert set() == jobs_of(mac)
    made = {"opt", "Library", "Library/LaunchDaemons", "etc", "etc/newsyslog.d"}
    assert set(before) == {*mac.tree()} - made


def test_without_anything_to_send_nothing_is_started(mac: Mac, new_bundle: Callable[..., Path]) -> None:
    done = mac.install("--bundle", new_bundle(region="eu-west-1"), "--cloudwatch")
    assert (1, True) == (done.returncode, "there is nothing to send to CloudWatch" in done.stderr)
    assert set() == jobs_of(mac)
