"""The Linux installer without a machine: its options, its dry run, its steps below a prefix, and the unit."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.macos.sources import copy_source

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL, UNINSTALL = ROOT / "installers" / "install-rpi.bash", ROOT / "installers" / "uninstall-rpi.bash"
UNIT = ROOT / "installers" / "amazon-defender-publisher.service"
STEPS = ["platform", "python", "identity", "program", "configuration", "keys", "user", "service", "start", "verdict"]
SHELLS = ("bash", "bash --posix", "dash", "mksh", "yash")

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="this is about Linux")


def run(script: Path, *options: object, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as its first line says; another shell runs the story in it, which all of them can."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    command = ["bash", str(script)]
    if shell != "bash":
        story, begin = ("steps.sh", "install") if script == INSTALL else ("removal.sh", "remove")
        story = f'. "$here/linux.sh"; . "$here/{story}"; {begin} "$@"'
        command = [*shell.split(), "-c", f"here='{ROOT}/installers'; {story}", str(script)]
    return subprocess.run(
        [*command, *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def identity(tmp_path: Path) -> list[str]:
    """The options that say who the device is."""
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("secret-" + name)
    pair = ["--certificate", str(tmp_path / "certificate"), "--private-key", str(tmp_path / "key")]
    return ["--endpoint", "e", "--thing-name", "t", *pair]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A directory with a blank and an apostrophe in its name, to install below."""
    directory = tmp_path / "it's a prefix"
    directory.mkdir()
    return directory


def add_tools(prefix: Path, **tools: str) -> Path:
    """Add tools of the system below the prefix, each a line of shell; they write down how they were called."""
    (prefix / "bin").mkdir(exist_ok=True)
    for name, line in tools.items():
        path = prefix / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{prefix}/calls"\n{line}\n')
        path.chmod(0o755)
    return prefix / "calls"


