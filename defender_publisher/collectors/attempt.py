"""An attempt to measure something, whose failure is logged and goes no further."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from defender_publisher.errors import CollectError

T = TypeVar("T")
logger = logging.getLogger("defender_publisher")


def attempt(what: str, measure: Callable[[], T]) -> T | None:
    """Return what `measure` returns, or None after logging that `what` is left out of the report, and why.

    A foreseen failure is one WARNING line. Any other exception is logged with its traceback, and is not raised either:
    one broken collector must not silence the others.
    """
    try:
        return measure()
    except Exception as error:
        if isinstance(error, _foreseen()):
            logger.warning("%s left out of the report: %s", what, error)
        else:
            logger.exception("%s left out of the report, unexpectedly", what)
    return None


def _foreseen() -> tuple[type[Exception], ...]:
    """Return the errors a collector may raise; psutil's are no OSError, and only there where psutil is loaded."""
    psutil = sys.modules.get("psutil")
    return (CollectError, OSError, psutil.Error) if psutil else (CollectError, OSError)
