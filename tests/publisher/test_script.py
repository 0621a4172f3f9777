"""The publisher as a process: its modes, its exit statuses, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from defender_publisher.state import publisher_runs
from demo.authority import Authority
from tests.fakes.scripted_broker import Script, ScriptedBroker
from tests.plain_python import PLAIN_PYTHON
from tests.ports import fill_queue
from tests.quick import ONCE, SOON, quick
from tests.waiting import PATIENCE, read_until, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLISHER, START = ROOT / "amazon-defender-publisher", ROOT / "defender_start.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed run printed; a traceback is none."""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def test_version_and_help(run: Run) -> None:
    assert "amazon-defender-publisher 0.1.0\n" == run("--version").stdout
    done = run("--help")
    assert 0 == done.returncode
    short = {"-e", "-r", "-c", "-k", "-id", "-t", "-f", "-i", "-s", "-d", "-cm", "-w", "-se", "-ph", "-pp"}
    long = {"--check-config", "--dry-run", "--once", "--samples", "--endpoint", "--root-ca", "--custom-metrics"}
    assert set() == (short | long) - set(re.findall(r"(?<!\S)--?\w[\w-]*", done.stdout))


def test_the_first_agents_command_line_needs_no_configuration(
    ask: Run, authority: Authority, broker: ScriptedBroker
) -> None:
    files = authority.issue("old-timer")
    done = ask(
        "-e", "localhost", "-r", authority.certificate, "-c", files.certificate, "-k", files.private_key,
        "-id", "old-timer", "-f", "json", "-i", "300", "-s", "-cm", "--once", "--port", broker.port,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    ((topic, payload, _),) = broker.seen.publishes
    assert "$aws/things/old-timer/defender/metrics/json" == topic
    assert {"hed", "met", "cmet"} == set(json.loads(payload))
    assert "old-timer" == broker.seen.connects[0]["client_id"]


def test_a_thing_can_be_reported_for_by_another_client(
    ask: Run, write_config: Callable[..., Path], broker: ScriptedBroker
) -> None:
    done = ask("--once", write_config(broker.port), "-id", "gateway", "-t", "behind-the-gateway")
    assert 0 == done.returncode, done.stderr
    assert "gateway" == broker.seen.connects[0]["client_id"]
    assert "$aws/things/behind-the-gateway/defender/metrics/json" == broker.seen.publishes[0][0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.json"], "none.json: there is no such configuration file"),
        (["."], "cannot be read: Is a directory"),
        (["-e", "x"], "agent.authentication.certificate is missing"),
        (["--dry-run", "-f", "xml"], 'agent.format must be one of cbor, json, got "xml"'),
        (["--dry-run", "-t", "my thing"], "agent.thing_name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -"),
        (["--dry-run", "--samples", "-1"], "--samples must be at least 0"),
        (["--dry-run", "--interval", "0"], "--interval from 1 to"),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_sentence(ask: Run, arguments: list[str], expected: str) -> None:
    done = ask(*arguments)
    assert done.returncode in (78, 2)
    assert "Traceback" not in done.stderr
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"agent": {"publish_intervall": 300}}, "agent.publish_intervall is not a known key; did you mean"),
        ({"agent": {"debug": "no"}}, 'agent.debug must be true or false, got "no"'),
        ({"agent": {"thing_name": None}}, "agent.thing_name is missing; give it, or agent.instance.serial"),
        ({"agent": {"thing_name": None, "instance": {"command": "false"}}}, "failed with exit status 1"),
    ],
)
def test_a_bad_configuration_ends_with_78_and_a_sentence(
    ask: Run, write_config: Callable[..., Path], change: dict[str, dict[str, object]], expected: str
) -> None:
    path = write_config(8883)
    config = json.loads(path.read_text())
    config["agent"].update(change["agent"])
    path.write_text(json.dumps(config))
    for mode in ([], ["--check-config"], ["--once"]):
        done = ask(*mode, path)
        assert 78 == done.returncode
        assert one_sentence(done).startswith(f"{path}: ")
        assert expected in one_sentence(done)


