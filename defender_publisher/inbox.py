"""The inbox: the last messages on the reply topics, few and short, however many a broker sends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MOST = 50  # messages that are kept; a verdict comes within seconds, and nobody asked for more
LONGEST = 16 * 1024  # bytes; a verdict has some 200


class Message(NamedTuple):
    """A message that arrived on a reply topic."""

    topic: str
    payload: bytes


class Inbox:
    """Keeps the newest messages for the thread that waits; `left_out` counts those that nobody will ever see."""

    def __init__(self) -> None:
        self.on_close: Callable[[], None] = lambda: None  # called, by whoever closes it
        self._messages: deque[Message] = deque()
        self._news = threading.Condition()
        self._closed = False
        self.left_out = 0

    def put(self, message: Message) -> None:
        """Keep a message, in place of the oldest where there are too many; one that is too long is no verdict."""
        with self._news:
            if len(message.payload) > LONGEST:
                self.left_out += 1
                return
            if len(self._messages) == MOST:
                self._messages.popleft()
                self.left_out += 1
            self._messages.append(message)
            self._news.notify()

    def close(self) -> None:
        """Note that nothing more will come; whoever waits is told once all messages are taken."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self.on_close()

    def get(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises EOFError when nothing more will come."""
        with self._news:
            self._news.wait_for(lambda: self._messages or self._closed, timeout=max(timeout, 0.0))
            if self._messages:
                return self._messages.popleft()
            if self._closed:
                raise EOFError
            return None

    def take_all(self) -> list[Message]:
        """Return the messages that are there now."""
        with self._news:
            messages = list(self._messages)
            self._messages.clear()
        return messages
