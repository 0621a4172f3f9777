"""The connection of the receiver: reads and writes many packets at once, to keep up with thousands of reports a second.

paho takes five times as long for a packet as its report takes to be read: it reads each in four steps, wakes itself up
for each reply, and writes them one by one. Here the reports are taken out of what arrives, and paho sees the rest.
"""

from __future__ import annotations

import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from defender_detect.receive.messages import Message, split

RECORD = 16 * 1024  # bytes; the most that TLS sends in one piece
MOST_RECORDS = 64  # read at once, which bounds the memory to 1 MB
MOST_MESSAGES = 64  # answered before the replies to them are sent
MOST_WAITING = 64_000_000  # bytes of reports that are read and not answered, four seconds of 10,000 a second
TURN = 0.5  # seconds until paho may look after the connection
MOST_UNSENT = 1_000_000  # bytes of replies; a broker that does not take them is not read, either
PATIENCE = 1.0  # seconds until the next look whether it does


Answer = Callable[[Sequence[Message]], bytes]  # returns packets


class BufferedSocket(ssl.SSLSocket):
    """A TLS socket that reads all there is, keeps the messages apart, and sends later what cannot be sent at once."""

    _unread: tuple[bytes, ...] = ()  # the beginning of a packet
    _missing = 0  # bytes of it
    _others = b""  # whole packets that are no messages at QoS 0, from `_position` on
    _position = 0
    _size = 0  # bytes of the messages that wait
    _end: bytes | Exception | None = None  # what `recv` returns or raises after that, once it is known

    def fill(self) -> None:
        """Read what has arrived, if not too much waits: messages are to be taken, what else there is is for `recv`."""
        if self._size > MOST_WAITING or self._end is not None:
            return
        arrived = self._read_all()
        self._unread = (*self._unread, arrived)
        self._missing -= len(arrived)
        if self._missing > 0:
            return
        found = split(b"".join(self._unread))
        self._unread, self._missing = (found.rest,), found.missing
        self._others, self._position = self._others[self._position :] + found.others, 0
        self._messages.extend(found.messages)
        self._size += sum([len(each.payload) for each in found.messages])

    def take_messages(self) -> list[Message]:
        """Return the next messages, as many as are to be answered together."""
        messages = self._messages
        taken = [messages.popleft() for _ in range(min(MOST_MESSAGES, len(messages)))]
        self._size -= sum([len(each.payload) for each in taken])
        return taken

    def recv(self, buflen: int = RECORD, flags: int = 0) -> bytes:
        """Return at most so many bytes of other packets than messages; b"" at the connection's end."""
        if not self.has_others:
            self.fill()
        start = self._position
        if start < len(self._others):
            self._position = min(start + buflen, len(self._others))
            return self._others[start : self._position]
        if isinstance(self._end, Exception):
            raise self._end
        if self._end is None:
            raise ssl.SSLWantReadError
        return self._end

    @property
    def has_others(self) -> bool:
        """Whether `recv` would return something, or raise what is wrong: that comes after all messages."""
        return self._position < len(self._others) or (self._end is not None and not self._messages)

    def pending(self) -> int:
        """Return how many bytes can be had without waiting."""
        return self._size + len(self._others) - self._position or len(self._messages) or super().pending()

    def send(self, data: bytes | bytearray, flags: int = 0) -> int:  # type: ignore[override]
        """Send bytes after all others, now or later; return how many there are."""
        if data:
            self._waiting.append(bytes(data))
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what waits, as far as the other side takes it."""
        waiting = self._waiting
        with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while waiting:  # OpenSSL wants to be given the same bytes again after a write that was not possible
                super().send(waiting[0])
                waiting.popleft()

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return sum(map(len, self._waiting))

    @cached_property
    def _waiting(self) -> deque[bytes]:
        """What waits to be sent; made when it is asked for, because the standard library makes these sockets."""
        return deque()

    @cached_property
    def _messages(self) -> deque[Message]:
        """What waits to be answered."""
        return deque()

    def _read_all(self) -> bytes:
        """Return what has arrived, and note the end after it."""
        records: list[bytes] = []
        most = MOST_RECORDS if self.gettimeout() == 0 else 1  # more would wait
        try:
            while len(records) < most:
                record = super().recv(RECORD)
                if not record:
                    self._end = b""
                    break
                records.append(record)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # there is no more
            pass
        except BrokenPipeError:  # OpenSSL 3.5 still had a ticket to send to who has closed the connection
            self._end = b""
        except OSError as error:
            self._end = error
        return b"".join(records)


class Client(mqtt.Client):
    """A client whose messages at QoS 0 go past paho: `on_messages` is given many at once, and returns the replies."""

    on_messages: Answer = staticmethod(lambda messages: b"")

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle what has arrived."""
        connection = self.socket()
        if not isinstance(connection, BufferedSocket):
            return super().loop_read(max_packets)
        if connection.unsent > MOST_UNSENT:
            select.select((), (connection,), (), PATIENCE)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._answer(connection)
        return self._pass_on(connection)

    def _pass_on(self, connection: BufferedSocket) -> MQTTErrorCode:
        """Let paho handle what else has arrived, or the connection's end."""
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS and self.socket() is connection and connection.has_others:
            result = super().loop_read()
        return result

    def _answer(self, connection: BufferedSocket) -> None:
        """Answer the messages that there are, for some time, and read on meanwhile: brokers keep little for others."""
        end = time.monotonic() + TURN
        connection.fill()
        while time.monotonic() < end and (messages := connection.take_messages()):
            with suppress(OSError):  # which is noticed by who reads
                connection.send(self.on_messages(messages))
            connection.fill()

    def loop_write(self) -> MQTTErrorCode:
        """Send what waits."""
        connection = self.socket()
        if isinstance(connection, BufferedSocket):
            with suppress(OSError):
                connection.flush()
        return super().loop_write()

    def want_write(self) -> bool:
        """Tell whether something waits to be sent."""
        connection = self.socket()
        return super().want_write() or (isinstance(connection, BufferedSocket) and connection.unsent > 0)


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
