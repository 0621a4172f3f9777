"""The trial: a log is written and rotated while the program that sends it is killed again and again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.emulator import Account
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "amazon-defender-cloudwatch"
GROUP = "/system/rpi/rpi-0001"
REST = 1.5  # seconds in which a log rests before it is cut; a log is looked at every second


@dataclass
class Outcome:
    """What became of the lines."""

    written: int
    arrived: list[int]

    @property
    def lost(self) -> int:
        return self.written - len(set(self.arrived))

    @property
    def twice(self) -> int:
        return len(self.arrived) - len(set(self.arrived))

    @property
    def in_order(self) -> bool:
        return self.arrived == sorted(self.arrived)


class Trial:
    """A directory with a log, a configuration and a state."""

    life = 1.0  # seconds, about, between two kills, with the start that follows
    late = 0  # lines that are still written into a renamed file

    def __init__(self, directory: Path, account: Account, **entry: Any) -> None:
        self.directory, self.account = directory, account
        self.log = directory / "app.log"
        self.config = directory / "config.json"
        self.output = directory / "output"
        given = {"file_path": str(self.log), "from": "start", **entry}
        agent = {"thing_name": "rpi-0001", "state_directory": str(directory / "state"), "logs_collection_interval": 1}
        logs = {"logs_collected": {"files": {"collect_list": [given]}}, "log_group_name": "/system/rpi/{instance_id}"}
        self.config.write_text(json.dumps({"agent": agent, "logs": logs}))

    def start(self, **also: str) -> subprocess.Popen[bytes]:
        """Start the program; its output goes to a file."""
        environment = {**os.environ, **self.account.environment, **also}
        command = [sys.executable, str(PROGRAM), str(self.config)]
        with self.output.open("ab") as output:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def has_started(self, times: int) -> bool:
        """Whether the program has begun to follow its log, and was started so many times."""
        kept = self.directory / "state" / "cloudwatch-places.json"
        follows = kept.exists() and f'"file {self.log}"' in kept.read_text()
        return follows and self.output.read_bytes().count(b" started as ") >= times

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End the program between two instructions."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Let the program end."""
        process.terminate()
        process.wait(60)

    def messages(self, stream: str = "app.log") -> list[str]:
        """Return what has arrived, in the order in which CloudWatch Logs returns it."""
        logs = self.account.client("logs")
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            try:
                answer = logs.get_log_events(
                    logGroupName=GROUP, logStreamName=stream, startFromHead=True, limit=10_000, **token
                )
            except logs.exceptions.ResourceNotFoundException:
                return found
            found += [each["message"] for each in answer["events"]]
            if not answer["events"] or answer["nextForwardToken"] == token.get("nextToken"):
                return found
            token = {"nextToken": answer["nextForwardToken"]}

    def run(self, lines: int, kills: int, rotations: int, rotate: Callable[[Path], None], seed: int = 1) -> Outcome:
        """Write, rotate and kill; let the program finish, and return what arrived."""
        dice = random.Random(seed)
        pause = max(kills * self.life / lines, 0.002)
        given = (lines, rotations, rotate, pause)
        self.log.touch()
        process = self.start()
        assert wait_until(lambda: self.has_started(1), 60.0)
        writer = threading.Thread(target=self._write, args=given, daemon=True)
        writer.start()
        for number in range(1, kills + 1):
            time.sleep(dice.random() * 1.2)
            self.kill(process)
            process = self.start()
            wait_until(lambda: self.has_started(number + 1), 60.0)  # noqa: B023 - at once
        writer.join()
        last = f"line {lines - 1:06d}"
        wait_until(lambda: any(each.startswith(last) for each in self.messages()), 60.0)
        self.end(process)
        return Outcome(lines, [int(each[5:11]) for each in self.messages()])

    def _write(self, lines: int, rotations: int, rotate: Callable[[Path], None], pause: float) -> None:
        dice = random.Random(lines)
        every = lines // (rotations + 1)
        file = self.log.open("ab", buffering=0)
        for number in range(lines):
            file.write(f"line {number:06d} {'x' * dice.randrange(80)}\n".encode())
            time.sleep(2 * pause * dice.random())
            if number % every == every - 1 and number // every < rotations:
                rotate(self.log)
            if number >= self.late and (number - self.late) % every == every - 1:
                file.close()
                file = self.log.open("ab", buffering=0)
        file.close()


def by_name(log: Path) -> None:
    """Rotate a log as logrotate does: log.1 becomes log.2, the log becomes log.1."""
    for number in range(30, 0, -1):
        if (older := Path(f"{log}.{number}")).exists():
            older.rename(f"{log}.{number + 1}")
    log.rename(f"{log}.1")


def by_copy(log: Path) -> None:
    """Rotate a log as logrotate's copytruncate does, after a rest."""
    time.sleep(REST)
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)


def by_create(log: Path) -> None:
    """Rotate a log as logrotate's `create` does: by name, and there is an empty one at once."""
    by_name(log)
    log.touch()
