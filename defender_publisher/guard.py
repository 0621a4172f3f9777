"""The guard: looks at the watchdog's verdict, helps where it can, and tells the service manager that all is well."""

from __future__ import annotations

import logging
import sys
import traceback
from threading import Thread

from defender_publisher.config import Config
from defender_publisher.notify import Notifier
from defender_publisher.transport import Transport
from defender_publisher.watchdog import GIVE_UP, RESET, WELL, HungError, Watchdog, patience_for

log = logging.getLogger("defender_publisher")


class Guard:
    """Guards the jobs of one configuration; the main thread lets it `look` from time to time."""

    def __init__(self, config: Config, transport: Transport, notifier: Notifier) -> None:
        self.watchdog: Watchdog[Thread] = Watchdog(patience_for(config))
        self._transport = transport
        self._notifier = notifier

    def look(self) -> float:
        """Help where a job makes no progress; return the seconds until the next look.

        Raises HungError, which says where the job is, when a new connection did not help.
        """
        verdict = self.watchdog.judge()
        stuck = "; ".join(f"{job.name} is at {whereabouts(job)}" for job in self.watchdog.overdue)
        if verdict == WELL:
            self._notifier.alive()
        elif verdict == RESET:
            log.error("no progress for %.0f s, so a new connection is made: %s", self.watchdog.patience, stuck)
            self._transport.reset()
        elif verdict == GIVE_UP:
            raise HungError(f"no progress, and a new connection did not help: {stuck}")
        every = self.watchdog.every
        return min(every, (self._notifier.watchdog_interval or 2 * every) / 2)


def whereabouts(thread: Thread) -> str:
    """Return where a thread is now, as "FILE:LINE in FUNCTION", to say where it hangs."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "its end: the thread is gone"
    last = traceback.extract_stack(frame)[-1]
    return f"{last.filename}:{last.lineno} in {last.name}"
