"""Detect's installer without a machine: its options, its dry run, what it refuses, and the unit."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_defender.shards import shards_of
from tests.installers.test_device import load
from tests.installers.test_linux_quick import add_tools, prefix, run, run_here

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL, UNINSTALL = ROOT / "installers" / "install-detect.bash", ROOT / "installers" / "uninstall-detect.bash"
UNIT = ROOT / "installers" / "amazon-defender-detect.service"
CONSOLE = ROOT / "installers" / "amazon-defender-detect-console.service"
TEMPLATE = ROOT / "installers" / "amazon-defender-detect@.service"
NAME = "amazon-defender-detect"
STEPS = ["platform", "python", "directory", "program", "user", "configuration", "service", "start", "verdict"]
FILES = {"root_ca": "authority/authority.pem", "certificate": "detect.pem", "private_key": "detect.key"}

__all__ = ["prefix"]  # a fixture

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="this is about Linux"),
    pytest.mark.skipif(sys.version_info < (3, 10), reason="Detect needs Python 3.10, which the installer looks for"),
]


@pytest.fixture
def directory(prefix: Path) -> Path:
    """What `amazon-defender-detect init` makes, below the prefix."""
    return write_directory(prefix / "etc" / NAME)


def write_directory(directory: Path, **agent: object) -> Path:
    """Make what `amazon-defender-detect init` makes; keywords go into the agent section."""
    (directory / "authority").mkdir(parents=True, exist_ok=True)
    (directory / "profiles").mkdir(exist_ok=True)
    config = {"agent": {"embedded_broker": True, "authentication": FILES, **agent}}
    (directory / f"{NAME}.json").write_text(json.dumps(config))
    for name, mode in {"authority/authority.key": 0o600, "authority/authority.pem": 0o644, "detect.key": 0o600}.items():
        (directory / name).write_text(name)
        (directory / name).chmod(mode)
    return directory


def test_a_dry_run_tells_of_every_step_and_changes_nothing(prefix: Path, directory: Path) -> None:
    before = sorted(prefix.rglob("*"))
    done = run(INSTALL, "--dry-run", "--prefix", prefix)
    assert (0, "") == (done.returncode, done.stderr)
    assert STEPS == re.findall(r"^ ?\d+/9  (\S+)$", done.stdout, re.MULTILINE)
    commands = [line.strip("+ ") for line in done.stdout.splitlines() if line.startswith("       + ")]
    comment = "--comment 'Device Defender Detect'"
    for part in (comment, f"restart {UNIT.name}", "--check-config", "detect.lock", "--doctor"):
        assert 1 == len([command for command in commands if part in command]), part
    assert before == sorted(prefix.rglob("*"))
    assert "AWSIoTPythonSDK" not in done.stdout
    assert "retagged.lock" not in done.stdout


def test_without_a_directory_it_says_what_makes_one(prefix: Path) -> None:
    usual = prefix / "etc" / NAME
    done = run_here(INSTALL, "--prefix", prefix, "--non-interactive")
    init = f"make it first: {ROOT / NAME} init {usual}\n"
    assert (1, f"directory: there is no directory {usual}; {init}") == (done.returncode, done.stderr)
    usual.mkdir(parents=True)
    done = run_here(INSTALL, "--prefix", prefix)
    assert f"directory: {usual} has no {NAME}.json and no detect.key; {init}" == done.stderr


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        (
            {"authentication": {**FILES, "private_key": "/etc/ssl/mine.key"}},
            "agent.authentication.private_key must be detect.key, the file that the service is given, got /etc/ssl/",
        ),
        (
            {"state_directory": "state"},
            "agent.state_directory must be /var/lib/amazon-defender-detect, which the service can write, or",
        ),
        ({"authentication": []}, "authentication must be a JSON object"),
    ],
)
def test_a_configuration_that_a_service_cannot_use_is_refused_before_anything_is_built(
    prefix: Path, directory: Path, agent: dict[str, object], says: str
) -> None:
    write_directory(directory, **agent)
    done = run_here(INSTALL, "--prefix", prefix)
    assert (1, True) == (done.returncode, says in done.stderr), done.stderr
    assert not (prefix / "opt" / "aws" / NAME / "versions").exists()


@pytest.mark.parametrize("key", ["detect.key", "authority/authority.key"])
def test_a_key_that_others_can_read_is_refused(prefix: Path, directory: Path, key: str) -> None:
    (directory / key).chmod(0o640)
    done = run_here(INSTALL, "--prefix", prefix)
    path = directory / key
    assert f"directory: {path} must be readable by its owner only: chmod 600 {path}\n" == done.stderr


@pytest.mark.parametrize("name", ["", "profiles", f"{NAME}.json"])
def test_a_directory_that_others_can_change_is_refused(prefix: Path, directory: Path, name: str) -> None:
    """Or they could lead the installer, which is root, to a file that is not theirs."""
    write_directory(directory, topic="profiles")
    path = directory / name
    path.chmod(path.stat().st_mode | 0o020)
    done = run_here(INSTALL, "--prefix", prefix)
    assert (
        f"directory: {path} must belong to root, and nobody else may write it: chown -R root: {directory}; "
        in done.stderr
    )


def test_a_directory_that_the_sandbox_hides_is_refused(prefix: Path) -> None:
    there = write_directory(prefix / "home" / "me" / "detect")
    done = run_here(INSTALL, "--prefix", prefix, "--directory", there)
    assert f"directory: {there} must not be below /home, which the service cannot see: move it to /etc or /srv\n" == (
        done.stderr
    )


def test_what_only_root_can_read_is_given_to_the_services_group_but_no_key(directory: Path) -> None:
    """What the configuration names, a password of an alert for instance, with the directories on the way."""
    (directory / "secrets").mkdir()
    for name in ("secrets/ntfy", "profiles/home.json", "unnamed"):
        (directory / name).write_text("secret")
    config = json.loads((directory / f"{NAME}.json").read_text())
    config["detect"] = {"profiles": [{"path": "profiles"}], "alerts": [{"type": "ntfy", "token_file": "secrets/ntfy"}]}
    config["agent"]["authentication"]["other"] = "authority/authority.key"
    (directory / f"{NAME}.json").write_text(json.dumps(config))
    made = load()["directory"].Directory(directory, NAME)
    assert [] == list(made.closed())
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    readable = {f"{NAME}.json", "authority/authority.pem", "profiles/home.json", "secrets/ntfy"}
    expected = {**dict.fromkeys(readable, 0o640), **dict.fromkeys(("", "authority", "profiles", "secrets"), 0o750)}
    assert {directory / name: mode for name, mode in expected.items()} == dict(made.closed())


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/shadow", "\0", "", ".", "link"])
def test_nothing_outside_the_directory_is_given_to_anybody(directory: Path, name: str) -> None:
    (directory / "link").symlink_to("/etc/shadow")
    write_directory(directory, topic=name)
    made = load()["directory"].Directory(directory, NAME)
    directory.chmod(0o700)
    assert {directory: 0o750} == dict(made.closed())


def test_a_python_that_is_too_old_for_detect_is_refused_with_what_else_can_be_done(prefix: Path) -> None:
    old = prefix / "python3.9"
    old.write_text('#!/bin/sh\ncase "$*" in *"(3, 9)"*) exit 0 ;; *print*) echo "Python 3.9.2" ;; esac\nexit 1\n')
    old.chmod(0o755)
    done = run(INSTALL, "--prefix", prefix, "--python", old)
    says = f"python: Python 3.10 or later is needed, {old} is Python 3.9.2; a newer one can be named by --python\n"
    assert (1, says) == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bundle", "/etc/passwd"], "there is no option --bundle"),
        (["--replace"], "there is no option --replace"),
        (["--directory"], "--directory needs a value"),
        (["--cloudwatch"], "there is no option --cloudwatch"),
        (["--no-console", "--console"], "give --console or --no-console, not both"),
    ],
)
def test_an_option_of_the_other_installer_is_none_of_this_one(options: list[str], says: str) -> None:
    done = run_here(INSTALL, *options)
    assert (2, says) == (done.returncode, done.stderr.splitlines()[0])


def test_help_names_every_option() -> None:
    for script, options in {INSTALL: load()["product"].DETECT.options, UNINSTALL: ()}.items():
        done = run(script, "--help")
        assert (0, "") == (done.returncode, done.stderr)
        listed = set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE))
        assert {"--help", *options} <= listed
        assert f"usage: {script.name} " in done.stdout
        assert not options or {"--help", *options} == listed


def test_the_command_knows_the_state_as_the_service_does(tmp_path: Path) -> None:
    product = load()["product"].DETECT
    (tmp_path / "bin").mkdir()
    load()["program"].write_command(tmp_path, product, "nobody")
    python = tmp_path / "current" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$STATE_DIRECTORY"\n')
    python.chmod(0o755)
    command = [str(tmp_path / "bin" / NAME), "things"]
    for given, expected in ({}, f"/var/lib/{NAME}"), ({"STATE_DIRECTORY": "/mine"}, "/mine"):
        done = subprocess.run(command, capture_output=True, text=True, env=given, check=True)
        assert f"{expected}\n" == done.stdout


# The doctor


def ask_doctor(prefix: Path, answer: str) -> Any:
    """Let an installation ask the doctor of a program that answers as a line of shell does."""
    modules, directory = load(), write_directory(prefix / "etc" / NAME)
    product = modules["product"].DETECT
    options = modules["options"].read_options(["--prefix", str(prefix)], prefix)
    session = modules["session"].Session(product, options, Path("python3"), len(STEPS))
    installation = modules["detect"].DetectInstallation(session, modules["linux"].Linux(session))
    installation.directory = modules["directory"].Directory(directory, NAME, prefix)
    command = session.places.command
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    return installation._ask_doctor(True)


def test_the_last_line_says_where_detect_listens_and_what_the_doctor_finds(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_doctor(
        prefix, 'case "$*" in --help) echo "  --doctor  find" ;; "--doctor "*.json) echo OK ;; *) exit 9 ;; esac'
    )
    expected = "verdict        ready on the built-in broker on 127.0.0.1:8883; the doctor finds nothing wrong\n"
    assert capsys.readouterr().out.endswith(expected)


def test_a_version_without_a_doctor_is_only_ready(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask_doctor(prefix, 'case "$*" in --help) echo "  --check-config" ;; *) exit 9 ;; esac')
    assert capsys.readouterr().out.endswith("verdict        ready on the built-in broker on 127.0.0.1:8883\n")


def test_what_the_doctor_finds_wrong_is_shown_and_is_no_success(prefix: Path) -> None:
    answer = 'case "$*" in --help) echo "  --doctor" ;; *) echo "FAIL  disk  full"; echo why >&2; exit 1 ;; esac'
    with pytest.raises(load()["problem"].Problem) as problem:
        ask_doctor(prefix, answer)
    first, second, last = str(problem.value).splitlines()
    assert ("FAIL  disk  full", "why") == (first, second)
    assert last.startswith(f"verdict: Detect runs, but see above; look at: systemctl status {UNIT.name}")


# The console


@pytest.mark.parametrize(
    ("options", "there", "wanted"),
    [([], False, False), (["--console"], False, True), ([], True, True), (["--no-console"], True, False)],
)
def test_the_console_is_installed_with_its_packages_where_it_is_asked_for_or_there(
    prefix: Path, directory: Path, options: list[str], there: bool, wanted: bool
) -> None:
    units = prefix / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    if there:
        (units / CONSOLE.name).write_text("[Unit]\n")
    said = run_here(INSTALL, "--dry-run", "--prefix", prefix, *options)
    assert (0, "") == (said.returncode, said.stderr)
    commands = said.stdout.splitlines()
    (restart,) = [line.split(" restart ")[1] for line in commands if " restart " in line]
    assert " ".join([UNIT.name, *([CONSOLE.name] if wanted else [])]) == restart
    (download,) = [line for line in commands if " download " in line]
    assert (1, int(wanted)) == (download.count("/detect.lock"), download.count("/detect-console.lock"))
    (installed,) = [line for line in commands if " pip install " in line]
    assert wanted == ("/console-requirements.txt" in installed)
    assert (there and not wanted) == any("disable --now" in line and CONSOLE.name in line for line in commands)


def an_installation(prefix: Path, *options: str, oldest: tuple[int, int] = (3, 9)) -> Any:
    """An installation of Detect below a prefix, whose console needs a Python of this version."""
    modules = load()
    product = modules["product"].DETECT
    product = replace(product, companion=replace(product.companion, oldest=oldest))
    given = modules["options"].read_options(["--prefix", str(prefix), *options], prefix, "", product.options)
    session = modules["session"].Session(product, given, Path("python3"), len(STEPS))
    return modules["detect"].DetectInstallation(session, modules["linux"].Linux(session))


def test_a_python_that_is_too_old_for_the_console_is_said_and_detect_is_installed_without_it(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = an_installation(prefix, "--console", oldest=(9, 9))
    made._heed_python()
    said = capsys.readouterr().err
    assert said.startswith("python: the console needs Python 9.9 or later, python3 is Python 3."), said
    assert said.endswith("; Detect is installed without it, and a newer one can be named by --python\n")
    assert [UNIT.name] == made.platform.units
    for options in (["--console"], []):
        made = an_installation(prefix, *options)
        made._heed_python()
        assert ("", bool(options)) == (capsys.readouterr().err, CONSOLE.name in made.platform.units)


def test_a_version_without_the_consoles_packages_goes_on_without_it(prefix: Path, tmp_path: Path) -> None:
    """What an upgrade that asked for a console for the first time, and failed, is taken back to."""
    units = prefix / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / CONSOLE.name).write_text("[Unit]\n")
    python, units_of_it = tmp_path / "venv" / "bin" / "python", tmp_path / "installers"
    for path in (python.parent, units_of_it):
        path.mkdir(parents=True)
    for unit in (UNIT, CONSOLE):
        shutil.copy(unit, units_of_it)
    for status, expected in ((0, [UNIT.name, CONSOLE.name]), (1, [UNIT.name])):
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
        linux = an_installation(prefix).platform
        linux.write_service(tmp_path)
        assert (expected, sorted(expected)) == (linux.units, sorted(path.name for path in units.iterdir()))


@pytest.mark.parametrize("there", [False, True])
def test_a_console_that_does_not_start_is_taken_back_to_what_there_was_before(
    prefix: Path, directory: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detect runs again as it did: without a console that nobody had, or with the one that was left out now."""
    restarts = prefix / "restarts"
    fails_once = f'case "$*" in "restart "*) echo >>"{restarts}"; [ $(wc -l <"{restarts}") -gt 1 ] ;; esac'
    calls = add_tools(prefix, systemctl=fails_once)
    units, root = prefix / "etc" / "systemd" / "system", prefix / "opt" / "aws" / NAME
    units.mkdir(parents=True)
    for version in ("old", "new"):
        python = root / "versions" / version / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\nexit 0\n")
        python.chmod(0o755)
        shutil.copytree(ROOT / "installers", root / "versions" / version / "installers")
    (root / "current").symlink_to("versions/old")
    (root / "etc").symlink_to(directory)
    if there:
        shutil.copy(CONSOLE, units)
    made = an_installation(prefix, "--no-console" if there else "--console")
    made.install_service()
    monkeypatch.setattr(made.platform, "last_words", lambda: "I am broken")
    with pytest.raises(
        load()["problem"].Problem, match="I am broken\nstart: new does not start; restored old, which is"
    ):
        made.switch.start(root / "versions" / "new")
    expected = [UNIT.name, CONSOLE.name] if there else [UNIT.name]
    assert sorted(expected) == sorted(path.name for path in units.iterdir())
    assert f"restart {' '.join(expected)}" in calls.read_text().splitlines()[-1]


