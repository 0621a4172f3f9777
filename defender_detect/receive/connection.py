"""The connection of the receiver: reads all that has arrived at once, to keep up with thousands of reports a second.

paho reads a packet in four steps and then looks after everything else. Each step lets go of the interpreter's lock, for
which a thread that computes (the store's) makes it wait up to 5 ms.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

RECORD = 16 * 1024  # bytes; the most that TLS sends in one piece
MOST_RECORDS = 64  # read at once, which bounds the memory to 1 MB
MOST_PACKETS = 64  # handled before the replies to them are sent


class BufferedSocket(ssl.SSLSocket):
    """A TLS socket that reads all there is, and hands it out as it is asked for."""

    _unread = b""
    _position = 0

    def recv(self, buflen: int = RECORD, flags: int = 0) -> bytes:
        """Return at most so many bytes; b"" at the connection's end."""
        if self._position == len(self._unread):
            self._unread, self._position = self._read_all(), 0
        start = self._position
        self._position = min(start + buflen, len(self._unread))
        return self._unread[start : self._position]

    def pending(self) -> int:
        """Return how many bytes can be read without waiting."""
        return len(self._unread) - self._position or super().pending()

    def _read_all(self) -> bytes:
        try:
            records = [super().recv(RECORD)]
        except BrokenPipeError:  # OpenSSL 3.5 still had a ticket to send to who has closed the connection
            return b""
        try:
            while records[-1] and len(records) < MOST_RECORDS and self.gettimeout() == 0:
                records.append(super().recv(RECORD))
        except OSError:  # there is no more; what else is wrong comes again when this is used up
            pass
        return b"".join(records)


class Client(mqtt.Client):
    """A client that handles all packets that it has read before it looks after anything else."""

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle what has arrived."""
        for _ in range(MOST_PACKETS):
            result = super().loop_read(max_packets)
            connection = self.socket()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or not isinstance(connection, BufferedSocket):
                break
            if not connection.pending():
                break
        return result


class Deafness:
    """For how long nothing could be heard, because there was no subscription; whoever asks is told of it once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = clock()  # None while reports can be heard
        self._before = 0.0  # seconds that nobody was told of yet

    def begin(self) -> None:
        """Note that nothing is heard from now on."""
        with self._lock:
            if self._since is None:
                self._since = self._clock()

    def end(self) -> None:
        """Note that reports are heard from now on."""
        with self._lock:
            self._count()
            self._since = None

    def take(self) -> float:
        """Return how many seconds it was since the last time that somebody asked."""
        with self._lock:
            self._count()
            taken, self._before = self._before, 0.0
            return taken

    def _count(self) -> None:
        if self._since is not None:
            now = self._clock()
            self._before += now - self._since
            self._since = now
