"""A queue before the log: whoever logs never waits for whoever reads it."""

from __future__ import annotations

import copy
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[TextIO]
else:
    StreamHandler = logging.StreamHandler  # of nothing in particular before Python 3.11

MOST_WAITING = 20_000  # records, about 20 MB; beyond them lines are dropped, and the log says how many
FLUSH_TIMEOUT = 5.0  # seconds at the end for what still waits
GIVE_UP_TIMEOUT = 1.0  # seconds for a thread that was told to give up
BETWEEN = 1.0  # seconds between two lines that say how many were dropped
LOOK = 0.2  # seconds between two looks whether to give up

log = logging.getLogger(__name__)


class DescriptorHandler(StreamHandler):
    """Writes lines to a file descriptor, standard error for instance, and can be told to give up waiting for it.

    Python's own stream would hold a lock while it waits, and keep the program from ending.
    """

    def __init__(self, descriptor: int) -> None:
        self._writer = _Writer(descriptor)
        super().__init__(cast(TextIO, self._writer))

    def give_up(self) -> None:
        """Let go of lines that would have to wait, from now on."""
        self._writer.gives_up = True


class LogQueue(QueueHandler):
    """Takes records at once, and hands them to handlers in a thread of its own."""

    def __init__(self, handlers: Sequence[logging.Handler], most: int = MOST_WAITING) -> None:
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(most)
        super().__init__(self._waiting)
        self._handlers = handlers
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Begin to hand records on."""
        self._thread.start()

    def stop(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Hand on what waits, for at most `timeout` seconds and a little."""
        if not self._end_within(timeout):
            for handler in self._handlers:
                if isinstance(handler, DescriptorHandler):
                    handler.give_up()
            self._end_within(GIVE_UP_TIMEOUT)

    def _end_within(self, timeout: float) -> bool:
        """Let the thread end after what waits; return whether it did."""
        end = time.monotonic() + timeout
        with suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
            self._thread.join(max(0.0, end - time.monotonic()))
        return not self._thread.is_alive()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record with its text as it is now; its values may change before it is its turn."""
        prepared = copy.copy(record)
        prepared.msg, prepared.args = record.getMessage(), None
        if record.exc_info:
            prepared.exc_text = logging.Formatter().formatException(record.exc_info)
            prepared.exc_info = None
        return prepared

    def enqueue(self, record: logging.LogRecord) -> None:
        """Let a record wait for its turn, or count it if too many wait."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._dropped += 1  # under the handler's lock, as is everything that logging calls

    def _run(self) -> None:
        next_time = 0.0
        while (record := self._waiting.get()) is not None:
            self._hand_on(record)
            if self._dropped and time.monotonic() >= next_time:
                self._tell_dropped()
                next_time = time.monotonic() + BETWEEN
        if self._dropped:
            self._tell_dropped()

    def _tell_dropped(self) -> None:
        with self.lock or threading.Lock():
            dropped, self._dropped = self._dropped, 0
        text = f"{dropped} lines of the log were dropped: it is read more slowly than it is written"
        self._hand_on(logging.LogRecord(log.name, logging.WARNING, __file__, 0, text, None, None))

    def _hand_on(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)


@contextmanager
def queued_log(most: int = MOST_WAITING, flush_timeout: float = FLUSH_TIMEOUT) -> Iterator[None]:
    """Put a queue before the handlers that the root logger has, until the end of a `with`."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    waiting = LogQueue(handlers, most)
    waiting.start()
    root.handlers[:] = [waiting]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        waiting.stop(flush_timeout)


class _Writer:
    """What a StreamHandler writes to: a file descriptor, a piece at a time that does not block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.gives_up = False

    def write(self, text: str) -> None:
        """Write a line, or nothing more of it once told to give up."""
        data = text.encode("utf-8", "backslashreplace")
        while data and self._is_ready():
            try:
                data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
            except BlockingIOError:  # another program made it so
                time.sleep(LOOK)
            except OSError:  # whoever read it has gone
                return

    def flush(self) -> None:
        """Do nothing: all is written."""

    def _is_ready(self) -> bool:
        while not select.select((), (self._descriptor,), (), 0 if self.gives_up else LOOK)[1]:
            if self.gives_up:
                return False
        return True
