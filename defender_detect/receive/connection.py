"""The connection of the receiver: reads all that has arrived at once, to keep up with thousands of reports a second.

paho reads a packet in four steps and then looks after everything else. Each step lets go of the interpreter's lock, for
which a thread that computes (the store's) makes it wait up to 5 ms.
"""

from __future__ import annotations

import ssl

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
        records = [super().recv(RECORD)]
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
