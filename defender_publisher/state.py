"""The state: what must outlive a restart so that growth and report ids go on where they were."""

import contextlib
import errno
import logging
import os
import time
from pathlib import Path
from typing import IO, Optional, Union

import msgspec

from defender_daemon import files, lock
from defender_daemon.dates import date_stamp
from defender_publisher.errors import DefenderError
from defender_publisher.snapshot import Counters

log = logging.getLogger("defender_publisher")

STATE_FILE = "state.json"
LOCK_FILE = "lock"


class Baseline(msgspec.Struct, frozen=True):
    """The counters of the last accepted report, from which the next one's growth is measured."""

    taken_at: float  # seconds since the epoch
    boot_id: Optional[str]  # counters of another boot say nothing about this one
    interfaces: dict[str, Counters]
    identities: dict[str, str] = msgspec.field(default_factory=dict)  # by name, as far as they are known


class State(msgspec.Struct, frozen=True):
    """What is kept of the reports so far; the defaults are those of a device that has never reported."""

    thing_name: str = ""
    last_report_id: int = 0
    published_at: Optional[float] = None  # seconds since the epoch, of the last report sent
    accepted_at: Optional[float] = None
    baseline: Optional[Baseline] = None
    unsettled: Optional[int] = None  # the id of a report that was sent and whose verdict is not known


class StateInUseError(DefenderError):
    """Another publisher works with the same state directory."""


def publisher_runs(directory: Union[str, Path]) -> bool:
    """Whether a publisher works with this state directory; raises OSError for one that cannot be looked into."""
    return lock.is_held(Path(directory) / LOCK_FILE)


class MemoryState:
    """A state that is kept in memory only, for dry runs: what was not sent moves no baseline."""

    def __enter__(self) -> "MemoryState":
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there is nothing to release."""

    def load(self, thing_name: str) -> State:
        """Return the state of a thing that has never reported."""
        return State(thing_name=thing_name)

    def save(self, state: State) -> None:
        """Do nothing: whoever asks holds the state."""


class StateFile:
    """The state on disk: written atomically, set aside when damaged, done without when it cannot be written."""

    def __init__(self, directory: Union[str, Path]) -> None:
        self._path = Path(directory) / STATE_FILE
        self._lock: Optional[IO[str]] = None
        self._complained = False

    def acquire(self) -> None:
        """Keep other publishers off this state; raises StateInUseError when one is there already.

        Two with one client ID would evict each other from AWS IoT every second or two.
        """
        try:
            self._lock = lock.take(self._path.with_name(LOCK_FILE))
        except BlockingIOError:
            raise StateInUseError(
                f"another amazon-defender-publisher is running with the state directory {self._path.parent}: "
                "stop it first, or give this one a thing and an agent.state_directory of its own"
            ) from None
        except OSError as error:
            self._complain(error)

    def release(self) -> None:
        """Let another publisher have the state."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def load(self, thing_name: str) -> State:
        """Return what was kept for this thing, or the state of a thing that has never reported."""
        fresh = State(thing_name=thing_name)
        try:
            state = msgspec.json.decode(files.read(self._path), type=State)
        except FileNotFoundError:
            return fresh
        except (msgspec.MsgspecError, IsADirectoryError) as error:
            self._set_aside(error)
            return fresh
        except OSError as error:
            self._complain(error)
            return fresh
        return state if state.thing_name == thing_name else fresh

    def save(self, state: State) -> None:
        """Replace what is kept by `state`: after a crash at any moment the file holds the old or the new one whole."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(self._path, msgspec.json.encode(state), sync=True)
            self._note_recovery()
        except OSError as error:
            self._complain(error)

    def __enter__(self) -> "StateFile":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _set_aside(self, error: Exception) -> None:
        damaged = self._path.with_name(f"{STATE_FILE}.damaged-{date_stamp(time.time())}")
        log.warning("the state in %s is damaged (%s): kept as %s, starting afresh", self._path, error, damaged.name)
        with contextlib.suppress(OSError):
            os.replace(self._path, damaged)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning(
                "the state directory %s cannot be used (%s): reports go on, but after a restart the next one counts "
                "traffic from the last state that could be kept",
                self._path.parent,
                os.strerror(error.errno or errno.EIO),
            )
        self._complained = True

    def _note_recovery(self) -> None:
        if self._complained:
            log.info("the state directory %s can be used again", self._path.parent)
        self._complained = False