def test_the_console_is_no_script_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    load()["program"].write_command(tmp_path, load()["product"].DETECT, "nobody")
    assert [NAME] == [path.name for path in (tmp_path / "bin").iterdir()]


def test_a_copy_of_the_program_has_all_that_the_pages_are_made_of(tmp_path: Path) -> None:
    load()["program"].copy(ROOT, tmp_path, load()["product"].DETECT)
    pages = Path("defender_detect", "console")
    made, of_source = (
        {path.relative_to(tree / pages) for path in (tree / pages).rglob("*.*")} for tree in (tmp_path, ROOT)
    )
    assert {path for path in of_source if "__pycache__" not in path.parts} == made
    assert Path("templates", "overview.html") in made


# Shards

SHARDED = {"embedded_broker": False, "topic": "reports/{shard:3}/{thing_name}"}


def names_of(*shards: int) -> list[str]:
    return [f"{NAME}@{shard}.service" for shard in shards]


def a_sharded_installation(prefix: Path, directory: Path, topic: str) -> Any:
    """An installation whose directory has been found, of a configuration with this topic."""
    write_directory(directory, **{**SHARDED, "topic": topic})
    made = an_installation(prefix, "--directory", str(directory))
    made.commands.make_open(made.places.root)
    made._find_directory()
    return made


