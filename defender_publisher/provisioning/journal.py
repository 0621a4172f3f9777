"""The journal: how far a new key and certificate have come, so that a run that was ended goes on where it was."""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Literal, NamedTuple, Optional

import msgspec

from defender_daemon import files
from defender_daemon.dates import date_stamp
from defender_publisher.provisioning.errors import ProvisioningError
from defender_publisher.provisioning.identities import Slot
from defender_publisher.provisioning.progress import done

log = logging.getLogger(__name__)

JOURNAL = "journal.json"  # in etc/identities, readable by its owner: a token that registers a certificate is in it
# Seconds that a certificate's token is good for; AWS deletes a certificate that is not registered by then.
TOKEN_LASTS = 3600.0
MARGIN = 60.0  # seconds less, for the way


class Failure(msgspec.Struct, frozen=True):
    """Why the last attempt failed: at which step, what was said, what to do, when, and whether for good.

    `count` is how many in a row failed for something that somebody must change, at whichever step, since anything was
    achieved; `counted_at` and `counted` are when the last of them was, and what it said. An outage later is none.
    """

    step: str
    says: str
    advice: str
    time: float
    final: bool
    count: int = 0
    counted_at: float = 0.0
    counted: str = ""


class Noted(NamedTuple):
    """How many attempts in a row have failed for something that somebody must change, and whether this was said last.

    It is 0 attempts for a failure that is none of these.
    """

    attempts: int
    repeated: bool


class Journal(msgspec.Struct, frozen=True):
    """A new pair on its way: for what, in which slot, for whom it is asked where; then what was answered.

    `certificate`, `token` and `asked_at` are noted before the certificate is registered, `thing_name` once it is, and
    `turned` once it is in force and waits for the commitment to be heard. `assumed` is whether nobody has said that it
    is registered, until a connection shows it.
    """

    purpose: Literal["claim", "rotation"]
    slot: Slot
    endpoint: str
    asked_for: str
    wish: Optional[str] = None
    certificate: Optional[str] = None
    token: Optional[str] = None
    asked_at: float = 0.0
    thing_name: Optional[str] = None
    assumed: bool = False
    turned: bool = False
    failure: Optional[Failure] = None

    def is_for(self, purpose: str, endpoint: str, thing: str) -> bool:
        """Whether this is what is under way; not where another account, or another name, is meant by now."""
        return self.purpose == purpose and self.endpoint == endpoint and thing in (self.asked_for, self.thing_name)

    def token_is_old(self, now: float) -> bool:
        """Whether AWS may have deleted the certificate; also where the clock has gone back since."""
        return not 0 <= now - self.asked_at <= TOKEN_LASTS - MARGIN


class JournalFile:
    """The journal on the disk; every change is there before the next step is done."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / JOURNAL

    def read(self) -> Optional[Journal]:
        """Return what is noted, None if nothing is under way; what is damaged is set aside."""
        try:
            return msgspec.json.decode(files.read(self.path), type=Journal)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            aside = self.path.with_name(f"{JOURNAL}.damaged-{date_stamp(time.time())}")
            log.warning("%s is damaged (%s): kept as %s, starting afresh", self.path, error, aside.name)
            os.replace(self.path, aside)
            return None

    def note(self, journal: Journal, step: str, **changes: object) -> Journal:
        """Keep the journal with these changes, and return it."""
        changed = msgspec.structs.replace(journal, **changes)
        files.replace(self.path, msgspec.json.encode(changed), sync=True, mode=0o600)
        done(step)
        return changed

    def note_failure(self, error: ProvisioningError) -> Noted:
        """Keep why an attempt failed, for the doctor; only where something is under way, and the disk takes it."""
        noted = Noted(int(error.counts), repeated=False)
        with contextlib.suppress(OSError):
            journal = self.read()
            if journal is not None:
                failure = _failure_after(journal.failure, error, time.time())
                before = journal.failure
                repeated = before is not None and (before.step, before.says) == (failure.step, failure.says)
                noted = Noted(failure.count if error.counts else 0, repeated)
                self.note(journal, "failure noted", failure=failure)
        return noted

    def remove(self) -> None:
        """Note that nothing is under way any more."""
        files.remove(self.path)
        done("journal removed")


def _failure_after(before: Optional[Failure], error: ProvisioningError, now: float) -> Failure:
    says, advice = error.problem
    count, counted_at, counted = (
        (before.count, before.counted_at, before.counted) if before is not None else (0, 0.0, "")
    )
    if error.counts:
        count, counted_at, counted = count + 1, now, says
    return Failure(error.step, says, advice, now, error.final, count, counted_at, counted)
