"""The program, as a process, against an emulator of AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cloudwatch.trial import PROGRAM, Trial
from tests.fakes.emulator import Account
from tests.waiting import wait_until


def ask(trial: Trial, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **trial.account.environment}
    command = [sys.executable, str(PROGRAM), *options, str(trial.config)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_once_sends_what_is_there_and_the_next_time_what_is_new(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account, exclude_patterns=["secret"])
    trial.log.write_bytes(b"caf\xe9\nsecret\n" + b"x" * 1_500_000 + b"\n")
    assert 0 == ask(trial, "--once").returncode
    with trial.log.open("a") as log:
        log.write("more\n")
    assert "1 log events were sent" in ask(trial, "--once").stdout
    found = trial.messages()
    assert ("caf\\xe9", "more") == (found[0], found[-1])
    assert "x" * 1_500_000 == "".join(found[1:-1])


def test_a_dry_run_prints_and_keeps_nothing(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account)
    trial.log.write_text("one\n")
    done = ask(trial, "--dry-run")
    assert {"group": "/system/rpi/rpi-0001", "stream": "app.log", "message": "one"} == json.loads(done.stdout)
    assert not (tmp_path / "state").exists()
    assert [] == trial.messages()


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
