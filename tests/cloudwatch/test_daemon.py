"""The program, as a process, against an emulator of AWS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.cloudwatch.asking import answer
from tests.cloudwatch.trial import PROGRAM, ROOT, Trial
from tests.fakes.emulator import Account
from tests.waiting import wait_until


def ask(trial: Trial, *options: str) -> subprocess.CompletedProcess[str]:
    return answer(*options, trial.config, environment={**os.environ, **trial.account.environment})


def test_two_programs_do_not_share_a_state_and_sigterm_ends_one(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account)
    trial.log.write_text("one\n")
    process = trial.start()
    try:
        assert wait_until(trial.messages, 60.0)
        done = ask(trial, "--once")
        assert 1 == done.returncode
        assert "another amazon-defender-cloudwatch runs with the state in" in done.stderr
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(60)
    finally:
        process.kill()
    assert "0 log events were sent" in ask(trial, "--once").stdout


def test_the_service_manager_hears_ready_reloading_alive_and_stopping(tmp_path: Path, account: Account) -> None:
    """A SIGHUP takes a valid configuration, here with one more log, and keeps the current one where it is none."""
    trial = Trial(tmp_path, account)
    trial.log.write_text("one\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        process = trial.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        try:
            for wanted in ("READY=1", "WATCHDOG=1", "STATUS=logs sent 1", "WATCHDOG=1"):
                wait_for(manager, wanted)
            assert "healthy: amazon-defender-cloudwatch" in ask(trial, "status").stdout
            (tmp_path / "other.log").write_text("two\n")
            document = json.loads(trial.config.read_text())
            collected = document["logs"]["logs_collected"]["files"]["collect_list"]
            collected.append({"file_path": str(tmp_path / "other.log"), "from": "start"})
            trial.config.write_text(json.dumps(document))
            process.send_signal(signal.SIGHUP)
            for wanted in ("RELOADING=1", "READY=1"):
                wait_for(manager, wanted)
            assert wait_until(lambda: ["two"] == trial.messages("other.log"), 60.0)
            trial.config.write_text("{")
            process.send_signal(signal.SIGHUP)
            for wanted in ("RELOADING=1", "READY=1"):
                wait_for(manager, wanted)
            with trial.log.open("a") as log:
                log.write("three\n")
            assert wait_until(lambda: ["one", "three"] == trial.messages(), 60.0)
            process.send_signal(signal.SIGTERM)
            wait_for(manager, "STOPPING=1")
            assert 0 == process.wait(60)
        finally:
            process.kill()
    assert "keeping the current configuration; the new one is invalid: " in trial.output.read_text()
    assert 78 == ask(trial, "status").returncode  # of a configuration that cannot be read


def wait_for(manager: socket.socket, wanted: str) -> None:
    while not manager.recv(1000).decode().startswith(wanted):
        pass


def test_the_words_are_the_publishers(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account)
    assert 3 == ask(trial, "status").returncode
    assert {"health", "metrics_ago", "logs_ago", "config_changed", "state_directory", "status", "problem"} == set(
        json.loads(ask(trial, "--status", "--json").stdout)
    )
    assert 0 == ask(trial, "check").returncode
    done = ask(trial, "doctor")
    assert 0 == done.returncode, done.stdout
    assert "OK    log events" in done.stdout
    assert json.loads(ask(trial, "doctor", "--json").stdout)["ok"]
    assert 2 == ask(trial, "--once", "--status").returncode


HANGS = """
import runpy, sys, threading
from defender_cloudwatch import daemon, service
daemon.PATIENCE, daemon.STOP_WITHIN = 1.0, 0.2
service.Service.put_logs = lambda self: threading.Event().wait()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_turn_that_hangs_says_where_and_ends_with_75(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account)
    command = [sys.executable, "-c", HANGS, str(PROGRAM), str(trial.config)]
    environment = {**os.environ, **account.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, cwd=ROOT)
    assert 75 == done.returncode
    assert "no progress for 1 s: send_logs is at " in done.stderr
    assert "ending with status 75, to be started again" in done.stderr
    assert "Traceback" not in done.stderr
