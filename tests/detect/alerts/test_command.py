"""Alerts to a command, which is never waited for without end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from defender_detect.alerts.command import Command, CommandSink
from defender_detect.errors import AlertError
from device_defender.validation import find_problems
from tests.detect.evaluate.test_shapes import BODY
from tests.detect.store.test_store import event
from tests.waiting import FOR_EVER, outcome, wait_until


def test_a_command_gets_the_body_on_its_standard_input(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    CommandSink([sys.executable, "-c", code, str(tmp_path / "; touch x")]).send(event())
    assert json.loads((tmp_path / "; touch x").read_text()) == BODY


def members(group: int) -> list[int]:
    """The processes of a group that run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"

    class Patient(subprocess.Popen):  # type: ignore[type-arg]
        """Its time begins when all of the command runs."""

        def communicate(self, *arguments: Any, **named: Any) -> Any:
            assert wait_until(there.exists)
            assert wait_until(lambda: 3 == len(members(self.pid)))
            groups.append(self.pid)
            return super().communicate(*arguments, **named)

    groups: list[int] = []
    monkeypatch.setattr(subprocess, "Popen", Patient)
    with pytest.raises(AlertError, match="ran for more than 0.1 s"):
        CommandSink(["sh", "-c", f"sleep 600 & touch {there}; sleep 600; :"], timeout=0.1).send(event())
    assert wait_until(lambda: [] == members(groups[0]))


def test_a_command_that_leaves_a_child_behind_is_not_waited_for(tmp_path: Path) -> None:
    sink = CommandSink(["sh", "-c", f"sleep 600 >&2 & echo $! > {tmp_path / 'pid'}"], timeout=FOR_EVER)
    assert None is outcome(lambda: sink.send(event()))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_reads_nothing_is_no_failure() -> None:
    CommandSink(["true"]).send(event(value=("x" * 200_000,), kind="strings"))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sh", "-c", "echo 'no\tsuch \033[31mroom' >&2; exit 3"], r"^exit status 3: no such \\x1b\[31mroom$"),
        (["sh", "-c", "kill -9 $$"], "^exit status -9$"),
        (["/nowhere/program"], "cannot be started: .*No such file"),
        (["true", "a\0b"], "cannot be started: embedded null byte"),
    ],
)
def test_a_command_that_fails_says_why(command: list[str], expected: str) -> None:
    with pytest.raises(AlertError, match=expected):
        CommandSink(command).send(event())


@pytest.mark.parametrize("command", ["mail root", [], [""]])
def test_what_is_no_command_is_refused_at_once(command: Any) -> None:
    (problem,) = find_problems({"type": "command", "command": command}, Command)
    assert problem.startswith("command must be an array of strings: a program and its arguments, got ")
