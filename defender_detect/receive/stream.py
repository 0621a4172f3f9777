"""A stream of bytes from and to a client of the built-in broker, of which only so much waits on either side."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import cast

UNREAD = 64 * 1024  # bytes that may wait before the client has to


class Stream(asyncio.Protocol):
    """One connection; `deadline` is for whoever watches it: the moment by which something must have come."""

    def __init__(self, most_unsent: int) -> None:
        self._most_unsent = most_unsent
        self._unread = bytearray()
        self._more: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._takes_no_more = False  # it has been closed, by us or by the client
        self.writable = asyncio.Event()
        self.writable.set()
        self.ended = asyncio.Event()
        self.deadline = math.inf  # of the loop's clock
        self.stalled_since = math.inf

    @property
    def transport(self) -> asyncio.Transport:
        """The connection itself."""
        return cast(asyncio.Transport, self._transport)

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes; raise EOFError if the connection ends before."""
        while len(self._unread) < size:
            if self.ended.is_set():
                raise EOFError
            with suppress(AttributeError):  # Python 3.10, where TLS is over a moment before anybody is told
                self.transport.resume_reading()
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        read = bytes(self._unread[:size])
        del self._unread[:size]
        return read

    def write(self, data: bytes) -> bool:
        """Send bytes, if they need not wait behind too many others; return whether they are under way."""
        if self._takes_no_more or not self.writable.is_set():
            return False
        self.transport.write(data)
        return True

    def is_closing(self) -> bool:
        """Tell whether the connection has ended, or is about to."""
        return self._takes_no_more

    def abort(self) -> None:
        """Close the connection at once, and forget what it sent."""
        self._unread.clear()
        self._takes_no_more = True
        self.transport.abort()

    async def close(self, patience: float) -> None:
        """Close the connection after what was written; at once if that takes longer than so many seconds."""
        if self.ended.is_set():
            return
        self._takes_no_more = True
        self.transport.close()  # once: asyncio forgets a TLS connection that is closed twice, and it stays
        timer = asyncio.get_running_loop().call_later(patience, self.transport.abort)
        await self.ended.wait()
        timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called by asyncio, as are those below."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._most_unsent)

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is read, and let the client wait if that is much."""
        self._unread += data
        if len(self._unread) > UNREAD:
            with suppress(AttributeError):
                self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Send nothing more to a client that has closed its side, or asyncio would warn of each attempt."""
        self._takes_no_more = True

    def pause_writing(self) -> None:
        """Take no more: the client does not read."""
        self.writable.clear()
        self.stalled_since = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """Take more."""
        self.writable.set()
        self.stalled_since = math.inf

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everybody know who waits."""
        self._takes_no_more = True
        self.ended.set()
        self.writable.set()
        self.stalled_since = math.inf
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
