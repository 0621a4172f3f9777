"""Installing again on a Mac: upgrades, what is brought back, what is mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.macos.mac import ACCOUNT, NAME, ROOT, Mac
from tests.macos.sources import BREAKS, changed_source
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
OWN = f"{ACCOUNT}:{ACCOUNT}"
Macs = Callable[..., Mac]
Bundles = Callable[..., Path]


def test_the_next_run_waits_until_launchd_has_let_go(mac: Mac, each_shell: str, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    before = len(mac.calls("launchctl"))
    done = mac.install("--bundle", bundle, MAC_LEAVING="7")
    assert (0, "") == (done.returncode, done.stderr)
    calls = [call.split()[0] for call in mac.calls("launchctl")[before:]]
    expected = ["print", "bootout", *["print"] * 8, "enable", "bootstrap", "kickstart", "print", "print"]
    assert expected == calls


def test_a_job_that_launchd_does_not_let_go_is_reported(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    done = mac.install("--bundle", bundle, MAC_LEAVING="1000")
    assert (1, "start: the service cannot be stopped\n") == (done.returncode, done.stderr)
    assert 2 == len([call for call in mac.calls("launchctl") if call.startswith(("bootout", "bootstrap"))])


def test_a_job_that_runs_without_a_plist_is_taken_over(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    mac.plist.unlink()
    assert 0 == mac.install("--bundle", bundle).returncode
    assert mac.plist.exists()
    assert mac.runs()


def test_an_upgrade_keeps_the_configuration_and_replaces_the_program(
    new_mac: Macs, each_shell: str, bundle: Path, new_bundle: Bundles, tmp_path: Path
) -> None:
    """The bundle is one with a newer certificate for the same thing, which takes the place of the one that is there."""
    mac = new_mac()
    mac.install("--bundle", bundle)
    old, job = mac.version(), mac.job()
    kept = {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    mac.source = changed_source(tmp_path / "new", "pass  # a new version")
    done = mac.install("--bundle", new_bundle(format="cbor"))
    assert (0, "") == (done.returncode, done.stderr)
    assert old != mac.version()
    assert [mac.version()] == [path.name for path in (mac.program / "versions").iterdir()]
    now = {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    assert kept == {name: now.get(f"{name}.old") for name in kept}
    assert {"certificate.pem", "private.key"} == {name for name in kept if now[name] != kept[name]}
    assert "kept, with the newer certificate and key from " in done.stdout
    assert OWN == mac.owner(mac.etc / "private.key")
    assert b'"cbor"' in now[f"{NAME}.json.new"]
    assert job != mac.job()
    assert mac.runs()


def test_a_new_version_that_does_not_start_gives_way_to_the_old_one(
    mac: Mac, each_shell: str, bundle: Path, tmp_path: Path
) -> None:
    mac.install("--bundle", bundle)
    old = mac.version()
    mac.source = changed_source(tmp_path / "broken", BREAKS, "    sys.exit(1)")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert f"restored {old}, which is running" in done.stderr
    assert (old, OWN) == (mac.version(), mac.owner(mac.etc / "private.key"))
    assert mac.runs()
    assert not (mac.program / "previous").exists()


def test_a_first_version_that_does_not_start_says_where_to_look(mac: Mac, bundle: Path, tmp_path: Path) -> None:
    mac.source = changed_source(tmp_path / "broken", BREAKS, "    sys.exit('it is broken')")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "does not start" in done.stderr
    assert f"{mac.program}/stderr.log" in done.stderr
    assert (mac.program / "stderr.log").read_text().startswith("it is broken\n")


def test_a_damaged_installation_is_repaired(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    program = mac.program / "versions" / mac.version()
    (program / "venv" / "bin" / "python").unlink()
    shutil.rmtree(mac.program / "bin")
    (program / "defender_publisher" / "errors.py").write_text("")
    mac.plist.write_text("")
    (mac.program / "stderr.log").unlink()
    shutil.rmtree(mac.program / "state")
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    assert (ROOT / "installers" / mac.plist.name).read_bytes() == mac.plist.read_bytes()
    assert mac.runs()


def test_each_program_that_was_started_but_the_last_has_ended(mac: Mac, bundle: Path) -> None:
    for _ in range(3):
        mac.install("--bundle", bundle)
    assert wait_until(lambda: len(mac.running()) == 1)
