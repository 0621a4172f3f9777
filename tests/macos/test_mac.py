"""The Mac of stubs is as strict as it has to be: it refuses what only GNU's tools know, and what launchd refuses."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.macos.mac import ACCOUNT, LABEL, Mac

TARGET = f"system/{LABEL}"
JOB = {"Label": LABEL, "ProgramArguments": ["/usr/bin/tail", "-f", "/dev/null"], "UserName": ACCOUNT, "RunAtLoad": True,
       "StandardErrorPath": "/errors"}  # fmt: skip

GNU = (
    "sed -i s/a/b/ f", "sed -r s/a/b/ f", r"sed s/a\+/b/ f", "readlink -f f", "stat -c %a f", "mktemp", "mktemp -d",
    "mktemp --suffix=.x", "mktemp -p . XXXXXX", "install -D a b", "install -m 600 a b", "mv -T a b", "cp -T a b",
    "cp --preserve=mode a b", "ln -r a b", "ln -T a b", "chmod 600 f -v", "chmod --reference=a b", "rm f -f",
    "date -d now", "date +%N", "grep -P a f", "grep -r a", "head --lines=1 f", "tail --pid=1 f", "touch -d now f",
    "sleep 5s", "sort -V f", "ls --color f", "find . -printf %p", "xargs -r a", "du -b f", "mkdir --parents d",
)  # fmt: skip
BOTH = ("sed -n p f", "mkdir -p a/b", "cp -p f g", "mv -f g h", "ln -s f i", "chmod -R go-w .", "tail -n 1 f")
LINUX = ("getent", "sha256sum", "realpath", "systemctl", "useradd", "timeout", "nproc", "jq", "tac", "runuser")


@pytest.fixture
def plist(mac: Mac) -> Path:
    """A property list as launchd takes it, for an account that is there."""
    mac.add_account(ACCOUNT, 400)
    path = mac.root / "job.plist"
    path.write_bytes(plistlib.dumps(JOB))
    path.chmod(0o644)
    assert 0 == mac.run_tool("chown", "root:wheel", str(path)).returncode
    return path


def test_what_only_gnus_tools_know_is_refused(mac: Mac) -> None:
    done = [words for words in GNU if mac.run_tool(*words.split()).returncode == 0]
    assert [] == done
    assert [words.split()[0] for words in GNU] == [line.split()[0] for line in mac.refused()]


def test_what_both_know_is_done(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mac.root)
    Path("f").touch()
    refused = [words for words in BOTH if mac.run_tool(*words.split()).returncode != 0]
    assert [] == refused + mac.refused()


def test_what_only_linux_has_is_not_there(mac: Mac) -> None:
    there = [tool for tool in LINUX if (mac.root / "bin" / tool).exists()]
    assert [] == there


def test_a_second_bootstrap_is_refused(mac: Mac, plist: Path) -> None:
    calls = [mac.run_tool("launchctl", "bootstrap", "system", str(plist)) for _ in range(2)]
    assert [0, 5] == [call.returncode for call in calls]
    assert mac.runs()


def test_a_bootstrap_is_refused_until_print_fails(mac: Mac, plist: Path) -> None:
    mac.run_tool("launchctl", "bootstrap", "system", str(plist))
    assert 0 == mac.run_tool("launchctl", "bootout", TARGET).returncode
    assert 37 == mac.run_tool("launchctl", "bootstrap", "system", str(plist)).returncode
    assert [0, 0, 0, 113] == [mac.run_tool("launchctl", "print", TARGET).returncode for _ in range(4)]
    assert 0 == mac.run_tool("launchctl", "bootstrap", "system", str(plist)).returncode


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda mac, plist: plist.chmod(0o664), 122),
        (lambda mac, plist: mac.run_tool("chown", f"{ACCOUNT}:{ACCOUNT}", str(plist)), 122),
        (lambda mac, plist: mac.run_tool("launchctl", "disable", TARGET), 119),
    ],
    ids=["others can write it", "it is not root's", "it is disabled"],
)
def test_a_plist_that_launchd_does_not_trust_is_refused(
    mac: Mac, plist: Path, spoil: Callable[[Mac, Path], object], status: int
) -> None:
    spoil(mac, plist)
    assert status == mac.run_tool("launchctl", "bootstrap", "system", str(plist)).returncode


def test_a_job_whose_account_is_missing_does_not_run(mac: Mac, plist: Path) -> None:
    mac.run_tool("dscl", ".", "-delete", f"/Users/{ACCOUNT}")
    mac.run_tool("launchctl", "bootstrap", "system", str(plist))
    assert not mac.runs()


@pytest.mark.parametrize("words", ["load -w f", "unload f", f"start {LABEL}", "list"])
def test_the_launchctl_of_old_is_refused(mac: Mac, words: str) -> None:
    assert 64 == mac.run_tool("launchctl", *words.split()).returncode
