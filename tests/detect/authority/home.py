"""A Detect at home in a test: its directory, its clock, and a kill or a full disk at any step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest.mock import patch

from defender_detect.authority.directory import Directory
from defender_detect.authority.initialization import Wish, initialize
from defender_detect.authority.passphrase import Passphrase

NOW = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)
NO_PHRASE = Passphrase(can_ask=lambda: False)
LOCAL = Wish(hosts=["localhost"], port=18883)
STEPS = ("replace", "mkdir", "fsync", "open", "unlink")  # functions of `os` that change what a disk holds


class Killed(BaseException):
    """What a SIGKILL is in a test: nobody catches it."""


def make(path: Path, wish: Wish = LOCAL, now: datetime = NOW, passphrase: Passphrase = NO_PHRASE) -> list[str]:
    """Initialize a directory, and return what was said."""
    return list(initialize(Directory(path), wish, now, passphrase))


@contextmanager
def stopped_at(step: int, error: BaseException) -> Iterator[Callable[[], bool]]:
    """Raise an error at so many a step that changes the disk; what it yields tells whether it came to that."""
    count = 0

    def stopping(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                raise error
            return function(*arguments, **options)

        return call

    patches = [patch.object(os, name, stopping(getattr(os, name))) for name in STEPS]
    for each in patches:
        each.start()
    try:
        yield lambda: count >= step
    finally:
        for each in patches:
            each.stop()
