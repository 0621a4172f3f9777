"""Waiting in a test, for as long as it takes and not longer."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO

PATIENCE = 60.0  # seconds for an event that comes at once on an idle machine; no test fails because one is slow
FOR_EVER = 3600.0  # seconds of what a test sets so that whatever waits for its end is found out


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Return whether a condition held within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def until_well(ask: Callable[[], subprocess.CompletedProcess[str]]) -> subprocess.CompletedProcess[str]:
    """Return the first answer that ends with 0, or the last: where intervals are short, a busy machine is late."""
    answers: list[subprocess.CompletedProcess[str]] = []

    def is_well() -> bool:
        answers.append(ask())
        return not answers[-1].returncode

    wait_until(is_well)
    return answers[-1]


def outcome(step: Callable[[], object]) -> object:
    """Return what `step` returned or raised; fail if it does not come back, instead of hanging with it."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(step())
        except Exception as error:
            results.append(error)

    threading.Thread(target=run, daemon=True).start()
    assert wait_until(lambda: results), f"still not back after {PATIENCE} s"
    return results[0]


def read_until(stream: IO[str] | None, words: str) -> str:
    """Return what a program says up to the line with these words; fail if it ends before."""
    assert stream is not None
    said = ""
    while words not in said:
        line = stream.readline()
        assert line, f"{words!r} was not said in:\n{said}"
        said += line
    return said