def test_a_topic_with_shards_makes_a_service_of_each(prefix: Path, directory: Path) -> None:
    write_directory(directory, **SHARDED)
    said = run_here(INSTALL, "--dry-run", "--prefix", prefix)
    assert (0, "") == (said.returncode, said.stderr)
    (restart,) = [line.split(" restart ")[1] for line in said.stdout.splitlines() if " restart " in line]
    assert names_of(0, 1, 2) == restart.split()
    copied = [line for line in said.stdout.splitlines() if f"installers/{TEMPLATE.name}" in line]
    assert (1, False) == (len(copied), f"installers/{UNIT.name}" in said.stdout)


def test_what_no_longer_runs_is_ended_where_the_shards_change(prefix: Path, directory: Path) -> None:
    """From one Detect to three shards, to two, and back to one; what systemd has enabled is a link for each."""
    units = prefix / "etc" / "systemd" / "system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True)
    shutil.copy(UNIT, units)
    calls = add_tools(prefix, systemctl="exit 0")

    def ended(topic: str) -> list[str]:
        calls.write_text("")
        a_sharded_installation(prefix, directory, topic).platform.write_service(ROOT)
        found = [line.split(" --now ")[1].split() for line in calls.read_text().splitlines() if " disable " in line]
        return [name for names in found for name in names]

    assert [UNIT.name] == ended("reports/{shard:3}/{thing_name}")
    assert [TEMPLATE.name] == [path.name for path in units.glob("*.service")]
    for name in names_of(0, 1, 2):
        (wants / name).symlink_to(units / TEMPLATE.name)
    assert names_of(2) == ended("reports/{shard:2}/{thing_name}")
    (wants / names_of(2)[0]).unlink()
    assert names_of(0, 1) == ended("reports/{thing_name}")
    assert [UNIT.name] == [path.name for path in units.glob("*.service")]


