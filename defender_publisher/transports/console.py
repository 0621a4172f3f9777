"""The console: a transport that connects to nothing and prints each report, for dry runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from defender_publisher.transport import Delivery, decode
from device_defender.report import LARGEST_PAYLOAD


class Console:
    """Prints reports (JSON) on a stream and calls that accepted."""

    connected = True
    needs_restart = ""
    largest_report = LARGEST_PAYLOAD  # as AWS IoT has it
    first_delay = 0.0

    def __init__(self, stream: TextIO, form: str) -> None:
        self._stream = stream
        self._form = form
        self.on_loss: Callable[[], None] = lambda: None  # there is nothing to lose

    def connect(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def keep_connected(self) -> float:
        """Return an hour: there is no connection to look after."""
        return 3600.0

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Print the report as JSON, indented, whatever its encoding."""
        print(json.dumps(decode(payload, self._form), indent=2), file=self._stream, flush=True)
        return Delivery(0.0)

    def late_verdicts(self) -> dict[int, bool]:
        """Return nothing: no verdict is ever late."""
        return {}

    def reset(self) -> None:
        """Do nothing: there is nothing to tear down."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
