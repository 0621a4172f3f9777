"""The console: a transport that connects to nothing and prints each report, for dry runs."""

from __future__ import annotations

from typing import TextIO

import msgspec

from defender_publisher.transport import Delivery


class Console:
    """Prints reports (JSON) on a stream and calls that accepted."""

    connected = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def connect(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def keep_connected(self) -> float:
        """Return an hour: there is no connection to look after."""
        return 3600.0

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Print the report, indented."""
        print(msgspec.json.format(payload, indent=2).decode(), file=self._stream, flush=True)
        return Delivery(0.0)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
