"""What the CloudWatch job answers once and ends."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cloudwatch.test_daemon import ask
from tests.cloudwatch.trial import Trial
from tests.fakes.emulator import Account


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
