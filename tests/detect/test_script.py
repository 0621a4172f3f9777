"""amazon-defender-detect as a process: it says when it is ready or what is wrong, and ends when it is told to."""

from __future__ import annotations

import io
import json
import os
import queue
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from defender_detect import __main__ as detect
from defender_detect.errors import StoreUnavailable
from defender_detect.receive.endpoint import Endpoint
from demo.authority import Authority, Files
from tests.detect.receive.test_receiver import (
    HOST,
    PATIENCE,
    Thing,
    credentials_of,
    report,
)
from tests.plain_python import PLAIN_PYTHON

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "amazon-defender-detect"
READY = re.compile(r"amazon-defender-detect is ready on (\S+):(\d+): ")
HAS_AMQTT = sys.version_info >= (3, 10)
needs_amqtt = pytest.mark.skipif(not HAS_AMQTT, reason="amqtt needs Python 3.10 or later")
WRONG_CONFIGURATION, UNAVAILABLE = 78, 69


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("detect", ["localhost", HOST])


@pytest.fixture
def files(authority: Authority, server: Files) -> list[str]:
    return arguments_for(authority, server)


def arguments_for(authority: Authority, files: Files) -> list[str]:
    names = {"--root-ca": authority.certificate, "--certificate": files.certificate, "--private-key": files.private_key}
    return [str(part) for pair in names.items() for part in pair]


