"""The limits of the built-in broker: how much of it one certificate, and one who shows none, may take.

Where AWS IoT Core publishes a quota for the same thing it is that one (its "message broker" quotas), so that what works
here works there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from device_defender.report import LARGEST_PAYLOAD

CARRIES_A_MESSAGE = (1, 3)  # kinds of MQTT packets: CONNECT, by its will, and PUBLISH


@dataclass(frozen=True)
class Limits:
    """What a broker allows; times are in seconds, sizes in bytes."""

    packet: int = LARGEST_PAYLOAD + 1024  # AWS's largest payload, with its topic
    topic: int = 256  # AWS's, of a topic and of a filter
    slashes: int = 7  # AWS's
    client_id: int = 128  # AWS's
    filters: int = 50  # AWS's, of one connection
    filters_of_request: int = 8  # AWS's, in one SUBSCRIBE
    messages_per_second: float = 100.0  # AWS's, of one connection; here of all connections of a certificate
    bytes_per_second: float = 512.0 * 1024  # AWS's
    saved: float = 5.0  # of these rates; a thing that was quiet may send so much at once
    connections: int = 5  # of one certificate: a thing needs one, and may come back before its dead one is noticed
    connections_in_all: int = 1_000  # less where fewer files can be open; beyond some tens a kept broker is the choice
    strangers: int = 64  # connections that have not shown a certificate yet, of everybody together
    handshake: float = 10.0  # for TLS; a small board on a slow line takes two
    connect: float = 10.0  # from there to CONNECT
    one_packet: float = 30.0  # from a packet's head to its end
    keep_alive: int = 1_200  # AWS's longest; a client that wants none, or longer, has this one
    unsent: int = 256 * 1024  # waiting for a client that does not read; what comes then is not for it
    stalled: float = 30.0  # a client that takes none of it for so long has gone

    def largest(self, first: int) -> int:
        """Return how long a packet may be that begins with this byte."""
        if first >> 4 in CARRIES_A_MESSAGE:
            return self.packet
        return 2 + self.filters_of_request * (2 + self.topic + 1)


class Share:
    """What one certificate may send: messages and bytes per second, on all its connections together."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = (limits.messages_per_second, limits.bytes_per_second)
        self._most = tuple(rate * limits.saved for rate in self._rates)
        self._left = list(self._most)
        self._clock, self._last = clock, clock()

    def charge(self, size: int) -> float:
        """Count one message of so many bytes; return how many seconds to wait before it is looked at."""
        self._refill()
        for index, amount in enumerate((1, size)):
            self._left[index] -= amount
        return max(0.0, *(-left / rate for left, rate in zip(self._left, self._rates)))

    def is_full(self) -> bool:
        """Tell whether nothing was sent for so long that the share can be forgotten."""
        self._refill()
        return all(left >= most for left, most in zip(self._left, self._most))

    def _refill(self) -> None:
        now = self._clock()
        passed, self._last = now - self._last, now
        for index, (rate, most) in enumerate(zip(self._rates, self._most)):
            self._left[index] = min(most, self._left[index] + passed * rate)