def test_credentials_that_cannot_be_used_end_with_78_and_a_sentence(
    ask: Run, write_config: Callable[..., Path], authority: Authority, tmp_path: Path
) -> None:
    path = write_config(8883)
    config = json.loads(path.read_text())
    authentication = config["agent"]["authentication"]
    other = authority.issue("another")
    open_key = tmp_path / "open.key"
    open_key.write_bytes(other.private_key.read_bytes())
    open_key.chmod(0o644)
    for key, value, expected in [
        ("private_key", tmp_path / "none", "No such file or directory"),
        ("private_key", other.private_key, "does not belong to"),
        ("private_key", open_key, f"run: chmod 600 {open_key}"),
        ("certificate", other.private_key, "must hold a certificate in PEM form"),
        ("root_ca", tmp_path, "Is a directory"),
    ]:
        path.write_text(
            json.dumps({"agent": {**config["agent"], "authentication": {**authentication, key: str(value)}}})
        )
        done = ask(path)
        assert 78 == done.returncode
        assert expected in one_sentence(done)
        assert one_sentence(done).endswith(" (amazon-defender-publisher doctor finds out more)")  # in the journal, too


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root can read every file")
def test_an_unreadable_configuration_ends_with_78_and_a_sentence(tmp_path: Path, run: Run) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    path = tmp_path / "c.json"
    path.write_text("{}")
    path.chmod(0)
    assert "Permission denied" in one_sentence(run(path))


def test_network_troubles_fail_once_with_a_sentence(
    ask: Run, write_config: Callable[..., Path], broker: ScriptedBroker, free_port: int, authority: Authority,
    tmp_path: Path,
) -> None:  # fmt: skip
    stranger = Authority(tmp_path / "stranger", name="stranger")
    expired = authority.issue_expired("expired")
    cases: list[tuple[list[object], str]] = [
        (["--port", free_port], "localhost refused the connection; check agent.authentication.port"),
        (["-e", "no-such-host.invalid"], "the name no-such-host.invalid cannot be resolved"),
        (["-r", stranger.certificate], "the server's certificate was not accepted"),
        (["-e", "127.0.0.1"], "the server's certificate was not accepted (IP address mismatch"),
        (["-c", expired.certificate, "-k", expired.private_key], "expired on"),
        (["-ph", "127.0.0.1", "-pp", free_port], f"the proxy 127.0.0.1:{free_port} cannot be used: "),
    ]
    for options, expected in cases:
        done = ask("--once", write_config(broker.port), *options)
        assert 1 == done.returncode
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert [] == broker.seen.publishes


@pytest.mark.parametrize("trouble", ["refused", "silent", "black hole"])
def test_sigterm_ends_the_daemon_whatever_the_network_does(
    trouble: str, write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]],
    broker: ScriptedBroker, free_port: int,
) -> None:  # fmt: skip
    broker.script = Script(tls=False)
    port, black_hole = free_port if trouble == "refused" else broker.port, contextlib.ExitStack()
    if trouble == "black hole":  # a listener whose queue is full drops every SYN
        listener = black_hole.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for each in fill_queue(listener):
            black_hole.enter_context(each)
    process = start(*quick(write_config(port), constants={**SOON, "defender_publisher.daemon.STOP_WITHIN": 0.2}))
    read_until(process.stdout, "reporting for rpi-0001")
    if trouble == "refused":
        read_until(process.stdout, "refused the connection")
    else:  # of which nothing is said while it hangs
        assert wait_until(psutil.Process(process.pid).net_connections)
    assert None is process.poll()
    process.send_signal(signal.SIGTERM)
    with black_hole:
        output, _ = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert "Traceback" not in output