def test_awss_api_for_shards_is_refused_with_what_can_be_done_instead(prefix: Path, directory: Path) -> None:
    write_directory(directory, **SHARDED)
    path = directory / "amazon-defender-detect.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "detect": {"api": {"port": 0}}}))
    done = run_here(INSTALL, "--dry-run", "--prefix", prefix, "--console")
    assert (1, True) == (done.returncode, "detect.api answers for one Detect, and agent.topic has" in done.stderr)


def test_a_console_is_installed_beside_shards(prefix: Path, directory: Path) -> None:
    write_directory(directory, **SHARDED)
    done = run_here(INSTALL, "--dry-run", "--prefix", prefix, "--console")
    assert (0, "") == (done.returncode, done.stderr)
    assert f"restart {' '.join(names_of(0, 1, 2))} {NAME}-console.service" in done.stdout


@pytest.mark.parametrize("topic", [None, "", "a/{thing_name}", "s{shard:16}/{thing_name}", "{shard:x}/{thing_name}"])
def test_the_installer_and_the_program_find_the_same_shards(directory: Path, topic: str | None) -> None:
    write_directory(directory, topic=topic)
    assert (shards_of(topic) or 0) == load()["directory"].Directory(directory, NAME).shards()


def test_the_unit_of_a_shard_is_that_of_detect_but_for_its_shard_and_its_state() -> None:
    first, second = (
        {line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")}
        for unit in (UNIT, TEMPLATE)
    )
    assert {"StateDirectory=amazon-defender-detect/%i", "LimitNOFILE=1024"} == {
        line for line in second - first if not line.startswith("Description=")
    }
    assert {"StateDirectory=amazon-defender-detect", "LimitNOFILE=16384"} == {
        line for line in first - second if not line.startswith("Description=")
    }
    assert "    --state-directory %S/amazon-defender-detect --shard %i \\\n" in TEMPLATE.read_text()


# Removal


def test_a_purge_removes_what_init_made_wherever_it_is_and_nothing_else(prefix: Path) -> None:
    there, other = write_directory(prefix / "srv" / "guard"), prefix / "srv" / "other"
    other.mkdir()
    root = prefix / "opt" / "aws" / NAME
    (root / "versions").mkdir(parents=True)
    (root / "etc").symlink_to(there)
    done = run(UNINSTALL, "--prefix", prefix)
    assert (0, True) == (done.returncode, there.is_dir() and (root / "etc").is_symlink())
    assert f"kept (--purge removes it): {there}" in done.stdout
    done = run(UNINSTALL, "--prefix", prefix, "--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert (False, False, True) == (there.exists(), root.exists(), other.exists())


def test_a_purge_follows_no_link_to_what_is_not_detects(prefix: Path) -> None:
    there = prefix / "srv" / "guard"
    there.mkdir(parents=True)
    root = prefix / "opt" / "aws" / NAME
    root.mkdir(parents=True)
    (root / "etc").symlink_to(there)
    assert 0 == run(UNINSTALL, "--prefix", prefix, "--purge").returncode
    assert (True, False) == (there.exists(), root.exists())


def test_the_service_is_stopped_before_it_is_removed(prefix: Path) -> None:
    calls = add_tools(prefix, systemctl="exit 0")
    units = prefix / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for unit in (UNIT, TEMPLATE, CONSOLE):
        (units / unit.name).write_text("[Unit]\n")
    assert 0 == run(UNINSTALL, "--prefix", prefix).returncode
    words = [line.split()[1:3] for line in calls.read_text().splitlines()]
    running = (UNIT.name, f"{NAME}@*.service", CONSOLE.name)  # of a template all that run
    removed = [[["-q", "disable"], ["reset-failed", name], ["daemon-reload"]] for name in running]
    assert [*(["stop", name] for name in running), *removed[0], *removed[1], *removed[2]] == words
    assert [] == list(units.iterdir())


# The unit


@pytest.mark.parametrize("unit", [UNIT, CONSOLE, TEMPLATE], ids=lambda unit: unit.stem)
def test_the_unit_is_hardly_exposed(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to look at a unit that it does not run")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_unit_knows_nothing_that_systemd_247_does_not_and_gets_its_key_only_from_systemd() -> None:
    later = {"ExecPaths", "NoExecPaths", "PrivateIPC", "ExtensionImages", "RestrictFileSystems", "ImportCredential"}
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    assert set() == {*later, "SocketBindAllow"} & set(parser["Service"])
    lines = UNIT.read_text().splitlines()
    credentials = [line for line in lines if line.startswith("LoadCredential=")]
    assert [f"LoadCredential=detect.key:/opt/aws/{NAME}/etc/detect.key"] == credentials
    assert {"Type=notify", "WatchdogSec=60", "Restart=always", "RestartPreventExitStatus=78"} <= {*lines}
    assert f"StateDirectory={NAME}" in lines


ADDITION = ROOT / "installers" / f"{NAME}-renewal.conf"


def test_the_authoritys_key_is_given_to_the_service_only_where_things_renew_their_certificates(
    prefix: Path, directory: Path
) -> None:
    place = prefix / "etc" / "systemd" / "system" / f"{UNIT.name}.d" / ADDITION.name

    def commands() -> list[str]:
        done = run_here(INSTALL, "--dry-run", "--prefix", prefix)
        assert (0, "") == (done.returncode, done.stderr)
        return [line.split()[1] for line in done.stdout.splitlines() if ADDITION.name in line]

    assert [] == commands()
    write_directory(directory, renewal={})
    assert ["cp", "chmod", "mv"] == commands()
    place.parent.mkdir(parents=True)
    place.write_text("")
    write_directory(directory)
    assert ["rm"] == commands()
    (line,) = [each for each in ADDITION.read_text().splitlines() if each.startswith("Load")]
    assert f"LoadCredential=authority.key:/opt/aws/{NAME}/etc/authority/authority.key" == line


def test_an_authority_elsewhere_cannot_be_given_to_the_service(prefix: Path, directory: Path) -> None:
    write_directory(directory, renewal={"authority": "/etc/ssl/mine"})
    done = run_here(INSTALL, "--prefix", prefix)
    assert "agent.renewal.authority must be authority, whose key the service is given, got /etc/ssl/mine" in done.stderr


def test_the_unit_of_the_console_has_no_key_and_is_otherwise_as_hard() -> None:
    first, second = (
        {line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")}
        for unit in (UNIT, CONSOLE)
    )
    assert {line for line in second - first if not line.startswith(("Description=", "After=", "T"))} == {
        "RuntimeDirectory=amazon-defender-detect-console", "RuntimeDirectoryMode=0700",
    }  # fmt: skip
    assert {line for line in first - second if not line.startswith(("Description=", "After=", "T"))} == {
        "Wants=network-online.target time-sync.target", "LimitNOFILE=16384", "WatchdogSec=60",
        f"LoadCredential=detect.key:/opt/aws/{NAME}/etc/detect.key", "ExecReload=/bin/sh -c 'kill -HUP \"$MAINPID\"'",
    }  # fmt: skip
    assert f"/opt/aws/{NAME}/current/{NAME} console \\\n    /opt/aws/{NAME}/etc/{NAME}.json\n" in CONSOLE.read_text()
