"""The progress: each step that is done is a line of the log at DEBUG, and a place at which a run may end and go on."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def done(step: str) -> None:
    """Note that a step is done, and that whatever it leaves behind is on the disk."""
    log.debug("done: %s", step)
