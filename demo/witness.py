"""The witness: hears what the demo's programs say, and knows what has been seen."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from demo.settings import BEHAVIOR, PROFILE

ACCEPTED = re.compile(r"report (\d+) accepted")
ALARM = re.compile(rf"(in-alarm|alarm-cleared): .*\({BEHAVIOR} of {PROFILE}\)$")


class Witness:
    """Remembers which reports were accepted, and how the demo's alarm began and ended."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.is_in_alarm = False
        self.came = self.cleared = False  # the alarm that the demo itself provoked
        self._changed = threading.Condition()

    def hear(self, line: str) -> list[str]:
        """Take note of a line, and return the ids of the reports that it calls accepted."""
        accepted = ACCEPTED.findall(line)
        with self._changed:
            self.accepted += accepted
            for event in ALARM.findall(line):
                self.is_in_alarm = event == "in-alarm"
            self._changed.notify_all()
        return accepted

    def wait_for(self, fact: Callable[[], object], deadline: float | None) -> bool:
        """Wait until `fact` is true, at most until a time of the monotonic clock, and tell whether it is."""
        with self._changed:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return bool(self._changed.wait_for(fact, left))

    def missing(self) -> list[str]:
        """Return what has not been seen."""
        facts = {
            "no report was accepted": bool(self.accepted),
            "the alarm did not come": self.came,
            "the alarm did not clear (a port of another program may hold it)": self.cleared,
        }
        return [sentence for sentence, is_seen in facts.items() if not is_seen]