def test_sighup_takes_a_valid_configuration_and_keeps_the_old_one_otherwise(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], broker: ScriptedBroker
) -> None:
    def metrics() -> list[set[str]]:
        return [set(json.loads(payload)["custom_metrics"]) for _, payload, _ in broker.seen.publishes]

    path = write_config(broker.port)
    good = path.read_text()
    process = start(*quick(path))
    assert wait_until(metrics)
    path.write_text(good.replace('"publish_interval": 1', '"publish_interval": "x"'))
    process.send_signal(signal.SIGHUP)
    output = read_until(process.stdout, "keeping the current configuration; the new one is invalid: ")
    before = len(metrics())
    assert wait_until(lambda: len(metrics()) > before)
    path.write_text(good.replace('"cpu_usage"', '"uptime"'))
    process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: {"uptime"} in metrics())
    process.send_signal(signal.SIGINT)
    output += process.communicate(timeout=60)[0]
    seen = metrics()
    first = seen.index({"uptime"})
    assert [{"cpu_usage"}] * first + [{"uptime"}] * (len(seen) - first) == seen
    assert "keeping the current configuration; the new one is invalid: " in output
    assert 0 == process.returncode


def test_what_is_wrong_with_the_state_is_in_the_log_like_anything_else(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").write_text("{")
    process = start(sys.executable, PUBLISHER, write_config(1))
    assert process.stdout is not None
    assert " : WARNING : the state in " in process.stdout.readline()


def test_a_second_daemon_of_the_same_state_says_so_and_ends(
    ask: Run, write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], broker: ScriptedBroker
) -> None:
    path = write_config(broker.port)
    start(sys.executable, PUBLISHER, path)
    assert wait_until(lambda: publisher_runs(path.parent / "state"), 60)
    done = ask("--once", path)
    assert 1 == done.returncode
    assert "another amazon-defender-publisher is running" in done.stderr


def test_a_log_file_is_written_and_a_key_never_is(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], broker: ScriptedBroker,
    tmp_path: Path,
) -> None:  # fmt: skip
    path = write_config(broker.port, logfile="logs/publisher.log", debug=True)
    process = start(*quick(path))
    log = tmp_path / "logs" / "publisher.log"
    assert wait_until(lambda: log.exists() and " accepted after " in log.read_text(), 60)
    process.terminate()
    process.communicate(timeout=60)
    assert "PRIVATE KEY" not in log.read_text()


