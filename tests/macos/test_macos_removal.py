"""Taking the service off a Mac again, in each shell that it may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.macos.mac import LABEL, NAME, Mac
from tests.macos.test_macos_quick import MADE
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
TARGET = f"system/{LABEL}"


def test_configuration_keys_state_and_log_stay_and_are_named(mac: Mac, each_shell: str, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    kept = {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    done = mac.uninstall()
    assert (0, "") == (done.returncode, done.stderr)
    assert kept == {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    assert ["etc", "logs", "state"] == sorted(path.name for path in mac.program.iterdir())
    for directory in (mac.etc, mac.program / "logs", mac.program / "state"):
        assert str(directory) in done.stdout
    assert (False, False) == (mac.plist.exists(), mac.rotation.exists())
    assert mac.account() is not None


def test_the_service_has_ended_before_its_files_go(mac: Mac, each_shell: str, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    before = len(mac.calls("launchctl"))
    mac.uninstall(MAC_LEAVING="4")
    calls = [call.split()[0] for call in mac.calls("launchctl")[before:] if call.endswith(LABEL)]
    assert ["print", "bootout", *["print"] * 5] == calls
    assert mac.job() is None
    assert wait_until(lambda: not mac.running())


def test_a_job_whose_plist_is_gone_is_ended_too(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    mac.plist.unlink()
    assert 0 == mac.uninstall().returncode
    assert mac.job() is None


def test_the_certificate_that_is_still_active_is_named(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    done = mac.uninstall()
    assert "The certificate is still active in AWS IoT." in done.stdout
    assert "aws iot update-certificate --new-status INACTIVE --certificate-id " in done.stdout


@pytest.mark.parametrize("purge", [[], ["--purge"]])
def test_the_second_time_there_is_nothing_to_do(mac: Mac, bundle: Path, purge: list[str]) -> None:
    mac.install("--bundle", bundle)
    mac.uninstall(*purge)
    before = mac.tree()
    calls = len(mac.lines("log"))
    done = mac.uninstall(*purge)
    assert (0, "") == (done.returncode, done.stderr)
    assert before == mac.tree()
    changing = [line for line in mac.lines("log")[calls:] if " -delete" in line or "bootout" in line]
    assert [] == changing


def test_on_a_mac_that_never_had_it_nothing_happens(mac: Mac, each_shell: str) -> None:
    before = mac.tree()
    for arguments in ([], ["--purge"]):
        done = mac.uninstall(*arguments)
        assert (0, "") == (done.returncode, done.stderr)
    assert before == mac.tree()


@pytest.mark.parametrize("before_that", [[], ["without --purge"]])
def test_a_purge_leaves_neither_file_nor_account_nor_job(
    mac: Mac, each_shell: str, bundle: Path, before_that: list[str]
) -> None:
    before, accounts = mac.tree(), mac.accounts()
    mac.install("--bundle", bundle)
    (mac.program / "stderr.log.0.bz2").touch()  # as newsyslog leaves it
    for _ in before_that:
        mac.uninstall()
    done = mac.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert set(before) == {*mac.tree()} - MADE
    assert accounts == mac.accounts()
    assert mac.job() is None
    assert wait_until(lambda: not mac.running())


def test_what_is_the_operators_own_is_not_purged(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    mine = mac.program.parent / "another-program" / "file"
    mine.parent.mkdir()
    mine.touch()
    mac.uninstall("--purge")
    assert mine.exists()
    assert not mac.program.exists()


def test_a_dry_run_of_the_removal_changes_nothing_and_tells_of_all_of_it(
    mac: Mac, each_shell: str, bundle: Path
) -> None:
    mac.install("--bundle", bundle)
    before = {name: what for name, what in mac.tree().items() if not name.startswith(f"opt/aws/{NAME}/logs")}
    done = mac.uninstall("--purge", "--dry-run")
    assert (0, "") == (done.returncode, done.stderr)
    after = mac.tree()
    assert {name: after[name][0] for name in before} == {name: what[0] for name, what in before.items()}
    assert mac.runs()
    for command in (f"launchctl bootout {TARGET}", "dscl . -delete /Users/_amazon-defender", f"rm -f {mac.plist}"):
        assert command in done.stdout.replace("'", "").replace(f"{mac.root}/bin/", "")


def test_without_a_python_it_is_removed_all_the_same(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    (mac.state / "no-developer-tools").touch()
    done = mac.uninstall("--purge")
    assert 0 == done.returncode
    assert not mac.program.exists()
    assert "--certificate-id" not in done.stdout  # which takes a Python: none was run, and so no window opened


def test_what_was_removed_can_be_installed_again_with_what_was_kept(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    mac.uninstall()
    done = mac.install()
    assert (0, "") == (done.returncode, done.stderr)
    assert mac.runs()
