"""How many examples a property is tried with: a share of them in `make test`, all of them in `make test-slow`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ALL = os.environ.get("EXAMPLES") == "all"
SHARE = 15  # one in so many; what they find in a second is what they find in a fast test
AT_LEAST = 20


def examples(number: int) -> Callable[[Any], Any]:
    """Try a property with so many examples in `make test-slow`, which takes what is marked so, and with some now."""
    tried = number if ALL else max(AT_LEAST, number // SHARE)
    # However slow a machine is: neither an example nor drawing it may take too long. And `make test` draws the same in
    # every run, so that a change fails for what it changes; what nobody thought of is for `make test-slow` to find.
    bound = settings(
        max_examples=tried, deadline=None, derandomize=not ALL, suppress_health_check=[HealthCheck.too_slow]
    )

    def decorate(test: Any) -> Any:
        return pytest.mark.examples(bound(test))

    return decorate
