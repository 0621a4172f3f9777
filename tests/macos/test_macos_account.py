"""The account that the service runs as on a Mac: hidden, powerless, with an id of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.macos.mac import ACCOUNT, Mac

pytestmark = pytest.mark.slow


def test_the_account_is_hidden_and_cannot_log_in(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    expected = {
        "UniqueID": "400", "PrimaryGroupID": "400", "UserShell": "/usr/bin/false", "NFSHomeDirectory": "/var/empty",
        "IsHidden": "1", "Password": "*", "RealName": "AWS IoT Device Defender",
    }  # fmt: skip
    assert expected == mac.account()
    assert {"PrimaryGroupID": "400", "Password": "*", "RealName": "AWS IoT Device Defender"} == mac.account("Groups")


def test_an_id_that_an_account_or_a_group_has_is_not_taken(mac: Mac, bundle: Path) -> None:
    mac.add_account("_a", 400)
    mac.add_account("_b", 401)
    shutil.rmtree(mac.state / "dscl" / "Users" / "_b")  # there is only the group
    mac.add_account("_c", 402)
    shutil.rmtree(mac.state / "dscl" / "Groups" / "_c")  # there is only the account
    mac.install("--bundle", bundle)
    assert ("403", "403") == ((mac.account() or {})["UniqueID"], (mac.account("Groups") or {})["PrimaryGroupID"])


def test_when_no_id_is_free_one_sentence_says_so(mac: Mac, bundle: Path) -> None:
    for number in range(400, 500):
        mac.add_account(f"_{number}", number)
    done = mac.install("--bundle", bundle)
    assert (1, f"user: there is no free id from 400 to 499 for {ACCOUNT}\n") == (done.returncode, done.stderr)
    assert mac.job() is None


def test_an_account_that_was_made_only_in_part_is_completed(mac: Mac, bundle: Path) -> None:
    record = mac.state / "dscl" / "Users" / ACCOUNT
    record.mkdir()
    group = mac.state / "dscl" / "Groups" / ACCOUNT
    group.mkdir()
    (group / "PrimaryGroupID").write_text("444\n")
    assert 0 == mac.install("--bundle", bundle).returncode
    account = mac.account() or {}
    assert ("444", "444", "1", "/usr/bin/false") == tuple(
        account[key] for key in ("UniqueID", "PrimaryGroupID", "IsHidden", "UserShell")
    )


@pytest.mark.parametrize(("times", "status"), [(14, 0), (16, 1)])
def test_an_account_that_is_not_known_at_once_is_waited_for(mac: Mac, bundle: Path, times: int, status: int) -> None:
    (mac.state / "unknown").write_text("\n" * times)
    done = mac.install("--bundle", bundle)
    assert status == done.returncode
    assert ("run this again" in done.stderr) == bool(status)


def test_an_account_that_is_an_administrators_is_refused(mac: Mac, bundle: Path) -> None:
    mac.add_account(ACCOUNT, 450)
    (mac.state / "dscl" / "Users" / ACCOUNT / "groups").write_text("admin\n")
    done = mac.install("--bundle", bundle)
    assert (1, f"user: the account {ACCOUNT} must not be an administrator's\n") == (done.returncode, done.stderr)
    assert mac.job() is None


FULL_DISK_ACCESS = (
    "macOS refuses it (-14120) to a program without Full Disk Access: allow it to Terminal, or for ssh to"
)


def test_an_account_that_is_as_it_should_be_is_not_touched_again(mac: Mac, bundle: Path) -> None:
    """Since macOS 10.15 a change of an account, but not its creation, needs Full Disk Access."""
    mac.install("--bundle", bundle)
    (mac.state / "no-full-disk-access").touch()
    before = len(mac.calls("dscl"))
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == [call for call in mac.calls("dscl")[before:] if "-read" not in call]


def test_an_account_that_differs_and_cannot_be_changed_is_said_with_what_to_do(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    (mac.state / "no-full-disk-access").touch()
    (mac.state / "dscl" / "Users" / ACCOUNT / "UserShell").write_text("/bin/zsh\n")
    done = mac.install("--bundle", bundle)
    assert (1, True) == (done.returncode, f"dscl . -create /Users/{ACCOUNT} UserShell did not work" in done.stderr)
    assert FULL_DISK_ACCESS in done.stderr


def test_a_purge_removes_all_else_where_the_account_cannot_be_deleted(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    (mac.state / "no-full-disk-access").touch()
    done = mac.uninstall("--purge")
    assert 1 == done.returncode
    assert f"all is removed but /Users/{ACCOUNT}: macOS refuses that (-14120)" in done.stderr
    assert not mac.program.exists()
    assert not mac.plist.exists()
    (mac.state / "no-full-disk-access").unlink()
    assert 0 == mac.uninstall("--purge").returncode
    assert mac.account() is None
