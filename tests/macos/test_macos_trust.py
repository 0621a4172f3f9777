"""What the macOS installer must never do: tell a secret, leave a door open, or do other than it said."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.macos.mac import LABEL, NAME, Mac
from tests.macos.sources import changed_source
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
TARGET = f"system/{LABEL}"
CHANGING = ("bootout", "enable", "bootstrap", "kickstart", "-create", "-delete", "venv", "pip")
DONE_AS = {"cp": "copyfile", "mv": "rename", "touch": "write", "chmod": "chmod"}  # in the interpreter's words
UNTOLD = (f"var/run/{NAME}.install", f"opt/aws/{NAME}/install.log")  # what a dry run itself has no need of


def commands_of(output: str) -> list[list[str]]:
    """Return the commands that a dry run printed, as lists of words."""
    return [shlex.split(line.split("+ ", 1)[1]) for line in output.splitlines() if line.startswith("       + ")]


def said_by(output: str) -> list[str]:
    """Return the changes that a dry run told of."""
    return changes(" ".join(words[1:]) for words in commands_of(output))


def done_by(mac: Mac, since: int) -> list[str]:
    """Return the changes that a run made, from a call on."""
    return changes(line.partition(" ")[2] for line in mac.lines("log")[since:])


def changes(calls: Iterable[str]) -> list[str]:
    """Return those calls of launchctl, dscl and Python that change something."""
    return [call for call in calls if set(CHANGING) & set(call.split())]


def test_a_dry_run_prints_every_command_that_is_then_run(mac: Mac, each_shell: str, bundle: Path) -> None:
    said = said_by(mac.install("--dry-run", "--bundle", bundle).stdout)
    before = len(mac.lines("log"))
    mac.install("--bundle", bundle)
    assert done_by(mac, before) == said
    assert len(said) > 15


def test_a_dry_run_prints_every_change_of_a_file_too(mac: Mac, bundle: Path) -> None:
    """What was changed is what the interpreter and chown's stub say, not the installer."""
    commands = commands_of(mac.install("--dry-run", "--bundle", bundle).stdout)
    before = len(mac.lines("log"))
    mac.install("--bundle", bundle)
    done = [line.partition(" ")[2] for line in mac.lines("log")[before:] if line.startswith("file ")]
    said = [" ".join([DONE_AS[words[0]], *words[1:]]) for words in commands if words[0] in DONE_AS and words[1] != "-R"]
    rest = iter(done)
    assert [] == [line for line in said if line.replace("rename -f", "rename") not in rest], "in this order"
    assert len(said) > 8
    given = [" ".join(["chown", *words[1:]]) for words in commands if Path(words[0]).name == "chown"]
    assert given == [line for line in mac.lines("words") if line.startswith("chown ")]
    places = [word for words in commands for word in words if word.startswith(f"{mac.root}/")]
    untold = [line for line in done if not any(is_at(line, place, mac.root) for place in places)]
    assert [] == untold


def is_at(change: str, place: str, root: Path) -> bool:
    """Whether a change is one at a place that was told of, or beside it for a moment, or of a directory it is in."""
    path = f"{root}/{change.rpartition(f'{root}/')[2]}"
    told = path.startswith(place) or (change.startswith("mkdir ") and place.startswith(f"{path}/"))
    return told or path.startswith(tuple(f"{root}/{name}" for name in UNTOLD)) or path == f"{root}/var/run"


def test_a_dry_run_of_an_upgrade_prints_every_command_that_is_then_run(mac: Mac, bundle: Path, tmp_path: Path) -> None:
    mac.install("--bundle", bundle)
    mac.source = changed_source(tmp_path / "new", "pass  # a new version")
    said = said_by(mac.install("--dry-run", "--bundle", bundle).stdout)
    before = len(mac.lines("log"))
    mac.install("--bundle", bundle)
    assert done_by(mac, before) == said


