"""Places: where reading stands in each log, kept on the disk, with the batch that is on its way.

The file is written before and after each batch, whole and at once (fsync, rename). A batch that was on its way when the
program was killed may or may not have arrived: its first event, and where reading stands after it, say how to find out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_cloudwatch.batch import LogEvent

log = logging.getLogger("defender_cloudwatch")

FILE = "cloudwatch-places.json"
VERSION = 1
KEPT_FOR = 30 * 24 * 3600.0  # seconds after the last line of a file that is gone

Place = Any  # what a source makes of where it stands, as JSON has it


class Pending(NamedTuple):
    """A batch that is on its way: its first event, and where reading stands once it has arrived."""

    group: str
    stream: str
    first: LogEvent
    place: Place


class Standing(NamedTuple):
    """Where a source stands: what has arrived for certain, and the batch of which that is not known."""

    place: Place = None
    pending: Pending | None = None


class Places:
    """The places of all sources, by name, in a file of the state directory; None keeps them in memory alone."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / FILE if directory is not None else None
        self._standing = self._read()

    def of(self, source: str) -> Standing:
        """Return where a source stands."""
        return self._standing.get(source, Standing())

    def put(self, source: str, standing: Standing) -> None:
        """Keep where a source stands; raises OSError when it cannot be written, and then nothing has changed."""
        changed = {**self._standing, source: standing}
        self._write(changed)
        self._standing = changed

    def _read(self) -> dict[str, Standing]:
        if self._path is None:
            return {}
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(file, "rb") as stream:
                document = msgspec.json.decode(stream.read())
            found = {name: _standing(entry) for name, entry in document["sources"].items()}
            return {name: standing for name, standing in found.items() if not _is_over(name, standing)}
        except FileNotFoundError:
            return {}
        except (
            OSError,
            msgspec.MsgspecError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            log.warning("%s cannot be read (%s): logs are followed as at a first start", self._path, error)
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".damaged"))
            return {}

    def _write(self, standing: dict[str, Standing]) -> None:
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        content = {"version": VERSION, "sources": {name: _entry(each) for name, each in standing.items()}}
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(file, "wb") as stream:
            stream.write(msgspec.json.encode(content))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._path)


def _is_over(name: str, standing: Standing) -> bool:
    """Whether a file is gone for so long that it does not come back: logs with a date in their names come for ever."""
    kind, _, path = name.partition(" ")
    place = standing.place if isinstance(standing.place, dict) else {}
    last = place.get("time") or 0
    silent = 0 < last < (time.time() - KEPT_FOR) * 1000
    return kind == "file" and standing.pending is None and silent and not os.path.lexists(path)


def _entry(standing: Standing) -> dict[str, Any]:
    if standing.pending is None:
        return {"place": standing.place}
    group, stream, first, place = standing.pending
    return {
        "place": standing.place,
        "pending": {"group": group, "stream": stream, "time": first.time, "message": first.message, "place": place},
    }


def _standing(entry: dict[str, Any]) -> Standing:
    pending = entry.get("pending")
    if pending is None:
        return Standing(entry["place"])
    first = LogEvent(int(pending["time"]), str(pending["message"]))
    return Standing(entry["place"], Pending(str(pending["group"]), str(pending["stream"]), first, pending["place"]))
