"""The wish: somebody wants this device to replace its certificate, and says so in the thing's shadow `rotation`.

The daemon hears it and keeps it in a file; root's run of `--rotate --if-due` reads that file. Nothing is taken from the
shadow but the time of the wish: neither where to connect to nor what to run.
"""

import logging
import re
from pathlib import Path
from typing import Optional

import msgspec

from defender_daemon import files
from defender_publisher.errors import TransportError
from defender_publisher.inbox import LONGEST, Message
from defender_publisher.session import Session

log = logging.getLogger("defender_publisher")

SHADOW = "$aws/things/{thing}/shadow/name/rotation"
WANTED = "rotation-wanted.json"  # in the state directory, which is the daemon's own
LONGEST_FILE = 4096  # bytes of it that are read
# ISO 8601, as `date --iso-8601=seconds`, Python and JavaScript write it; wishes are only compared with one another.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
NO_SHADOW = 404
MOST_FAILURES = 3  # in a row: AWS IoT ends the connection of who asks for what no policy allows, again and again


class Wish(msgspec.Struct, frozen=True):
    """Replace the certificate, please; `rotate` is when that was wished for, and tells one wish from another."""

    rotate: Optional[str] = None

    def __post_init__(self) -> None:
        if self.rotate is not None and not TIME.fullmatch(self.rotate):
            raise ValueError("rotate must be a time in ISO 8601")


class Sides(msgspec.Struct, frozen=True):
    """What is wished for, and what the device has said that it did."""

    desired: Optional[Wish] = None
    reported: Optional[Wish] = None


class Shadow(msgspec.Struct, frozen=True):
    """The answer to a question for the shadow, as far as it is used."""

    state: Sides = Sides()

    @property
    def wish(self) -> Optional[str]:
        """The wish that is not yet fulfilled."""
        wanted = self.state.desired.rotate if self.state.desired else None
        done = self.state.reported.rotate if self.state.reported else None
        return None if wanted == done else wanted


class Delta(msgspec.Struct, frozen=True):
    """What differs between what is wished for and what was done."""

    state: Wish = Wish()


class Rejection(msgspec.Struct, frozen=True):
    """Why there is no shadow to be had."""

    code: int = 0


class WishListener:
    """The daemon's ear for wishes, on the session on which it reports."""

    def __init__(self, thing: str, directory: str) -> None:
        self._topic = SHADOW.format(thing=thing)
        self._file = Path(directory) / WANTED
        self._warned = False
        self._failures = 0  # of joining, or of hearing an answer after it, in a row

    def join(self, session: Session) -> None:
        """Subscribe to the shadow's topics, and ask for what is wished for now; never raises."""
        if self._failures >= MOST_FAILURES:
            return
        self._failures += 1  # until there is an answer
        get = f"{self._topic}/get"
        try:
            for topic in (f"{get}/accepted", f"{get}/rejected", f"{self._topic}/update/delta"):
                session.subscribe(topic, self.hear)
            session.send(get, b"{}")
        except TransportError as error:
            self._warn("a wish for another certificate cannot be heard: %s", error)

    def hear(self, message: Message) -> None:
        """Keep the wish that a message has in it."""
        self._failures = 0
        try:
            wish = self._wish_in(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._warn("ignoring a message on %s that cannot be read: %s", message.topic, error)
            return
        if wish is not None:
            self._keep(wish)

    def _wish_in(self, message: Message) -> Optional[str]:
        if len(message.payload) > LONGEST:
            raise msgspec.DecodeError(f"{len(message.payload)} bytes")
        if message.topic.endswith("/get/rejected"):
            code = msgspec.json.decode(message.payload, type=Rejection).code
            if code != NO_SHADOW:
                self._warn("the shadow rotation cannot be had: code %s", code)
            return None
        if message.topic.endswith("/update/delta"):
            return msgspec.json.decode(message.payload, type=Delta).state.rotate
        return msgspec.json.decode(message.payload, type=Shadow).wish

    def _keep(self, wish: str) -> None:
        try:
            if read_wish(self._file.parent) == wish:
                return
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(self._file, msgspec.json.encode(Wish(wish)), sync=True)
        except OSError as error:
            self._warn("the wish for another certificate cannot be kept in %s: %s", self._file, error.strerror)
            return
        log.info("another certificate is wished for, since %s", wish)

    def _warn(self, text: str, *values: object) -> None:
        if not self._warned:
            log.warning(text, *values)
        self._warned = True


def read_wish(directory: Path) -> Optional[str]:
    """Return the wish that the daemon has kept; None where there is none, or whatever else is in that file."""
    try:
        return msgspec.json.decode(files.read(directory / WANTED, LONGEST_FILE), type=Wish).rotate
    except (OSError, msgspec.MsgspecError):
        return None


def forget_wish(directory: Path) -> None:
    """Remove the wish, once it is fulfilled; where it cannot be removed it is known by its time."""
    try:
        files.remove(directory / WANTED)
    except OSError as error:
        log.warning("%s cannot be removed: %s", directory / WANTED, error.strerror)