def test_a_dry_run_needs_no_root_and_leaves_a_running_service_alone(mac: Mac, each_shell: str, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    job, before = mac.job(), {name: what[0] for name, what in mac.tree().items()}
    done = mac.install("--dry-run", "--bundle", bundle, MAC_USER="501")
    assert (0, "") == (done.returncode, done.stderr)
    assert job == mac.job()
    assert before == {name: what[0] for name, what in mac.tree().items()}


def test_no_secret_is_told_or_in_the_words_of_a_process(mac: Mac, bundle: Path) -> None:
    done = mac.install("--bundle", bundle)
    again = mac.install("--bundle", bundle)
    secret = "".join((mac.etc / "private.key").read_text().splitlines()[1:-1])
    places = {
        "output": done.stdout + done.stderr + again.stdout + again.stderr,
        "words": "\n".join(mac.lines("words") + mac.lines("log")),
        "transcript": (mac.program / "install.log").read_text(),
        "configuration": (mac.etc / f"{NAME}.json").read_text(),
        "log": (mac.program / "logs" / f"{NAME}.log").read_text(),
    }
    parts = [secret[at : at + 16] for at in range(0, len(secret) - 16, 16)]
    assert {} == {name: text for name, text in places.items() if any(part in text for part in parts)}
    assert len(mac.lines("words")) > 20


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_the_umask_that_it_is_called_with_does_not_matter(mac: Mac, bundle: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        mac.install("--bundle", bundle)
    finally:
        os.umask(before)
    for path in mac.program.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o022 == 0, path
    assert "0o600" == oct((mac.etc / "private.key").stat().st_mode & 0o777)
    assert "0o644" == oct(mac.plist.stat().st_mode & 0o777)
    assert "0o755" == oct((mac.program / "versions" / mac.version() / NAME).stat().st_mode & 0o777)


@pytest.mark.timeout(600)
def test_an_installation_that_is_killed_anywhere_is_repaired_by_the_next(
    new_mac: Callable[..., Mac], bundle: Path
) -> None:
    whole = new_mac("whole")
    whole.install("--bundle", bundle)
    calls = len(whole.lines("log"))
    assert calls > 30
    for number in range(4, calls, 5):
        mac = new_mac(f"killed at {number}")
        killed = subprocess.run(
            mac.command("install-osx.bash", "--bundle", str(bundle)), env=mac.environment(MAC_KILLED_AT=str(number)),
            capture_output=True, check=False, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert -signal.SIGKILL == killed.returncode, number
        done = mac.install("--bundle", bundle)
        assert (0, "") == (done.returncode, done.stderr), number
        assert mac.runs(), number
        assert whole.account() == mac.account(), number
        mac.close()


@pytest.mark.timeout(600)
def test_an_upgrade_that_is_killed_anywhere_is_repaired_by_the_next(mac: Mac, bundle: Path, tmp_path: Path) -> None:
    mac.install("--bundle", bundle)
    for turn, number in enumerate(range(2, 34, 8)):
        mac.source = changed_source(tmp_path / f"new{turn}", f"pass  # {turn}")
        begun = len(mac.lines("log"))
        subprocess.run(
            mac.command("install-osx.bash", "--bundle", str(bundle)),
            env=mac.environment(MAC_KILLED_AT=str(begun + number)),
            capture_output=True, check=False, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        done = mac.install("--bundle", bundle)
        assert (0, "") == (done.returncode, done.stderr), number
        assert mac.runs(), number
        assert 1 == len(list((mac.program / "versions").iterdir())), number


def test_an_interrupted_upgrade_brings_the_old_version_back(
    mac: Mac, each_shell: str, bundle: Path, tmp_path: Path
) -> None:
    interrupt(mac, bundle, tmp_path, signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_so_does_one_that_is_ended_or_whose_terminal_goes(mac: Mac, bundle: Path, tmp_path: Path, number: int) -> None:
    interrupt(mac, bundle, tmp_path, number)


def interrupt(mac: Mac, bundle: Path, tmp_path: Path, number: int) -> None:
    """Send a signal to an upgrade while the new version is being started; fail unless the old one is back."""
    mac.install("--bundle", bundle)
    old = mac.version()
    mac.source = changed_source(tmp_path / "new", "time.sleep(0)  # a new version")
    process = subprocess.Popen(
        mac.command("install-osx.bash", "--bundle", str(bundle)), env=mac.environment(MAC_SETTLE="5"), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: mac.version() != old and kickstarted(mac), 60)
    time.sleep(0.5)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert 1 == process.returncode, output + errors
    assert f"was interrupted; restored {old}, which is running" in errors
    assert old == mac.version()
    assert mac.runs()


def kickstarted(mac: Mac) -> bool:
    """Whether the job was started, and that was seen."""
    calls = [call.split()[0] for call in mac.calls("launchctl")]
    return ["kickstart", "print"] == calls[-2:]


def test_the_options_are_those_of_linux(mac: Mac) -> None:
    for script in ("install", "uninstall"):
        texts = [mac.run(f"{script}-{platform}.bash", "--help").stdout for platform in ("rpi", "osx")]
        options = [re.findall(r"^  (--\S+(?: [A-Z]+)?)", text, re.MULTILINE) for text in texts]
        assert options[0] == options[1]
        assert len(options[0]) > 3