class Program:
    """The script as a process, with the lines that it writes on standard error."""

    def __init__(self, *arguments: str, script: Path = SCRIPT, **options: object) -> None:
        command = [sys.executable, str(script), *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.put(line)

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Return the first match in the next lines."""
        while True:
            found = re.search(pattern, self.lines.get(timeout=PATIENCE))
            if found:
                return found

    def ready(self) -> Endpoint:
        found = self.wait_for(READY)
        return Endpoint(found[1], int(found[2]))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.wait()
        program.process.stderr.close()


def run(*arguments: str, command: tuple[str, ...] = (sys.executable, str(SCRIPT)), **options: object):
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, **options)


def run_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in this process, for what starts nothing and listens nowhere."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr("defender_detect.daemon.start_logging", lambda debug: None)  # as in conftest.py
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            status = detect.main(arguments)
        except SystemExit as ended:  # of argparse
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


WRONG_ARGUMENTS = [
    (["--port", "0"], "--port must be from 1 to 65535, got 0"),
    (["--port", "65536"], "--port must be from 1 to 65535, got 65536"),
    (["--port", "x"], "argument --port: invalid int value: 'x'"),
    (["--endpoint", ""], "argument --endpoint: must be a host name or an address"),
    (["--endpoint", "a" * 64], "argument --endpoint: must be a host name or an address"),
    (["--minimum-interval", "-1"], "argument --minimum-interval: must be a number of seconds of at least 0, got -1"),
    (["--minimum-interval", "nan"], "argument --minimum-interval: must be a number of seconds of at least 0, got nan"),
    (["--minimum-interval", "x"], "argument --minimum-interval: must be a number of seconds of at least 0, got x"),
    (["--what"], "unrecognized arguments: --what"),
]
WRONG_FILES = [
    (["--root-ca", "/no/such.pem"], "the root CA file /no/such.pem cannot be read: No such file or directory"),
    (["--certificate", "/no/such.pem"], "the certificate /no/such.pem cannot be read: No such file or directory"),
    (["--private-key", "/no/such.pem"], "the private key /no/such.pem cannot be read: No such file or directory"),
    (["--certificate", __file__], f"the certificate {__file__} and the private key "),
]


@pytest.mark.parametrize(("arguments", "message"), [WRONG_ARGUMENTS[0], *WRONG_FILES])
def test_what_is_wrong_is_said_in_one_line(arguments, message, files):
    assert_one_line(message, run("--endpoint", HOST, *files, *arguments))


@pytest.mark.parametrize(("arguments", "message"), WRONG_ARGUMENTS)
def test_what_is_wrong_with_an_argument_is_said_in_one_line(arguments, message, files):
    assert_one_line(message, run_here("--endpoint", HOST, *files, *arguments))


def assert_one_line(message, ended):
    assert ended.returncode == WRONG_CONFIGURATION
    assert ended.stderr.startswith(f"amazon-defender-detect: {message}")
    assert ended.stderr.count("\n") == 1


def test_each_missing_file_is_named():
    ended = run("--endpoint", HOST)
    assert ended.returncode == WRONG_CONFIGURATION
    assert ended.stderr == (
        "amazon-defender-detect: --root-ca is missing (agent.authentication.root_ca)\n"
        "--certificate is missing (agent.authentication.certificate)\n"
        "--private-key is missing (agent.authentication.private_key)\n"
    )


def test_without_endpoint_and_broker_it_says_what_to_choose_from(files):
    ended = run_here(*files)
    assert ended.returncode == WRONG_CONFIGURATION
    assert (
        "--endpoint is missing (agent.authentication.endpoint); to run the built-in broker: --embedded-broker"
        in ended.stderr
    )


def test_a_full_disk_is_said_with_a_status_that_allows_another_try(monkeypatch, capsys):
    def fail(_):
        raise StoreUnavailable("the database detect.db cannot be used: database or disk is full")

    monkeypatch.setattr(detect, "run", fail)
    assert UNAVAILABLE == detect.main([])
    assert "amazon-defender-detect: the database detect.db cannot be used" in capsys.readouterr().err


@needs_amqtt
def test_a_taken_port_is_said_with_a_status_that_allows_another_try(files):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--embedded-broker", "--port", str(port), *files)
    assert ended.returncode == UNAVAILABLE
    message = f"amazon-defender-detect: the broker cannot listen on {HOST}:{port}: Address already in use\n"
    assert ended.stderr == message


@needs_amqtt
def test_an_authority_that_did_not_issue_its_certificate_is_said(files, tmp_path):
    other = Authority(tmp_path / "other")
    ended = run("--embedded-broker", "--port", "0", *files, "--root-ca", str(other.certificate))
    assert ended.returncode == WRONG_CONFIGURATION
    said = ended.stderr.splitlines()[-1]
    assert re.fullmatch(r"amazon-defender-detect: the certificate of \S+ is not trusted: .*", said)


def test_the_version_is_printed():
    assert run("--version").stdout == "amazon-defender-detect 0.1.0\n"


def test_it_is_executable():
    assert os.access(SCRIPT, os.X_OK)


@needs_amqtt
def test_it_runs_through_a_symbolic_link_and_from_elsewhere(programs, files, tmp_path):
    link = tmp_path / "detect"
    link.symlink_to(SCRIPT)
    program = Program("--embedded-broker", "--port", "0", *files, script=link, cwd=tmp_path)
    programs.append(program)
    program.ready()
    assert program.end() == 0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the script and its package, to put a .venv beside them."""
    directory = tmp_path / "checkout"
    for name in ("defender_daemon", "defender_detect", "device_defender"):
        shutil.copytree(ROOT / name, directory / name)
    for name in (SCRIPT.name, "defender_start.py"):
        shutil.copy(ROOT / name, directory)
    return directory


def make_environment(checkout: Path, script: str) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(stat.S_IRWXU)


def without_packages(checkout: Path) -> tuple[str, ...]:
    return (PLAIN_PYTHON, "-S", str(checkout / SCRIPT.name))


def test_without_its_packages_it_starts_again_in_the_environment_beside_it(checkout, files):
    make_environment(checkout, 'echo "$@"')
    ended = run("--endpoint", "a host", *files, command=without_packages(checkout), cwd="/")
    assert ended.stdout == f"{checkout / SCRIPT.name} --endpoint a host {' '.join(files)}\n"


def test_an_environment_without_the_packages_is_tried_once(checkout, files):
    make_environment(checkout, f'echo tried; exec {PLAIN_PYTHON} -S "$@"')
    ended = run("--endpoint", HOST, *files, command=without_packages(checkout))
    assert ended.stdout == "tried\n"
    assert ended.returncode == WRONG_CONFIGURATION
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("asks", [["--endpoint", HOST], ["things"], ["--check-config"], ["--embedded-broker"]])
def test_without_packages_and_environment_it_says_how_to_install_them(asks, checkout):
    shutil.copy(ROOT / "Makefile", checkout)
    ended = run(*asks, command=without_packages(checkout))
    assert ended.returncode == WRONG_CONFIGURATION
    advice = rf"the Python package \w+ is missing; run: make -C {re.escape(str(checkout))} install-detect"
    assert re.fullmatch(f"amazon-defender-detect: {advice}\n", ended.stderr)


def test_without_packages_a_release_says_how_to_install_those_of_detect(checkout):
    shutil.copy(ROOT / "pyproject.toml", checkout)
    ended = run("--endpoint", HOST, command=without_packages(checkout))
    assert f'-m venv {checkout}/.venv && {checkout}/.venv/bin/pip install "{checkout}[detect]"' in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_without_packages_an_installed_detect_says_which_extra_it_needs(checkout):
    """What pip installed has neither a Makefile nor pyproject.toml beside it."""
    ended = run("--endpoint", HOST, command=without_packages(checkout))
    assert re.search(r"pip install .*\"amazon-defender-publisher\[detect\]\"\n$", ended.stderr)
    assert ended.stderr.count("\n") == 1


@needs_amqtt
def test_without_amqtt_alone_the_advice_can_be_followed_as_well(checkout, files):
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / "amqtt.py").write_text('raise ModuleNotFoundError("No module named \'amqtt\'", name="amqtt")\n')
    ended = run("--embedded-broker", *files, command=(sys.executable, str(checkout / SCRIPT.name)))
    advice = f"the Python package amqtt is missing; run: make -C {checkout} install-detect"
    assert (WRONG_CONFIGURATION, f"amazon-defender-detect: {advice}\n") == (ended.returncode, ended.stderr)


