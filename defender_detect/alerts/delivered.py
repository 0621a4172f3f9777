"""Delivered: until when each target has heard of everything, in a file, so that a restart tells the rest.

The events themselves are in the store. What a target may not have heard is told again: at least once.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from defender_daemon import files

FILE = "alerts.json"
INTERVAL = 0.5  # seconds between two looks at what has been delivered; as long as the store takes to keep an event

log = logging.getLogger(__name__)

Times = dict[str, float]  # by target: of the earliest event, since the epoch, that it may not have heard of


class Delivered:
    """The file of a state directory; it is written by a thread of its own, so that nobody waits for the disk."""

    def __init__(self, directory: Path, find: Callable[[], Times], interval: float = INTERVAL) -> None:
        """Read what an earlier run left; `find` is asked for the times to be written."""
        self._path, self._find, self._interval = directory / FILE, find, interval
        self.earlier: Mapping[str, float] = read_times(self._path)
        self._written: Times | None = None
        self._writing = threading.Lock()
        self._has_complained = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivered", daemon=True)

    def start(self) -> None:
        """Begin to write; not before what an earlier run left undone waits again."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Write a last time."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self.write()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self.write()

    def write(self) -> None:
        """Write the times as they are, unless they are written."""
        with self._writing:
            self._write(self._find())

    def _write(self, times: Times) -> None:
        if times == self._written:
            return
        try:
            files.replace(self._path, msgspec.json.encode(times))
            self._written, self._has_complained = times, False
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                log.error("%s cannot be written (%s): alerts may be sent again after a restart", self._path, error)


def read_times(path: Path) -> Times:
    """Return the times of an earlier run; nothing if there was none, or the file is damaged."""
    try:
        times = msgspec.json.decode(files.read(path), type=Times)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s): alerts that waited for an earlier run are not sent", path, error)
        return {}
    return {name: time for name, time in times.items() if math.isfinite(time)}
