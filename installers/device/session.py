"""A session of an installer: what it was told, how it tells what it does, that it runs alone, and how it is ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from commands import Commands, say, shown
from options import Options
from problem import Problem
from product import Companion, Places, Product

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRANSCRIPT = "install.log"


class Interrupted(BaseException):
    """Somebody ended the installer before its time."""


class Session:
    """One run of an installer, step by step: a line for each."""

    def __init__(self, product: Product, options: Options, python: Path, steps: int) -> None:
        self.product = product
        self.options = options
        self.python = python
        self.commands = Commands(
            options.dry_run, Path(os.path.abspath(options.prefix)) if options.prefix else None, python
        )
        self.places = Places(product, self.commands.prefix or Path("/"))
        self.step = "options"
        self.steps = steps
        self._number = 0

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be changed."""
        return self.options.dry_run

    def companion(self, is_there: bool) -> Companion | None:
        """Return the product's second program if it is wanted, and this Python is new enough for it.

        It is wanted if it is asked for now, or there already and not refused.
        """
        second = self.product.companion
        wanted = self.options.companion or (is_there and not self.options.no_companion)
        return second if second and wanted and sys.version_info >= second.oldest else None

    def begin(self, step: str) -> None:
        """Begin a step, whose commands a dry run prints below its name."""
        self.step = step
        self._number += 1
        if self.dry_run:
            say(f"{self._number:2}/{self.steps}  {step}")

    def finish(self, text: str) -> None:
        """Say in a line what a step has done."""
        if not self.dry_run:
            say(f"{self._number:2}/{self.steps}  {self.step:14} {text}")

    def fail(self, text: str, status: int = 1) -> NoReturn:
        """End it with a sentence about the step."""
        words = self.commands.last_words()
        raise Problem(f"{self.step}: {text}" + (f"\n{words}" if words else ""), status)

    def fail_after(self, said: str, text: str) -> NoReturn:
        """End it with a sentence about the step, after what was said about it."""
        raise Problem(f"{said}{self.step}: {text}")

    def require(self, done: bool, otherwise: str, status: int = 1) -> None:
        """Go on only if something was done."""
        if not done:
            self.fail(otherwise, status)

    def open_transcript(self) -> None:
        """Begin to write down what commands say, after what was said before there was a Python."""
        if not self.dry_run:
            transcript = self.places.root / TRANSCRIPT
            if not self.options.installed:
                with contextlib.suppress(FileNotFoundError):
                    transcript.unlink()
                os.close(os.open(transcript, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self.commands.transcript = transcript


@contextlib.contextmanager
def alone(session: Session) -> Iterator[None]:
    """Let nobody else install or remove the product; a lock of somebody who was killed is taken."""
    lock = session.places.lock
    if session.dry_run:
        yield
        return
    session.commands.make_open(lock.parent)
    try:
        lock.mkdir()
    except FileExistsError:
        holder = holder_of(lock)
        if holder and holder != os.getpid():
            session.fail(f"process {holder} installs or removes it right now (otherwise remove {lock})")
    try:
        (lock / "pid").write_text(f"{os.getpid()}\n")
        yield
    finally:
        shutil.rmtree(lock, ignore_errors=True)


def holder_of(lock: Path) -> int:
    """Return the id of the process that has a lock, 0 if it has ended."""
    try:
        holder = int((lock / "pid").read_text())
        os.kill(holder, 0)
    except PermissionError:  # it is somebody else's, and lives
        return holder
    except (OSError, ValueError, OverflowError):
        return 0
    return holder


def heed_signals() -> None:
    """Let a signal end what is under way, once."""

    def interrupt(*_: Any) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # nothing disturbs what is put in order
        raise Interrupted

    for number in SIGNALS:
        signal.signal(number, interrupt)


def tell_problem(text: str) -> None:
    """Say on standard error what is wrong."""
    print(shown(text, sys.stderr.encoding), file=sys.stderr, flush=True)
