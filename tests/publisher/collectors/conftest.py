"""What the tests of the collectors share: draws that are the same in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest


@pytest.fixture
def drawn_as_ever() -> Iterator[None]:
    """Let Python's own generator draw the same in every run, so that what is rare has either happened or never does."""
    before = random.getstate()
    random.seed(1)
    yield
    random.setstate(before)
