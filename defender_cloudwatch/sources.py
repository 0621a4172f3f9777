"""Sources: the log files and the journal, read from where each stands, as events for a stream."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from defender_cloudwatch import journal
from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.entries import FileEntry, JournalEntry
from defender_cloudwatch.errors import CloudWatchError
from defender_cloudwatch.follower import Follower, Place
from defender_cloudwatch.lines import join, lines_of
from defender_cloudwatch.logfile import UnusableFile, open_log
from defender_daemon.text import name_of

log = logging.getLogger("defender_cloudwatch")

ROOM = 256 * 1024  # bytes that are read at a time, of which ten times as much memory comes until they are sent
MOST_FILES = 500  # that are followed; each takes a file descriptor
GLOB = "*?["
ROTATED = (".gz", ".bz2", ".xz", ".zst")


class Target(NamedTuple):
    """Where events go."""

    group: str
    stream: str


class Reading(NamedTuple):
    """What was read, and where the source stands after it, as JSON has it."""

    events: Sequence[LogEvent]
    at: Any


class Source(Protocol):
    """Something that is read from where it stands; `done` counts what was read last as sent."""

    name: str
    target: Target

    def read(self) -> Reading | None:
        """Return what comes next, or None where there is nothing now."""

    def done(self) -> None:
        """Count what was read last as sent."""

    def where(self) -> Any:
        """Return where reading stands, None where that is not known."""

    def resume(self, at: Any) -> None:
        """Read on from there."""


class SourceError(CloudWatchError):
    """A source cannot be read; says why. The others are not concerned."""


class FileSource:
    """A log file."""

    def __init__(self, path: str, target: Target, entry: FileEntry, at: Any, from_start: bool) -> None:
        self.name, self.target, self._entry = f"file {path}", target, entry
        self._follower = Follower(path, _place(at), from_start)
        self._is_finished = False

    def read(self) -> Reading | None:
        """Return the next lines, at the time at which they are read."""
        try:
            batch = self._follower.read(ROOM)
        except (UnusableFile, OSError) as error:
            raise SourceError(str(error)) from error
        finally:
            self._tell_lost()
        self._is_finished = batch is None
        if batch is None:
            return None
        now, entry = int(time.time() * 1000), self._entry
        texts: Iterable[str] = lines_of(batch.data)
        if entry.start is not None:
            texts = join(texts, entry.start)
        if not entry.choice.takes_all:
            texts = filter(entry.choice.takes, texts)
        return Reading([LogEvent(now, text) for text in texts], list(batch.place))

    def done(self) -> None:
        """Count what was read last as sent."""
        self._follower.done()

    @property
    def is_finished(self) -> bool:
        """Whether the last reading found nothing more."""
        return self._is_finished

    def close(self) -> None:
        """Let go of the file; where reading stands is kept elsewhere."""
        self._follower.close()

    def where(self) -> Any:
        """Return where reading stands."""
        place = self._follower.place
        return None if place is None else list(place)

    def resume(self, at: Any) -> None:
        """Read on from there."""
        path = self._follower.path
        self._follower.close()
        self._follower = Follower(path, _place(at))

    def _tell_lost(self) -> None:
        lost, self._follower.lost = self._follower.lost, None
        if lost:
            log.warning("%s", lost)


class JournalSource:
    """systemd's journal."""

    name = "journal"

    def __init__(self, entry: JournalEntry, at: Any) -> None:
        self.target, self._entry = Target(entry.group, entry.stream), entry
        self._cursor: str | None = at if isinstance(at, str) else None
        self._next: str | None = None

    def read(self) -> Reading | None:
        """Return the next entries, at their own times."""
        try:
            found = journal.read(self._cursor, self._entry.units)
        except journal.JournalError as error:
            raise SourceError(str(error)) from error
        if found is None:
            return None
        self._next = found.cursor
        if self._cursor is None:  # the first start: nothing to send, and a place to keep
            return Reading([], found.cursor)
        return Reading([each for each in found.events if self._entry.choice.takes(each.message)], found.cursor)

    def done(self) -> None:
        """Count what was read last as sent."""
        if self._next is not None:
            self._cursor, self._next = self._next, None

    def where(self) -> Any:
        """Return where reading stands."""
        return self._cursor

    def resume(self, at: Any) -> None:
        """Read on from there."""
        self._cursor, self._next = at, None


class Files:
    """The log files that the configuration's patterns find, looked for again at each turn.

    `standing` returns where a source stood when the program ended, `seen` whether an entry was there at that time.
    """

    def __init__(
        self, entries: Sequence[FileEntry], own: str | None, standing: Callable[[str], Any], seen: Callable[[str], bool]
    ) -> None:
        self._entries, self._own, self._standing = entries, own, standing
        self._sources: dict[str, FileSource] = {}
        self._new = {each.pattern for each in entries if not seen(each.pattern)}  # whose files begin at their ends

    def look(self) -> list[FileSource]:
        """Return a source for each file that is there, or was."""
        matched = {entry.pattern: list(self._matches(entry)) for entry in self._entries}
        for entry in self._entries:
            for path in matched[entry.pattern]:
                if path not in self._sources and len(self._sources) < MOST_FILES:
                    self._sources[path] = self._open(path, entry, matched)
        self._new.clear()
        self._forget({path for found in matched.values() for path in found})
        if sum(map(len, matched.values())) > MOST_FILES:
            patterns = max(matched, key=lambda each: len(matched[each]))
            log.warning("%s matches too many files: %d are followed, the others are not", patterns, MOST_FILES)
        return list(self._sources.values())

    def close(self) -> None:
        """Let go of all files."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def _forget(self, there: set[str]) -> None:
        """Let go of files that are gone and were read to their ends: logs with a date in their names come for ever."""
        for path in [path for path, source in self._sources.items() if path not in there and source.is_finished]:
            self._sources.pop(path).close()

    def _open(self, path: str, entry: FileEntry, matched: dict[str, list[str]]) -> FileSource:
        from_start = entry.from_start or entry.pattern not in self._new
        paths = {each for found in matched.values() for each in found}
        stream = entry.stream or _stream_of(path, paths)
        return FileSource(path, Target(entry.group, stream), entry, self._standing(f"file {path}"), from_start)

    def _matches(self, entry: FileEntry) -> Iterator[str]:
        own = None if self._own is None else os.path.realpath(self._own)
        return (path for path in matches(entry.pattern) if own is None or not os.path.realpath(path).startswith(own))


def matches(pattern: str) -> list[str]:
    """Return the paths that a pattern stands for: itself, or the regular files that it finds, no compressed ones."""
    if not any(each in pattern for each in GLOB) or os.path.exists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern))[: MOST_FILES + 1]
    return [path for path in found if os.path.isfile(path) and not path.endswith(ROTATED)]


def readable(pattern: str) -> tuple[list[str], list[str]]:
    """Return the logs of a pattern that can be read, and a sentence for each that cannot."""
    good, bad = [], []
    for path in matches(pattern):
        try:
            file = open_log(path)
        except UnusableFile as error:
            bad.append(str(error))
            continue
        if file is not None:
            os.close(file)
            good.append(path)
    return good, bad


def _stream_of(path: str, paths: set[str]) -> str:
    """Return a stream's name for a file: its own, or its path where another one has the same name."""
    name = os.path.basename(path)
    alone = sum(os.path.basename(each) == name for each in paths) <= 1
    return name_of(name if alone else path).replace(":", "-").replace("*", "-")


def _place(at: Any) -> Place | None:
    try:
        size, digest, offset = at
        return Place(int(size), str(digest), int(offset))
    except (TypeError, ValueError):
        return None
