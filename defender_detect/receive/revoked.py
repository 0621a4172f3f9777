"""Who is shut out of the built-in broker although his certificate is valid: a list that may change at any time.

A text file with one of them in each line, `thing NAME` or `serial HEX` as `openssl x509 -serial` prints it; what
follows a `#` is a comment. A thing that is shut out stays so with whatever certificate; a serial number means one
certificate, so that the thing can have another one.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from defender_detect.errors import CredentialsError
from defender_detect.receive.gate import Peer

FILE_NAME = "revoked.txt"  # beside the root CA file, unless the configuration names another
RULE = "must be `thing NAME` or `serial HEX`"
LARGEST = 16 * 2**20  # bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """Who is shut out."""

    things: frozenset[str] = frozenset()
    serials: frozenset[int] = frozenset()

    def covers(self, peer: Peer) -> bool:
        """Tell whether a client is one of them; Detect itself never is."""
        return not peer.is_detect and (peer.name in self.things or peer.serial in self.serials)


class Revoked:
    """The list in a file; without the file nobody is shut out."""

    def __init__(self, path: Path) -> None:
        """Read the file; raise CredentialsError if it is wrong."""
        self._path = path
        self._seen = self._look()
        self._listed = read_listed(path) if self._seen else Listed()

    def covers(self, peer: Peer) -> bool:
        """Tell whether a client is shut out."""
        return self._listed.covers(peer)

    def refresh(self) -> bool:
        """Read the file if it has changed; return whether there is a new list. One that is wrong changes nothing."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._listed = read_listed(self._path) if seen else Listed()
        except CredentialsError as error:
            log.error("the list of who is shut out stays as it was: %s", error)
            return False
        number = len(self._listed.things) + len(self._listed.serials)
        log.info("%s was read: %d shut out", self._path, number)
        return True

    def _look(self) -> tuple[int, ...] | None:
        """Return what changes with the file; None if there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_listed(path: Path) -> Listed:
    """Return who is shut out by a file; raise CredentialsError with the first line that is wrong."""
    things, serials = set(), set()
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8-sig") as file:
            lines = file.read(LARGEST).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it must be UTF-8"
        raise CredentialsError(f"{path} cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        kind, _, value = line.partition("#")[0].strip().partition(" ")
        value = value.strip()
        if kind == "thing" and value:
            things.add(value)
        elif kind == "serial" and is_serial(value):
            serials.add(int(value.replace(":", ""), 16))
        elif kind:
            raise CredentialsError(f"{path}, line {number}: {RULE}, got {line[:80]!a}")
    return Listed(frozenset(things), frozenset(serials))


def is_serial(text: str) -> bool:
    """Tell whether a text is a serial number as it is printed, with or without colons."""
    digits = text.replace(":", "")
    return bool(digits) and set(digits) <= set("0123456789abcdefABCDEF")
