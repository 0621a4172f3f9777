"""A sink that does what a test says."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.waiting import PATIENCE


class FakeSink:
    """A sink that does with each alert what is next on its list: raises it, waits for it, or takes the alert."""

    name = "the fake"
    give_up_after = 60.0

    def __init__(self, *script: Exception | threading.Event) -> None:
        self.script = list(script)
        self.taken: list[str] = []
        self.times: list[float] = []

    def send(self, event: Any) -> None:
        self.times.append(time.monotonic())
        act = self.script.pop(0) if self.script else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            act.wait(PATIENCE)
        self.taken.append(event.violation_id)