def test_it_runs_through_a_symlink_and_from_another_directory(tmp_path: Path) -> None:
    link = tmp_path / "publisher"
    link.symlink_to(PUBLISHER)
    done = subprocess.run(
        [sys.executable, str(link), "--version"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (0, "amazon-defender-publisher 0.1.0\n") == (done.returncode, done.stdout)


def copy_packages(directory: Path) -> None:
    for name in ("defender_publisher", "defender_daemon", "device_defender"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))


def test_it_runs_from_a_read_only_tree_as_an_unprivileged_user(elsewhere: Path, unprivileged: int) -> None:
    tree = elsewhere / "tree"
    copy_packages(tree)
    shutil.copy2(PUBLISHER, tree)
    shutil.copy2(START, tree)

    def run_as_them(*arguments: str) -> subprocess.CompletedProcess[str]:
        them = ["setpriv", f"--reuid={unprivileged}", f"--regid={unprivileged}", "--clear-groups", sys.executable]
        return subprocess.run(
            [*them, *arguments], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )

    if run_as_them("-c", "import msgspec").returncode:
        pytest.skip("this Python cannot be read by an unprivileged user")
    before = sorted(tree.rglob("*"))
    done = run_as_them(str(tree / PUBLISHER.name), "--dry-run")
    assert (0, "") == (done.returncode, done.stderr)
    assert "metrics" in json.loads(done.stdout)
    assert before == sorted(tree.rglob("*"))


@pytest.fixture
def bare_copy(tmp_path: Path) -> Path:
    """The program elsewhere, as what is there besides makes it: a checkout, a release, a device's, or pip's."""
    tree = tmp_path / "the program"
    copy_packages(tree)
    shutil.copy2(PUBLISHER, tree)
    shutil.copy2(START, tree)
    return tree


def without_packages(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program by a Python that finds no packages but the standard library's."""
    command = [PLAIN_PYTHON, "-S", "-B", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mode", ["--dry-run", "--once", "status", ""])
def test_it_says_what_is_missing_when_its_packages_are(bare_copy: Path, mode: str) -> None:
    (bare_copy / "Makefile").touch()
    done = without_packages(bare_copy / PUBLISHER.name, *filter(None, [mode]))
    assert 69 == done.returncode
    expected = f"amazon-defender-publisher: the Python package msgspec is missing; run: make -C '{bare_copy}' install"
    assert expected == one_sentence(done)


def test_version_and_help_need_no_packages(bare_copy: Path) -> None:
    assert "amazon-defender-publisher 0.1.0\n" == without_packages(bare_copy / PUBLISHER.name, "--version").stdout
    assert "--thing-name" in without_packages(bare_copy / PUBLISHER.name, "--help").stdout


@pytest.mark.parametrize("isolated", [[], ["-I"]], ids=["as it is", "isolated"])
def test_it_goes_on_in_the_virtual_environment_beside_it(bare_copy: Path, isolated: list[str]) -> None:
    python = bare_copy / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho in the environment\nexec {sys.executable} {" ".join(isolated)} "$@"\n')
    python.chmod(0o755)
    config = bare_copy / "config.json"
    config.write_text('{"agent": {"thing_name": "pi-1", "dry_run": true}}')
    done = without_packages(bare_copy / PUBLISHER.name, "--check-config", str(config))
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("in the environment\nthing name = pi-1\n")
    assert 1 == done.stdout.count("in the environment")


def test_sigterm_ends_a_start_that_blocks(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = write_config(1, thing_name=None, instance={"command": "touch began; sleep 20"})
    process = start(sys.executable, PUBLISHER, path, cwd=path.parent)
    assert wait_until((path.parent / "began").exists, 60)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert (0, "") == (process.returncode, output)


def test_a_reader_that_leaves_is_no_error(run: Run) -> None:
    command = shlex.join(quick("--dry-run", "--samples", 3, "--interval", 1, constants=ONCE)) + " | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ("{\n", "") == (done.stdout, done.stderr)


def test_an_answer_that_nobody_reads_to_its_end_ends_in_a_sentence(run: Run, write_config: Callable[..., Path]) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does, which may come to that only when everything is written
    with os.fdopen(writing) as output:
        command = [sys.executable, PUBLISHER, "doctor", write_config(1)]
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
        )  # fmt: skip
    assert "amazon-defender-publisher: the output was closed before its end" == one_sentence(done)


def test_systemd_hears_that_it_is_ready_how_it_is_alive_reloading_and_stopping(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        path = write_config(1)
        environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "600000"}
        daemon = start(sys.executable, PUBLISHER, path, env=environment)

        def until(wanted: str) -> list[str]:
            said = [manager.recv(1000).decode()]
            while not said[-1].startswith(wanted):
                said.append(manager.recv(1000).decode())
            return said

        until("READY=1")
        until("WATCHDOG=1")
        until("WATCHDOG=1")
        daemon.send_signal(signal.SIGHUP)
        until("RELOADING=1")
        until("READY=1")
        path.write_text("{")
        daemon.send_signal(signal.SIGHUP)
        until("RELOADING=1")
        until("READY=1")
        daemon.send_signal(signal.SIGTERM)
        until("STOPPING=1")
        assert 0 == daemon.wait(PATIENCE)


HANGS = """
import runpy, sys, threading
from defender_publisher import daemon, device
daemon.patience_for, daemon.STOP_WITHIN = lambda config: 1.0, 0.2
device.ThisDevice.look = lambda self: threading.Event().wait()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_daemon_that_hangs_says_where_and_ends_with_75(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]]
) -> None:
    path = write_config(1, dry_run=True, publish_interval=1)
    daemon = start(sys.executable, "-c", HANGS, PUBLISHER, path, cwd=ROOT)
    output, _ = daemon.communicate(timeout=60)
    assert 75 == daemon.returncode
    assert "so a new connection is made: report is at " in output
    assert "a new connection did not help: report is at " in output
    assert "ending with status 75, to be started again" in output
    assert "Traceback" not in output
