"""A publisher to be killed: reports as fast as it can to whoever holds the other end of a pipe, until it is no more."""

from __future__ import annotations

import json
import logging
import os
import struct
import time
from pathlib import Path

from defender_publisher.publisher import Publisher
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters, Snapshot, Sockets
from defender_publisher.state import StateFile
from defender_publisher.transport import Delivery
from device_defender.report import LARGEST_PAYLOAD

THING = "rpi-killed"
RECEIPT = struct.Struct("!qq")  # a report that was received: its id and its growth in bytes
ANSWER_TAKES = 0.001  # seconds; a kill meanwhile loses the verdict
SETTINGS = read_settings(None, {"agent": {"dry_run": True, "thing_name": THING}})


class GrowingDevice:
    """A device whose one counter grows with time, and goes on where an earlier process was."""

    def look(self) -> Sockets:
        """Return no sockets, so that a first report, which has no growth yet, holds something."""
        return Sockets(frozenset())

    def snapshot(self, sockets: Sockets) -> Snapshot:
        """Return the counter as it is now."""
        return Snapshot(time.time(), "boot", sockets, {"eth0": Counters(time.monotonic_ns(), 0, 0, 0)})


class Pipe:
    """A transport to whoever reads the pipe: what is written has arrived, also when the writer ends right after it."""

    connected = True
    largest_report = LARGEST_PAYLOAD

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Hand the report over; its verdict takes a moment."""
        growth = json.loads(payload)["metrics"]["network_stats"]["bytes_in"]
        os.write(self._descriptor, RECEIPT.pack(report_id, growth))
        time.sleep(ANSWER_TAKES)
        return Delivery(ANSWER_TAKES)

    def late_verdicts(self) -> dict[int, bool]:
        """Say nothing later."""
        return {}


def report_until_killed(directory: Path, receipts: int, log_file: Path) -> None:
    """Report without a pause; the log goes into `log_file`."""
    logger = logging.getLogger("defender_publisher")
    logger.handlers, logger.propagate = [logging.FileHandler(log_file)], False
    logger.setLevel(logging.INFO)
    with StateFile(directory) as store:
        publisher = Publisher(SETTINGS, GrowingDevice(), Pipe(receipts), store)
        os.write(receipts, RECEIPT.pack(0, 0))  # ready
        while True:
            publisher.report()
