"""The commands --provision and --rotate: one run at a time, tried again while that helps, with an exit status."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from time import sleep

from defender_daemon import lock, logs
from defender_daemon.backoff import Backoff
from defender_daemon.config import Raw
from defender_daemon.text import printable_lines
from defender_publisher.provisioning.broker import Broker
from defender_publisher.provisioning.claim import identities_of, is_provisioned, provision
from defender_publisher.provisioning.errors import CONNECT, ProvisioningError
from defender_publisher.provisioning.identities import Identities
from defender_publisher.provisioning.journal import JournalFile, Noted
from defender_publisher.provisioning.rotation import MOST_ATTEMPTS, Rotation
from defender_publisher.settings import Settings, read_settings
from defender_publisher.state import publisher_runs

log = logging.getLogger(__name__)

DONE, FAILED, TRY_AGAIN, REFUSED = 0, 1, 75, 77  # 75 and 77 are EX_TEMPFAIL and EX_NOPERM of sysexits.h
NOT_DUE = "not due: nobody asked for another certificate, and this one is not too old"
AGAIN = "run this again"
LOCK = "lock"
# Seconds for which a run tries again. Where there is no connection the service manager starts it again; where AWS
# answers, it is worth while: a fleet of thousands that starts at once is through its quota in some minutes.
CONNECTING_WITHIN, ANSWERED_WITHIN = 60.0, 300.0

Attempt = Callable[[], str]


def provision_device(path: Path | None, overrides: Raw) -> int:
    """Get this device its own certificate by its claim; return the exit status."""
    logs.log_to_stderr(logging.WARNING)
    settings = read_settings(path, overrides, credentials=False)
    identities = identities_of(settings)
    file, broker = JournalFile(identities.directory), Broker(settings)

    def attempt() -> str:
        return f"provisioned as {provision(settings, identities, file, broker)}"

    def needless() -> int | None:
        if not _nothing_to_do(settings, identities, file):
            return None
        print(f"already provisioned as {settings.thing_name}; nothing was changed")
        return DONE

    try:
        return _alone(identities, needless, lambda: _try(file, attempt, Backoff()))
    except OSError as error:
        return _say_which(error)


def rotate_device(path: Path | None, overrides: Raw, if_due: bool) -> int:
    """Replace this device's key and certificate, `if_due` only where there is a reason; return the exit status."""
    logs.log_to_stderr(logging.WARNING)
    settings = read_settings(path, overrides, credentials=False)
    identities = identities_of(settings)
    file = JournalFile(identities.directory)
    rotation = Rotation(settings, identities, file, Broker(settings))

    def attempt() -> str:
        return f"rotated to the certificate {rotation.rotate()}"

    def work() -> int:
        _warn_of_daemon(settings)
        # Who asks whether it is due tries again by itself, and has stopped the daemon until this ends.
        return _try(file, attempt, Backoff(), once=if_due)

    try:
        return _alone(identities, lambda: _needless(rotation, if_due), work)
    except OSError as error:
        return _say_which(error)


def _needless(rotation: Rotation, if_due: bool) -> int | None:
    """Return the exit status where nothing can or need be replaced now, once that is said; None where something is."""
    rotation.check()
    now = time.time()
    if if_due and not rotation.reason(now):
        print(f"{_not_due(rotation, now)}; nothing was changed")
        return DONE
    if problem := rotation.clock_problem(now):
        return _say(f"{problem.says}; {problem.advice}", TRY_AGAIN)
    return None


def _warn_of_daemon(settings: Settings) -> None:
    """Say that a daemon runs, which uses the same client ID: the two would end each other's connections."""
    with contextlib.suppress(OSError):
        if publisher_runs(Path(str(settings.agent.state_directory))):
            log.warning("the daemon is running as %s, and its connection is ended; stop it first", settings.thing_name)


def say_whether_due(path: Path | None, overrides: Raw) -> int:
    """Say why this device's key and certificate are to be replaced now; return 0, or 1 where they are not."""
    logs.log_to_stderr(logging.WARNING)
    settings = read_settings(path, overrides, credentials=False)
    identities = identities_of(settings)
    rotation = Rotation(settings, identities, JournalFile(identities.directory), Broker(settings))
    try:
        rotation.check()
        now = time.time()
        reason = rotation.reason(now)
    except OSError as error:
        return _say_which(error)
    print(f"due: {reason}" if reason else _not_due(rotation, now))
    return DONE if reason else FAILED


def _not_due(rotation: Rotation, now: float) -> str:
    rests = rotation.rests(now)
    return f"not due: {rests}" if rests else NOT_DUE


def _nothing_to_do(settings: Settings, identities: Identities, file: JournalFile) -> bool:
    journal = file.read()
    if journal is not None and journal.purpose == "claim":
        return False
    slot = identities.in_force
    if not identities.configured and slot is not None and identities.has_pair(slot):
        identities.show()  # somebody removed the links
    return is_provisioned(settings, identities)


def _alone(identities: Identities, needless: Callable[[], int | None], work: Callable[[], int]) -> int:
    """Keep other runs off, and work, unless it is needless; return the exit status.

    `needless` is asked before, so that nothing is written for nothing, and once the lock is held: a run that ended
    while this one waited may have done what there was to do.
    """
    status = needless()
    if status is not None:
        return status
    identities.prepare()
    try:
        held = lock.take(identities.directory / LOCK, private=True)
    except BlockingIOError:
        return _say(f"another run is under way: it holds {identities.directory / LOCK}; wait for its end", TRY_AGAIN)
    with held:
        status = needless()
        return work() if status is None else status


def _try(file: JournalFile, attempt: Attempt, backoff: Backoff, *, once: bool = False) -> int:
    """Try for as long as it helps, with full jitter in between, or once; keep the last failure for the doctor."""
    begun = time.monotonic()
    while True:
        try:
            print(attempt())
            return DONE
        except ProvisioningError as error:
            noted = file.note_failure(error)
            if error.final:
                return _say(str(error), REFUSED)
            wait = backoff.failed()
            left = begun + (CONNECTING_WITHIN if error.step == CONNECT else ANSWERED_WITHIN) - time.monotonic()
            if once or wait > left:
                return _say(last_words(error, noted) if once else f"{error}; {AGAIN}", TRY_AGAIN)
            log.warning("%s; next attempt in %.0f s", error, wait)
            sleep(wait)


def last_words(error: ProvisioningError, noted: Noted) -> str:
    """Return what is said of a failure that ends a run that nobody watches: all of it once, and not each day."""
    if noted.attempts < MOST_ATTEMPTS:
        return f"{error}; {AGAIN}"
    if noted.attempts == MOST_ATTEMPTS:
        return f"{error}; tried once a day from now on"
    attempt = f"the {_ordinal(noted.attempts)} attempt in a row that failed; tried again in a day"
    if noted.repeated:
        return f"{error.step}: failed again as the last time, {attempt} (--doctor says why)"
    return f"{error}; {attempt}"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def _say(text: str, status: int) -> int:
    print(printable_lines(text), file=sys.stderr)
    return status


def _say_which(error: OSError) -> int:
    """Say which file cannot be read or written; return the exit status."""
    says = f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return _say(f"{says}; run this with sudo", REFUSED)
    return _say(f"{says}; look at the disk, and run this again", TRY_AGAIN)