def test_it_is_a_module_too():
    ended = run("--version", command=(sys.executable, "-m", "defender_detect"), cwd=ROOT)
    assert (0, "amazon-defender-detect 0.1.0\n") == (ended.returncode, ended.stdout)


@pytest.mark.skipif(HAS_AMQTT, reason="needs a Python before 3.10")
def test_on_an_old_python_the_embedded_broker_says_what_to_do(checkout, files):
    ended = run("--embedded-broker", "--port", "0", *files, command=(sys.executable, str(checkout / SCRIPT.name)))
    assert ended.returncode == WRONG_CONFIGURATION
    assert "the built-in broker needs Python 3.10 or later" in ended.stderr
    assert ended.stderr.count("\n") == 1


def write_config(directory: Path, files: list[str], agent: object = None, **detect: object) -> Path:
    keys = {name[2:].replace("-", "_"): path for name, path in zip(files[::2], files[1::2])}
    path = directory / "detect.json"
    authentication = {"endpoint": HOST, **keys}
    path.write_text(json.dumps({"agent": {"authentication": authentication, **(agent or {})}, "detect": detect}))
    return path


@needs_amqtt
def test_a_configuration_can_ask_for_debug_and_the_broker(programs, authority, files, tmp_path):
    config = write_config(tmp_path, files, {"debug": True, "embedded_broker": True})
    program = Program(str(config), "--port", "0")
    programs.append(program)
    thing = Thing(program.ready(), credentials_of(authority, authority.issue("thing")), "thing").listen()
    assert thing.ask(report(3))[0] == "accepted"
    program.wait_for("DEBUG thing: report 3 of ")
    assert program.end() == 0
    thing.leave()


@pytest.mark.parametrize("question", [[], ["things"], ["metrics"], ["violations"]])
def test_help_is_printed(question):
    ended = run_here(*question, "--help", COLUMNS="80")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--state-directory DIR" in ended.stdout
    assert all(len(line) <= 80 for line in ended.stdout.splitlines())
    assert ("--days" in ended.stdout) == (question in (["metrics"], ["violations"]))