# Options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--frobnicate"], "there is no option --frobnicate"),
        (["rpi-0001.tar"], "there is no option rpi-0001.tar"),
        (["--bundle"], "--bundle needs a value"),
        (["--bundle="], "--bundle needs a value"),
        (["--bundle", "/nowhere"], "there is no file /nowhere"),
        (["--port", "many"], "--port must be a number, got many"),
        (["--wheelhouse", "/nowhere"], "--wheelhouse must be a directory, got /nowhere"),
        (["--prefix", "/nowhere"], "--prefix must be a directory that is there, got /nowhere"),
        (["--bundle", "/etc/passwd", "--config", "/etc/passwd"], "give --bundle or --config, not both"),
        (["--purge"], "there is no option --purge"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_wrong_option_is_said_before_anything_is_done(options: list[str], says: str, shell: str) -> None:
    done = run(INSTALL, *options, shell=shell)
    assert (2, "") == (done.returncode, done.stdout)
    assert says == done.stderr.splitlines()[0]


@pytest.mark.parametrize("script", [INSTALL, UNINSTALL])
def test_help_names_every_option(script: Path) -> None:
    done = run(script, "--help")
    assert (0, "") == (done.returncode, done.stderr)
    text = (ROOT / "installers" / "options.sh").read_text()
    table = text[text.index("case $does:$1 in") : text.index("there is no option")]
    does = "install" if script == INSTALL else "remove"
    options = set(re.findall(rf"(?:{does}|\*):(--[a-z-]+)", table))
    assert len(options) > 3
    assert set() == {
        option for option in options if f"  {option} " not in done.stdout and f"  {option}\n" not in done.stdout
    }


def test_an_option_and_its_value_may_be_one_word(prefix: Path, identity: list[str]) -> None:
    pairs = [f"{option}={value}" for option, value in zip(identity[::2], identity[1::2])]
    apart, together = (run(INSTALL, "--dry-run", *options).stdout for options in (identity, pairs))
    assert len(apart) > 1000
    assert re.sub(r"\d{10}$", "", apart, flags=re.MULTILINE) == re.sub(r"\d{10}$", "", together, flags=re.MULTILINE)


# A dry run


@pytest.mark.parametrize("shell", SHELLS)
def test_a_dry_run_prints_the_commands_of_all_steps_in_every_shell(identity: list[str], shell: str) -> None:
    done = run(INSTALL, "--dry-run", *identity, shell=shell)
    assert (0, "") == (done.returncode, done.stderr)
    assert STEPS == re.findall(r"^ ?\d+/10  (\S+)$", done.stdout, re.MULTILINE)
    commands = [line.strip("+ ") for line in done.stdout.splitlines() if line.startswith("       + ")]
    for begins in ("useradd --system", "systemctl restart", "chmod -R a+rX,go-w", "/usr/bin/python3 -I -m venv"):
        assert 1 == len([command for command in commands if command.startswith(begins)]), begins
    assert "secret-key" not in done.stdout


def test_a_dry_run_quotes_what_a_shell_would_take_apart(prefix: Path, identity: list[str]) -> None:
    done = run(INSTALL, "--dry-run", "--prefix", prefix, *identity)
    assert f"+ mkdir -p '{str(prefix).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}/opt/aws/" in done.stdout
    assert [] == list(prefix.iterdir())


def test_a_dry_run_says_what_is_missing(prefix: Path) -> None:
    done = run(INSTALL, "--dry-run", "--prefix", prefix)
    assert (2, True) == (done.returncode, "missing: --endpoint HOST" in done.stderr)


def test_nothing_is_written_into_the_source(prefix: Path, identity: list[str], tmp_path: Path) -> None:
    """Not even what Python compiles: the checkout may be root's, or somebody else's."""
    source = copy_source(tmp_path / "source")
    before = sorted(source.rglob("*"))
    done = run(source / "installers" / INSTALL.name, "--dry-run", "--prefix", prefix, *identity)
    assert (0, "") == (done.returncode, done.stderr)
    assert before == sorted(source.rglob("*"))


def test_no_root_is_said_first(unprivileged: int, identity: list[str]) -> None:
    command = ["setpriv", f"--reuid={unprivileged}", "--clear-groups", "bash", str(INSTALL)]
    done = subprocess.run([*command, "--non-interactive"], capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this checkout")
    assert (1, True) == (done.returncode, done.stderr.startswith("platform: this needs root: sudo "))


# Packages of the system


def test_where_apt_does_not_help_it_says_what_to_install(prefix: Path, identity: list[str]) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("this is about apt")
    calls = add_tools(prefix, env='echo "the mirror is gone"; exit 100', **{"apt-get": "exit 100"})
    done = run(INSTALL, "--prefix", prefix, "--python", "/nowhere/python3", *identity)
    assert 1 == done.returncode
    advice = "apt-get update && apt-get install --no-install-recommends python3 python3-venv"
    assert f"install what is missing first: {advice}" in done.stderr
    assert ["env", "apt-get"] == [line.split()[0] for line in calls.read_text().splitlines()]
    assert not (prefix / "opt" / "aws" / "amazon-defender-publisher" / "versions").exists()


def test_with_a_wheelhouse_no_package_list_is_fetched(prefix: Path, identity: list[str], tmp_path: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("this is about apt")
    calls = add_tools(prefix, env="exit 100", **{"apt-get": "exit 0"})
    run(INSTALL, "--prefix", prefix, "--python", "/nowhere/python3", "--wheelhouse", tmp_path, *identity)
    assert ["env"] == [line.split()[0] for line in calls.read_text().splitlines()]


def test_a_python_that_is_too_old_is_refused(prefix: Path, identity: list[str]) -> None:
    old = prefix / "python3.8"
    old.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 0 ;; *) echo "Python 3.8.1"; exit 1 ;; esac\n')
    old.chmod(0o755)
    done = run(INSTALL, "--prefix", prefix, "--python", old, *identity)
    assert (1, f"python: Python 3.9 or later is needed, {old} is Python 3.8.1\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("architecture", "pip_said", "status"),
    [
        ("armhf", "No matching distribution found for psutil", 0),
        ("amd64", "ERROR: Failed building wheel for psutil", 0),
        ("amd64", "No matching distribution found for psutil", 1),
        ("arm64", "Could not connect to pypi.org", 1),
    ],
)
def test_a_compiler_is_brought_only_where_it_could_help(
    prefix: Path, architecture: str, pip_said: str, status: int
) -> None:
    (prefix / "said").write_text(f"{pip_said}\n")
    words = f'name_architecture() {{ say {architecture}; }}; transcript="$1/said"; lacks_wheels'
    assert status == run_words(prefix, "dash", words).returncode


# One at a time


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_lock_of_one_who_lives_is_respected_and_that_of_a_dead_one_taken(
    prefix: Path, identity: list[str], shell: str
) -> None:
    lock = prefix / "var" / "run" / "amazon-defender-publisher.install"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(str(os.getpid()))
    refused = run(UNINSTALL, "--prefix", prefix, shell=shell)
    assert (1, True) == (
        refused.returncode,
        f"process {os.getpid()} installs or removes it right now" in refused.stderr,
    )
    assert lock.exists()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (lock / "pid").write_text(str(ended.pid))
    assert 0 == run(UNINSTALL, "--prefix", prefix, shell=shell).returncode
    assert not lock.exists()


# The service's user


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_user_of_that_name_who_has_power_is_not_taken(prefix: Path, shell: str) -> None:
    add_tools(prefix, getent="exit 0", id='echo "amazon-defender-publisher sudo"')
    done = run_words(prefix, shell, "make_user")
    assert 1 == done.returncode
    assert "must be in no other group, but is in: amazon-defender-publisher sudo" in done.stderr


def test_the_group_is_made_before_the_user_and_each_only_where_it_is_missing(prefix: Path) -> None:
    calls = add_tools(
        prefix, getent="case $1 in group) exit 2 ;; esac", id="echo amazon-defender-publisher", groupadd=""
    )
    assert 0 == run_words(prefix, "dash", "make_user").returncode
    assert ["getent", "groupadd", "getent", "id"] == [line.split()[0] for line in calls.read_text().splitlines()]
    calls.unlink()
    add_tools(prefix, getent="case $1 in passwd) exit 2 ;; esac", useradd="")
    assert 0 == run_words(prefix, "dash", "make_user").returncode
    assert ["getent", "getent", "useradd", "id"] == [line.split()[0] for line in calls.read_text().splitlines()]


def test_a_user_that_is_there_already_is_not_made_again(prefix: Path) -> None:
    calls = add_tools(prefix, getent="exit 0", id="echo amazon-defender-publisher", useradd="exit 9")
    assert 0 == run_words(prefix, "bash", "make_user").returncode
    assert "useradd" not in calls.read_text()


def run_words(prefix: Path, shell: str, words: str) -> subprocess.CompletedProcess[str]:
    """Run some words of the story below a prefix."""
    story = (
        f'here="{ROOT}/installers"; . "$here/linux.sh"; . "$here/steps.sh"; does=install; read_options --prefix "$1"'
    )
    command = [*shell.split(), "-c", f"{story}; {words}", "x", str(prefix)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# The unit


def test_the_unit_is_verified_without_a_word(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text().replace("/opt/aws/amazon-defender-publisher/current/venv/bin/python", str(program))
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (0, []) == (done.returncode, said)


def test_the_unit_is_hardly_exposed() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to look at a unit that it does not run")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_unit_knows_nothing_that_systemd_247_does_not() -> None:
    """It would be ignored there, with a warning at each boot."""
    later = {"ExecPaths", "NoExecPaths", "PrivateIPC", "ExtensionImages", "RestrictFileSystems", "ImportCredential"}
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    assert set() == later & set(parser["Service"])
    assert "%d" not in UNIT.read_text()


def test_the_unit_goes_on_for_ever_is_watched_and_gets_its_key_from_systemd() -> None:
    lines = set(UNIT.read_text().splitlines())
    assert lines >= {"Type=notify", "WatchdogSec=60", "Environment=MALLOC_ARENA_MAX=1", "WantedBy=multi-user.target"}
    assert lines >= {"Restart=always", "RestartSec=10", "RestartPreventExitStatus=78", "StartLimitIntervalSec=0"}
    assert lines >= {"Wants=network-online.target time-sync.target", "After=network-online.target"}
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK" in lines
    assert "LoadCredential=private.key:/opt/aws/amazon-defender-publisher/etc/private.key" in lines
