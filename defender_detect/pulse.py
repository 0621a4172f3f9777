"""The pulse: what systemd is told of Detect, and a sign of life only while each of its parts makes progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from defender_daemon.notify import Notifier

log = logging.getLogger(__name__)

LOOKS = 4  # signs of life within systemd's patience
EVERY = 15.0  # seconds between two where nobody waits for them


class Pulse:
    """Tells systemd what goes on; the main loop calls `beat` every so many seconds.

    `parts` are what Detect is made of, by their names, each with a function that says whether it makes progress.
    """

    def __init__(self, notifier: Notifier, parts: Mapping[str, Callable[[], bool]], status: Callable[[], str]) -> None:
        self.every = min(EVERY, (notifier.watchdog_interval or LOOKS * EVERY) / LOOKS)
        self._notifier, self._parts, self._status = notifier, parts, status
        self._hung: set[str] = set()  # that was said

    def beat(self) -> None:
        """Give a sign of life if every part makes progress; otherwise say once which does not."""
        hung = {name for name, lives in self._parts.items() if not lives()}
        for name in sorted(hung - self._hung):
            log.error("%s makes no progress; if that lasts, systemd restarts Detect", name)
        for name in sorted(self._hung - hung):
            log.warning("%s makes progress again", name)
        self._hung = hung
        self._notifier.status(self._status())
        if not hung:
            self._notifier.alive()

    def reloading(self) -> None:
        """Say that the configuration is read again; `reloaded` ends that."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """Say that it goes on."""
        self._notifier.ready()
