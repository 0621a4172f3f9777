"""An attempt to measure something, whose failure is logged and goes no further."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import psutil

from defender_publisher.errors import CollectError

FORESEEN = (CollectError, OSError, psutil.Error)  # psutil's errors are no OSError

T = TypeVar("T")
logger = logging.getLogger("defender_publisher")


def attempt(what: str, measure: Callable[[], T]) -> T | None:
    """Return what `measure` returns, or None after logging that `what` is left out of the report, and why.

    A foreseen failure is one WARNING line. Any other exception is logged with its traceback, and is not raised either:
    one broken collector must not silence the others.
    """
    try:
        return measure()
    except FORESEEN as error:
        logger.warning("%s left out of the report: %s", what, error)
    except Exception:
        logger.exception("%s left out of the report, unexpectedly", what)
    return None
