"""The Linux installer without a machine: its options, its dry run, its steps below a prefix, and the unit."""

from __future__ import annotations

import configparser
import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.installers.test_device import load
from tests.macos.sources import copy_source

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL, UNINSTALL = ROOT / "installers" / "install-rpi.bash", ROOT / "installers" / "uninstall-rpi.bash"
UNIT = ROOT / "installers" / "amazon-defender-publisher.service"
STEPS = ["platform", "python", "identity", "program", "configuration", "keys", "user", "service", "start", "verdict"]
SHELLS = ("bash", "bash --posix", "bash-3.2")  # macOS has the last one; elsewhere one that somebody built

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="this is about Linux")


def run(script: Path, *options: object, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    return subprocess.run(
        [*shell.split(), str(script), *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


def run_here(script: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run what a script becomes once it has found a Python, in this process; for what installs nothing."""
    module, product = load()["install"], script.stem.replace("install-rpi", "install-publisher")
    product = product.replace("install", "amazon-defender")
    words = [product, "linux", sys.executable, "/", "", *map(str, options)]
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    before = os.umask(0o077)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        patch.setattr(module, "heed_signals", lambda: None)
        status = module.main(words)
    os.umask(before)
    return subprocess.CompletedProcess(words, status, *(each.buffer.getvalue().decode() for each in streams))


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


UNKNOWN, WITHOUT_A_VALUE = (
    (["--frobnicate"], "there is no option --frobnicate"),
    (["--bundle"], "--bundle needs a value"),
)
OTHERS = (
    (["rpi-0001.tar"], "there is no option rpi-0001.tar"),
    (["--bundle="], "--bundle needs a value"),
    (["--bundle", "/nowhere"], "there is no file /nowhere"),
    (["--port", "many"], "--port must be a number, got many"),
    (["--wheelhouse", "/nowhere"], "--wheelhouse must be a directory, got /nowhere"),
    (["--prefix", "/nowhere"], "--prefix must be a directory that is there, got /nowhere"),
    (["--bundle", "/etc/passwd", "--config", "/etc/passwd"], "give --bundle or --config, not both"),
    (["--claim", "/nowhere"], "there is no file /nowhere"),
    (["--claim", "/etc/passwd", "--private-key", "/etc/passwd"], "give --claim or --private-key, not both"),
    (["--first-boot", "--serial", "7"], "give --first-boot or --serial, not both"),
    (["--purge"], "there is no option --purge"),
)


@pytest.mark.parametrize(
    ("options", "says"),
    [UNKNOWN, WITHOUT_A_VALUE, *(pytest.param(*each, marks=pytest.mark.slow) for each in OTHERS)],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_wrong_option_is_said_before_anything_is_done(options: list[str], says: str, shell: str) -> None:
    done = run(INSTALL, *options, shell=shell)
    assert (2, "") == (done.returncode, done.stdout)
    assert says == done.stderr.splitlines()[0]


@pytest.mark.parametrize(("options", "says"), [UNKNOWN, WITHOUT_A_VALUE, *OTHERS])
def test_a_wrong_option_is_misuse(options: list[str], says: str) -> None:
    refused = refusal_of(*options)
    assert (2, says) == (refused.status, str(refused).splitlines()[0])


def refusal_of(*options: str) -> Any:
    """Return what the installer says to options, once there is a Python; None if it takes them."""
    modules = load()
    try:
        modules["options"].read_options(options, ROOT, "", modules["product"].PUBLISHER.options)
    except modules["problem"].Problem as problem:
        return problem
    return None


@pytest.mark.parametrize("script", [INSTALL, UNINSTALL])
def test_help_names_every_option(script: Path) -> None:
    done = run(script, "--help")
    assert (0, "") == (done.returncode, done.stderr)
    listed = set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE))
    if script == INSTALL:
        assert {"--help", *load()["product"].PUBLISHER.options} == listed
    assert {"--help", "--dry-run", "--prefix"} < listed
    assert "NAME [" not in done.stdout
    assert f"usage: {script.name} " in done.stdout
    assert 1 == done.stdout.count(script.name)


def listed_in(help_text: str) -> set[str]:
    """Return the options that a help lists, other than the one for itself."""
    lines = (ROOT / "installers" / help_text).read_text().splitlines()
    return {line.split()[0] for line in lines if line.startswith("  --")} - {"--help"}


def test_whatever_the_help_lists_is_an_option_of_the_installer() -> None:
    for option in listed_in("install.txt"):
        assert "there is no option" not in str(refusal_of(option, "--dry-run")), option


@pytest.mark.parametrize(
    ("script", "help_text"),
    [pytest.param(INSTALL, "install.txt", marks=pytest.mark.slow), (UNINSTALL, "uninstall.txt")],
)
def test_whatever_the_help_lists_is_an_option_and_nothing_else(prefix: Path, script: Path, help_text: str) -> None:
    for option in listed_in(help_text):
        assert "there is no option" not in run(script, option, "--dry-run", "--prefix", prefix).stderr, option


def test_an_option_and_its_value_may_be_one_word(prefix: Path, identity: list[str]) -> None:
    pairs = [f"{option}={value}" for option, value in zip(identity[::2], identity[1::2])]
    apart, together = (run_here(INSTALL, "--dry-run", *options).stdout for options in (identity, pairs))
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


MODULES = (
    "argparse",
    "json",
    "logging",
    "ssl",
    "subprocess",
    "threading",
    "commands",
    "sitecustomize",
    "usercustomize",
)


def test_nothing_of_the_directory_or_the_environment_of_whoever_installs_is_run(
    prefix: Path, identity: list[str], tmp_path: Path
) -> None:
    """A directory for downloads, a shell of ROS, a CDPATH."""
    (tmp_path / "downloads" / "installers").mkdir(parents=True)
    for name in MODULES:
        (tmp_path / "downloads" / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write({name!r})\n")
    (tmp_path / "downloads" / "uname").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (tmp_path / "downloads" / "uname").chmod(0o755)
    environment = {
        **os.environ, "PYTHONPATH": ".", "CDPATH": str(tmp_path / "downloads"), "PYTHONSTARTUP": "json.py",
        "PATH": f"{tmp_path}/downloads:{os.environ['PATH']}",
    }  # fmt: skip
    for script, options in {INSTALL: identity, UNINSTALL: []}.items():
        command = [
            "bash",
            os.path.relpath(script, tmp_path / "downloads"),
            "--dry-run",
            "--prefix",
            str(prefix),
            *options,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path / "downloads", env=environment
        )
        assert (0, "") == (done.returncode, done.stderr)
    assert not (tmp_path / "ran").exists()


def test_every_python_of_an_installation_is_isolated_or_runs_the_program_itself(identity: list[str]) -> None:
    lines = [
        line.split()[1:] for line in run_here(INSTALL, "--dry-run", *identity).stdout.splitlines() if " + " in line
    ]
    pythons = [words for words in lines if "python" in Path(words[0]).name]
    assert len(pythons) > 8
    assert [] == [words for words in pythons if words[1] != "-I" and Path(words[2]).name != "amazon-defender-publisher"]


def test_a_file_is_found_from_the_directory_of_whoever_installs(
    prefix: Path, identity: list[str], tmp_path: Path
) -> None:
    command = ["bash", str(INSTALL), "--dry-run", "--prefix", prefix.name, *identity[:4]]
    command += ["--certificate", "certificate", "--private-key=./key"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"--certificate {tmp_path}/certificate --private-key {tmp_path}/key" in done.stdout


def test_a_dry_run_quotes_what_a_shell_would_take_apart(prefix: Path, identity: list[str]) -> None:
    done = run_here(INSTALL, "--dry-run", "--prefix", prefix, *identity)
    assert f"+ mkdir -p '{str(prefix).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}/opt/aws/" in done.stdout
    assert [] == list(prefix.iterdir())


def test_a_dry_run_says_what_is_missing(prefix: Path) -> None:
    done = run_here(INSTALL, "--dry-run", "--prefix", prefix)
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
    linux = a_linux(prefix)
    linux.commands.transcript = prefix / "said"
    (prefix / "said").write_text(f"{pip_said}\n")
    linux.packager.architecture = lambda: architecture
    assert (status == 0) == linux.packager.lacks_wheels()


# One at a time


@pytest.mark.parametrize("script", [INSTALL, UNINSTALL])
def test_a_lock_of_one_who_lives_is_respected_and_that_of_a_dead_one_taken(prefix: Path, script: Path) -> None:
    lock = prefix / "var" / "run" / "amazon-defender-publisher.install"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(str(os.getpid()))
    refused = run(script, "--prefix", prefix)
    assert (1, True) == (
        refused.returncode,
        f"process {os.getpid()} installs or removes it right now" in refused.stderr,
    )
    assert lock.exists()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (lock / "pid").write_text(str(ended.pid))
    done = run(script, "--prefix", prefix)  # an installation comes as far as the options that are missing
    assert (
        (2, "missing: --endpoint") == (done.returncode, done.stderr[:19]) if script == INSTALL else 0 == done.returncode
    )
    assert not lock.exists()


# The service's user


def test_a_user_of_that_name_who_has_power_is_not_taken(prefix: Path) -> None:
    add_tools(prefix, getent="exit 0", id='echo "amazon-defender-publisher sudo"')
    with pytest.raises(load()["problem"].Problem) as refused:
        a_linux(prefix).make_user()
    assert "must be in no other group, but is in: amazon-defender-publisher sudo" in str(refused.value)


def test_the_group_is_made_before_the_user_and_each_only_where_it_is_missing(prefix: Path) -> None:
    calls = add_tools(
        prefix, getent="case $1 in group) exit 2 ;; esac", id="echo amazon-defender-publisher", groupadd=""
    )
    a_linux(prefix).make_user()
    assert ["getent", "groupadd", "getent", "id"] == [line.split()[0] for line in calls.read_text().splitlines()]
    calls.unlink()
    add_tools(prefix, getent="case $1 in passwd) exit 2 ;; esac", useradd="")
    a_linux(prefix).make_user()
    assert ["getent", "getent", "useradd", "id"] == [line.split()[0] for line in calls.read_text().splitlines()]


def test_a_user_that_is_there_already_is_not_made_again(prefix: Path) -> None:
    calls = add_tools(prefix, getent="exit 0", id="echo amazon-defender-publisher", useradd="exit 9")
    a_linux(prefix).make_user()
    assert "useradd" not in calls.read_text()


def a_linux(prefix: Path) -> Any:
    """What the installer does to a Linux, below a prefix."""
    modules = load()
    options = modules["options"].read_options(["--prefix", str(prefix)], prefix)
    session = modules["session"].Session(modules["product"].PUBLISHER, options, Path(sys.executable), 10)
    return modules["linux"].Linux(session)


# The unit


ROTATION = [f"amazon-defender-rotation.{kind}" for kind in ("service", "timer", "path")]
FIRST_BOOT = [f"amazon-defender-provision.{kind}" for kind in ("service", "timer")]
EXPOSED = {"publisher": 15, "provision": 23, "rotation": 23}  # tenths; what makes keys is root's


@pytest.mark.parametrize("name", [UNIT.name, *FIRST_BOOT, *ROTATION])
def test_the_unit_is_verified_without_a_word(tmp_path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in (name, "amazon-defender-rotation.service", "amazon-defender-provision.service"):
        text = (ROOT / "installers" / unit).read_text()
        text = text.replace("/opt/aws/amazon-defender-publisher/current/venv/bin/python", str(program))
        (tmp_path / unit).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if name in line]
    assert (0, []) == (done.returncode, said)


@pytest.mark.parametrize("name", EXPOSED)
def test_the_unit_is_hardly_exposed(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = str(ROOT / "installers" / f"amazon-defender-{name}.service")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSED[name]}", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to look at a unit that it does not run")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_what_makes_keys_is_tried_again_unless_it_was_refused_for_good() -> None:
    for name in ("provision", "rotation"):
        lines = (ROOT / "installers" / f"amazon-defender-{name}.service").read_text().splitlines()
        assert {"Restart=on-failure", "RestartPreventExitStatus=77 78", "NoNewPrivileges=yes"} <= {*lines}
        assert "Environment=AMAZON_DEFENDER_COMMANDS_AS=amazon-defender-publisher" in lines, "root runs no such command"
        assert "User=" not in "".join(lines)


def test_the_service_waits_for_a_key_and_not_in_vain() -> None:
    for name in ("publisher", "cloudwatch"):
        assert "ConditionPathExists=/opt/aws/amazon-defender-publisher/etc/private.key" in directives(name)
    assert "DefaultDependencies=no" in directives("provision"), "or a boot without a network would wait for it"
    text = (ROOT / "installers" / "amazon-defender-provision.service").read_text()
    assert "for unit in amazon-defender-publisher.service amazon-defender-cloudwatch.service; do" in text


@pytest.mark.parametrize("name", [UNIT.name, *FIRST_BOOT, *ROTATION])
def test_the_unit_knows_nothing_that_systemd_247_does_not(name: str) -> None:
    """It would be ignored there, with a warning at each boot."""
    later = {"ExecPaths", "NoExecPaths", "PrivateIPC", "ExtensionImages", "RestrictFileSystems", "ImportCredential"}
    later |= {"OnSuccess", "RestartSteps", "TriggerLimitIntervalSec"}
    text = (ROOT / "installers" / name).read_text()
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    assert set() == later & {key for section in parser.sections() for key in parser[section]}
    assert "%d" not in text


def test_the_unit_goes_on_for_ever_is_watched_and_gets_its_key_from_systemd() -> None:
    lines = set(UNIT.read_text().splitlines())
    assert lines >= {"Type=notify", "WatchdogSec=60", "Environment=MALLOC_ARENA_MAX=1", "WantedBy=multi-user.target"}
    assert lines >= {"Restart=always", "RestartSec=10", "RestartPreventExitStatus=78", "StartLimitIntervalSec=0"}
    assert lines >= {"Wants=network-online.target time-sync.target", "After=network-online.target"}
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK" in lines
    assert "LoadCredential=private.key:/opt/aws/amazon-defender-publisher/etc/private.key" in lines


# The second unit, of CloudWatch


def directives(name: str) -> set[str]:
    """The directives of a service, a line each."""
    lines = (ROOT / "installers" / f"amazon-defender-{name}.service").read_text().splitlines()
    return {line for line in lines if "=" in line and not line.startswith("#")}


def test_the_second_unit_is_in_groups_that_the_first_is_not_and_is_otherwise_as_hard() -> None:
    first, second = directives("publisher"), directives("cloudwatch")
    assert {line for line in second - first if not line.startswith("Description=")} == {
        "SupplementaryGroups=adm systemd-journal",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "ProtectProc=invisible",
    }
    assert {line for line in first - second if not line.startswith("Description=")} == {
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    }
    command = (ROOT / "installers" / "amazon-defender-cloudwatch.service").read_text()
    assert "/opt/aws/amazon-defender-publisher/current/amazon-defender-cloudwatch \\\n" in command
    assert "-k ${CREDENTIALS_DIRECTORY}/private.key \\\n" in command


def test_the_second_unit_is_hardly_exposed() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = str(ROOT / "installers" / "amazon-defender-cloudwatch.service")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to look at a unit that it does not run")
    assert 0 == done.returncode, done.stdout + done.stderr


SECOND = "amazon-defender-cloudwatch.service"


@pytest.mark.parametrize(
    ("options", "there", "wanted"),
    [([], False, False), (["--cloudwatch"], False, True), ([], True, True), (["--no-cloudwatch"], True, False)],
)
def test_the_second_service_is_installed_where_it_is_asked_for_or_there(
    prefix: Path, identity: list[str], options: list[str], there: bool, wanted: bool
) -> None:
    units = prefix / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    if there:
        (units / SECOND).write_text("[Unit]\n")
    said = run_here(INSTALL, "--dry-run", "--prefix", prefix, *options, *identity).stdout
    restarted = [line.split()[-1] for line in said.splitlines() if " restart " in line]
    assert [SECOND if wanted else UNIT.name] == restarted
    checks = [line for line in said.splitlines() if "amazon-defender-cloudwatch" in line and "--check-config" in line]
    assert wanted == bool(checks)
    removed = [line for line in said.splitlines() if "disable --now" in line and SECOND in line]
    assert (there and not wanted) == bool(removed)


def test_a_release_from_before_the_second_service_removes_it(prefix: Path, tmp_path: Path) -> None:
    calls = add_tools(prefix, systemctl="exit 0")
    units, version = prefix / "etc" / "systemd" / "system", tmp_path / "earlier"
    units.mkdir(parents=True)
    (units / SECOND).write_text("[Unit]\n")
    (version / "installers").mkdir(parents=True)
    (version / "installers" / UNIT.name).write_text("[Unit]\n# of an earlier release\n")
    linux = a_linux(prefix)
    assert [UNIT.name, SECOND] == linux.units
    linux.write_service(version)
    assert ([UNIT.name], [UNIT.name]) == (linux.units, [path.name for path in units.iterdir()])
    assert f"systemctl -q disable --now {SECOND}" in calls.read_text()


def test_both_ways_at_once_are_refused() -> None:
    done = run_here(INSTALL, "--cloudwatch", "--no-cloudwatch")
    assert (2, "give --cloudwatch or --no-cloudwatch, not both") == (done.returncode, done.stderr.splitlines()[0])


# A Greengrass nucleus


CORE = '---\nsystem:\n  rootpath: "/greengrass/v2"\n  thingName: "t"\n'
AWS = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"


@pytest.fixture
def core(prefix: Path) -> Path:
    """A Greengrass core below the prefix, which is the thing t."""
    for path, text in {
        "greengrass/v2/config/effectiveConfig.yaml": CORE,
        "etc/systemd/system/multi-user.target.wants/greengrass.service": "",
    }.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)
    return prefix


def at_aws(identity: list[str]) -> list[str]:
    """The options with an endpoint of AWS's."""
    return ["--endpoint", AWS, *identity[2:]]


def test_a_service_that_would_disconnect_the_nucleus_is_refused(core: Path, identity: list[str]) -> None:
    done = run_here(INSTALL, "--prefix", core, *at_aws(identity))
    assert (1, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert done.stderr.startswith(
        "identity: there is a Greengrass nucleus (/greengrass/v2/config/effectiveConfig.yaml) "
    )
    assert "with the same client ID, t: it and this service would disconnect each other from AWS IoT" in done.stderr
    assert "install the Greengrass component (docs/how-to/run-on-greengrass.md) instead" in done.stderr
    assert not (core / "opt" / "aws" / "amazon-defender-publisher" / "etc.new").exists()
    assert (ROOT / "docs" / "how-to" / "run-on-greengrass.md").exists()


def test_the_explicit_option_and_an_installation_that_is_there_go_on_with_a_warning(
    core: Path, identity: list[str]
) -> None:
    asked = run_here(INSTALL, "--dry-run", "--prefix", core, "--beside-greengrass", *at_aws(identity))
    assert (0, True) == (asked.returncode, "would disconnect each other" in asked.stderr)
    current = core / "opt" / "aws" / "amazon-defender-publisher" / "current"
    current.parent.mkdir(parents=True)
    current.symlink_to("versions/0")
    upgraded = run_here(INSTALL, "--dry-run", "--prefix", core, *at_aws(identity))
    assert (0, asked.stderr) == (upgraded.returncode, upgraded.stderr)


@pytest.mark.parametrize(
    ("config", "endpoint", "says"),
    [
        (CORE.replace('"t"', "core-1"), AWS, "as core-1; this service reports as t. To report as the core, use "),
        (CORE.replace('"t"', '""'), AWS, "as a thing whose name cannot be read; this service must not report as "),
        (CORE, "detect.home", "with the same client ID, t; at AWS IoT, which this service does not report to"),
    ],
)
def test_a_nucleus_that_is_not_in_the_way_is_only_spoken_of(
    core: Path, identity: list[str], config: str, endpoint: str, says: str
) -> None:
    (core / "greengrass" / "v2" / "config" / "effectiveConfig.yaml").write_text(config)
    done = run_here(INSTALL, "--dry-run", "--prefix", core, "--endpoint", endpoint, *identity[2:])
    assert (0, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert says in done.stderr


def test_a_nucleus_that_was_left_behind_is_named_only_where_it_has_the_same_name(
    core: Path, identity: list[str]
) -> None:
    (core / "etc" / "systemd" / "system" / "multi-user.target.wants" / "greengrass.service").unlink()
    done = run_here(INSTALL, "--dry-run", "--prefix", core, *at_aws(identity))
    assert (0, True) == (done.returncode, "is not enabled; once it runs, it and this service disconnect" in done.stderr)
    (core / "greengrass" / "v2" / "config" / "effectiveConfig.yaml").write_text(CORE.replace('"t"', "core-1"))
    done = run_here(INSTALL, "--dry-run", "--prefix", core, *at_aws(identity))
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("agent", "client_id"),
    [
        ({"thing_name": "t"}, "t"),
        ({"thing_name": "t", "client_id": "c"}, "c"),
        ({"instance": {"serial": "00Ab", "prefix": "RPI"}}, "rpi-00ab"),
        ({"instance": {"serial": "7"}}, "sys-7"),
        ({"instance": {"command": "echo 7"}}, None),
    ],
)
def test_the_client_id_is_the_one_that_the_program_will_use(agent: dict[str, Any], client_id: str | None) -> None:
    assert client_id == load()["nucleus"].client_id_of(agent)
