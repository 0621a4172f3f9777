"""A follower: reads the whole lines of a log file from where it stopped, over rotations, truncations and restarts.

A file is known by the digest of its beginning, whatever it is called and whatever its inode is: so it is found again
when it was renamed, and not taken for another one that has its inode. Only while nothing is in it the inode has to do.
What was read counts once `done` is called. Files may be renamed between any two looks. Whoever writes goes on in a
renamed file until it opens its log again: so that file is left only once something is in the one that took its place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from defender_cloudwatch.logfile import (
    HEAD,
    Rotated,
    UnusableFile,
    digest_of,
    head_of,
    is_same,
    newest_beside,
    open_log,
    rotated,
)

LONGEST_LINE = 1024 * 1024 - 26 - 64  # bytes of a line that fit into one event; the rest goes into the next
CHUNK = 1024 * 1024  # bytes that are read at a time
MOST_FINISHED = 1_000  # rotated files that one reading goes through, because nothing in them is left
LONGEST_CHARACTER = 4  # bytes of UTF-8
OLDER = 20  # rotated files beside the log that are looked at
RESTS = 60  # looks in a row at which a file without a name had not grown, so that its space on the disk is given back
ATTEMPTS = 5  # at finding a file among others that are renamed meanwhile

_INNER = frozenset(bytes([each]) for each in range(0x80, 0xC0))  # bytes within a character of UTF-8


class Place(NamedTuple):
    """Where reading stands: in the file that begins with these `size` bytes, of this digest, and at which offset.

    The digest of no bytes is the file's inode.
    """

    size: int
    digest: str
    offset: int


class Batch(NamedTuple):
    """Whole lines as they are in the file; `place` is where reading stands after them."""

    data: bytes
    place: Place


class Follower:
    """Follows the file at `path`, from `place` on, or from its beginning or end where there is no place yet.

    `lost` says, until it is read, what was gone before it could be read: a sentence, or None.
    """

    def __init__(self, path: str, place: Place | None = None, from_start: bool = True) -> None:
        self.path = path
        self.lost: str | None = None
        self._from_start = from_start
        self._file: int | None = None
        self._offset = 0
        self._head = (0, "")
        self._next: Place | None = None
        self._rested = (0, 0)  # the file's size at the last look, and how many looks found it so
        if place is not None:
            self._find(place)

    def read(self, room: int = CHUNK) -> Batch | None:
        """Return the next whole lines, of about `room` bytes in all, or None where there are none now.

        Raises UnusableFile where the file cannot be followed, or not be read.
        """
        for _ in range(MOST_FINISHED):  # files that were read to their ends and have successors
            if self._file is None and not self._open():
                return None
            assert self._file is not None
            self._note_truncation()
            is_left = self._is_left()  # before it is read: what was written until then is read
            batch = self._lines(max(1, min(room, CHUNK)), is_left)
            if batch is not None:
                return batch
            if not is_left or not self._go_on():
                self._count_rest()
                return None
        return None

    @property
    def place(self) -> Place | None:
        """Where reading stands, or None where no file has been opened yet."""
        if self._file is not None and not self._head[0]:
            self._head = head_of(self._file)
        return Place(*self._head, self._offset) if self._file is not None else None

    def done(self) -> None:
        """Count what `read` returned last as done: it will not be read again."""
        if self._next is not None:
            self._offset = self._next.offset
            self._head = (self._next.size, self._next.digest)
            self._next = None

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def _lines(self, room: int, is_left: bool) -> Batch | None:
        assert self._file is not None
        data = os.pread(self._file, room, self._offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == room:  # a long line
            data = os.pread(self._file, LONGEST_LINE + LONGEST_CHARACTER, self._offset)
            end = data.find(b"\n") + 1
        if not end:
            end = self._end_of_partial(data, is_left)
        if not end:
            return None
        size = min(self._offset + end, HEAD)
        self._next = Place(size, digest_of(self._file, size), self._offset + end)
        return Batch(data[:end], self._next)

    def _end_of_partial(self, data: bytes, is_left: bool) -> int:
        """Return how much of a line without an end is taken now: what fits, or the last of a file that is left."""
        if len(data) >= LONGEST_LINE:
            return next((LONGEST_LINE - less for less in range(LONGEST_CHARACTER) if _begins(data, less)), LONGEST_LINE)
        return len(data) if is_left else 0

    def _find(self, place: Place) -> None:
        """Open the file that reading stopped in, under its name or, rotated meanwhile, under another one beside it."""
        names = (name for _ in range(ATTEMPTS) for name in [self.path, *newest_beside(self.path, OLDER)])
        for name in names:
            with contextlib.suppress(UnusableFile):
                file = open_log(name)
                if file is None:
                    continue
                if os.fstat(file).st_size >= place.offset and digest_of(file, place.size) == place.digest:
                    self._use(file, place.offset, (place.size, place.digest))
                    return
                os.close(file)
        self.lost = f"{self.path}: the file that was read up to byte {place.offset} is gone; its rest was not sent"

    def _open(self) -> bool:
        file = open_log(self.path)
        if file is None:
            self._from_start = True  # what comes later is new as a whole
            return False
        self._use(file, 0 if self._from_start else os.fstat(file).st_size, head_of(file))
        self._from_start = True
        return True

    def _go_on(self) -> bool:
        """Go over to the next file, rotated or the log itself, or to what came since; False where there is none."""
        assert self._file is not None
        finished = os.fstat(self._file).st_mtime_ns
        for _ in range(ATTEMPTS):
            file = self._open_after(finished)
            if file is None:
                continue
            first = self._rotated_after(finished)
            if os.fstat(self._file).st_size > self._offset:  # written since it was read to its end
                os.close(file)
                return True
            if first is None or is_same(first, file):
                self._use(file, 0, head_of(file))
                return True
            os.close(file)
        return False

    def _open_after(self, finished: int) -> int | None:
        following = self._rotated_after(finished)
        with contextlib.suppress(UnusableFile):
            if following is not None:
                return open_log(following)
        return open_log(self.path)

    def _rotated_after(self, finished: int) -> str | None:
        """Return the first rotated file that was written to its end after that time; compressed ones are lost."""
        for each in self._after(finished):
            if not each.is_compressed:
                return each.name
            self.lost = f"{each.name} was compressed before it could be read; its lines were not sent"
        return None

    def _after(self, finished: int) -> list[Rotated]:
        """Return the rotated files that were finished after that time; this one may still grow and is none of them."""
        assert self._file is not None
        mine = os.fstat(self._file)
        found = [each for each in rotated(self.path) if not os.path.samestat(each.status, mine)]
        return [each for each in found if each.finished > finished]

    def _use(self, file: int, offset: int, head: tuple[int, str]) -> None:
        self._close()
        self._file, self._offset, self._head, self._next, self._rested = file, offset, head, None, (0, 0)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _note_truncation(self) -> None:
        """Begin at the beginning of a file that was cut, also if it has grown beyond the place since."""
        assert self._file is not None
        size, digest = self._head
        if os.fstat(self._file).st_size < self._offset or (size and digest_of(self._file, size) != digest):
            self._offset, self._head = 0, head_of(self._file)

    def _is_left(self) -> bool:
        """Whether another file took this one's place and is written, or this one has no name and rests."""
        assert self._file is not None
        try:
            now = os.stat(self.path)
        except OSError:
            return False  # renamed, and not there again yet: whoever writes may still write here
        mine = os.fstat(self._file)
        if os.path.samestat(now, mine):
            return False
        if now.st_size or not stat.S_ISREG(now.st_mode) or self._rested[1] >= RESTS:
            return True
        return any(each.status.st_size and not each.is_compressed for each in self._after(mine.st_mtime_ns))

    def _count_rest(self) -> None:
        """Count the looks at a file without a name that did not grow."""
        assert self._file is not None
        mine = os.fstat(self._file)
        rests = not mine.st_nlink and mine.st_size == self._rested[0]
        self._rested = (mine.st_size, self._rested[1] + 1 if rests else 0)


def _begins(data: bytes, less: int) -> bool:
    """Whether a character of UTF-8 begins so many bytes before the longest line's end."""
    return data[LONGEST_LINE - less : LONGEST_LINE - less + 1] not in _INNER
