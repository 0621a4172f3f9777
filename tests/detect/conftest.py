"""What the tests of Detect share: its program can be run in their own process."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def no_log_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program log nothing of its own: its handler would keep a descriptor that is a database's after the test.

    It writes to standard error by number, and pytest's is a file that is closed with the test.
    """
    if "defender_detect.__main__" in sys.modules:
        monkeypatch.setattr("defender_detect.__main__.start_logging", lambda debug: None)
