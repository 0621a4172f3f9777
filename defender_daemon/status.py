"""The status: what a daemon last knew of itself, in one small file that can be asked also when the daemon hangs."""

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar, Union

import msgspec

from defender_daemon import files
from defender_daemon.errors import DefenderError
from defender_daemon.logs import key_of
from defender_daemon.text import valid

if TYPE_CHECKING:
    from defender_daemon.config import Agent, Config

HASH_LENGTH = 12  # hexadecimal digits; enough to tell one configuration from another
LONGEST_ERROR = 1000  # characters; a report that is given up is in the log as a whole


class LastError(msgspec.Struct, frozen=True):
    """The last warning or error in the log, when (seconds since the epoch), and how often in a row."""

    time: float
    text: str
    count: int = 1


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What every daemon knows of itself; `since` is when it was started, in seconds since the epoch."""

    version: str
    pid: int
    config_file: Optional[str]
    config_hash: str
    since: float
    last_error: Optional[LastError] = None

    def line(self) -> str:
        """Return the status in one line, as a service manager shows it."""
        raise NotImplementedError


class StatusError(DefenderError):
    """The status file cannot be read."""


S = TypeVar("S", bound=Status)


def read_status(path: Path, kind: type[S], repaired_by: str) -> Optional[S]:
    """Return the status that a daemon last wrote, None if there is none; raises StatusError if it is unreadable.

    `repaired_by` says what makes a damaged file whole: "the daemon's next report", for instance.
    """
    try:
        return msgspec.json.decode(files.read(path), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StatusError(f"the status file {path} cannot be read: {error.strerror}", "try it with sudo") from error
    except msgspec.MsgspecError as error:
        raise StatusError(f"the status file {path} is damaged ({error})", f"{repaired_by} repairs it") from error


def hash_of(effective: object) -> str:
    """Return what tells one effective configuration from another: the first digits of its SHA-256."""
    # in ASCII, as only the json module can, because a path need not be UTF-8
    text = json.dumps(msgspec.to_builtins(effective), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def hash_of_config(agent: "Agent", config: "Config", *more: object) -> str:
    """Return what tells one effective configuration, with whatever `more` follows from it, from another.

    Where the private key is does not count: systemd hands a copy of it to the daemon, which whoever asks does not have.
    """
    authentication = msgspec.structs.replace(agent.authentication, private_key=None)
    agent = msgspec.structs.replace(agent, authentication=authentication)
    return hash_of((*more, msgspec.structs.replace(config, agent=agent)))


class StatusFile(Generic[S]):
    """Keeps a status up to date in memory and, if there is a path, in its file; tells each change's line."""

    def __init__(
        self, now: S, path: Union[Path, None] = None, announce: Callable[[str], None] = lambda line: None
    ) -> None:
        self.now = now
        self._path = path
        self._announce = announce
        self._lock = threading.RLock()
        self._written = b""
        self._said = ""

    def note_error(self, text: str) -> None:
        """Note a warning or an error, or its beginning; the same again, but for its digits, is counted."""
        text = valid(text)[:LONGEST_ERROR]
        with self._lock:
            last = self.now.last_error
            count = last.count + 1 if last is not None and key_of(last.text) == key_of(text) else 1
            self._change(last_error=LastError(time.time(), text, count))

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.now = msgspec.structs.replace(self.now, **changes)
            self._save()
            line = self.now.line()
            if line != self._said:
                self._said = line
                self._announce(line)

    def _save(self) -> None:
        """Replace the file, if anything changed; it is for the state file to complain of a disk that is full."""
        content = msgspec.json.encode(self.now)
        if self._path is None or content == self._written:
            return
        with contextlib.suppress(OSError):
            files.replace(self._path, content)
            self._written = content


class LastErrorHandler(logging.Handler):
    """A log handler that notes warnings and errors in the status."""

    def __init__(self, status: StatusFile[Any]) -> None:
        super().__init__(logging.WARNING)
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        """Note the record's sentence; a traceback is the log's."""
        self._status.note_error(record.getMessage())
