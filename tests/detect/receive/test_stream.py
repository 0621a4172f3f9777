"""A stream keeps only so much on either side, hands out every byte, and ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from defender_detect.receive.stream import UNREAD, Stream


class Transport(asyncio.Transport):
    """A connection that notes what it is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.written = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.asked.append(f"at most {high}")

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def is_closing(self) -> bool:
        return "close" in self.asked or "abort" in self.asked

    def close(self) -> None:
        self.asked.append("close")

    def abort(self) -> None:
        self.asked.append("abort")


def play(scene: Callable[[Stream, Transport], Awaitable[None]]) -> Transport:
    """Run a scene with a stream and its connection."""

    async def run() -> Transport:
        stream, transport = Stream(100), Transport()
        stream.connection_made(transport)
        await scene(stream, transport)
        return transport

    return asyncio.run(run())


def test_bytes_come_in_order_however_they_arrive() -> None:
    async def scene(stream: Stream, _: Transport) -> None:
        reading = asyncio.ensure_future(stream.read(5))
        for piece in (b"ab", b"cd", b"efg"):
            await asyncio.sleep(0)
            stream.data_received(piece)
        assert b"abcde" == await reading
        assert b"fg" == await stream.read(2)
        assert b"" == await stream.read(0)

    play(scene)


def test_who_sends_faster_than_is_read_has_to_wait() -> None:
    async def scene(stream: Stream, transport: Transport) -> None:
        stream.data_received(b"x" * UNREAD)
        assert ["at most 100"] == transport.asked
        stream.data_received(b"x")
        assert "pause" == transport.asked[-1]
        await stream.read(UNREAD + 1)
        reading = asyncio.ensure_future(stream.read(1))
        await asyncio.sleep(0)
        assert "resume" == transport.asked[-1]
        reading.cancel()

    play(scene)


def test_what_came_before_the_end_is_read_and_then_the_end() -> None:
    async def scene(stream: Stream, _: Transport) -> None:
        stream.data_received(b"last")
        stream.connection_lost(None)
        assert b"last" == await stream.read(4)
        with pytest.raises(EOFError):
            await stream.read(1)

    play(scene)


def test_what_was_sent_before_an_abort_is_forgotten() -> None:
    async def scene(stream: Stream, _: Transport) -> None:
        stream.data_received(b"evil")
        stream.abort()
        stream.connection_lost(None)
        with pytest.raises(EOFError):
            await stream.read(1)

    assert "abort" in play(scene).asked


def test_nothing_is_written_while_too_much_waits() -> None:
    async def scene(stream: Stream, _: Transport) -> None:
        assert stream.write(b"a")
        stream.pause_writing()
        assert not stream.write(b"b")
        assert stream.stalled_since <= asyncio.get_running_loop().time()
        stream.resume_writing()
        assert stream.write(b"c")
        assert stream.stalled_since == float("inf")
        stream.connection_lost(None)
        assert not stream.write(b"d")

    assert b"ac" == play(scene).written


@pytest.mark.parametrize("end", ["eof_received", "abort"])
def test_nothing_is_written_to_a_client_that_has_closed_its_side(end: str) -> None:
    async def scene(stream: Stream, _: Transport) -> None:
        getattr(stream, end)()
        assert stream.is_closing()
        assert not stream.write(b"x")

    assert b"" == play(scene).written


def test_a_connection_that_tls_has_given_up_already_is_no_error() -> None:
    async def scene(stream: Stream, transport: Transport) -> None:
        del transport.asked  # as with Python 3.10, where each of its methods is an AttributeError then
        stream.data_received(b"x" * (UNREAD + 1))
        reading = asyncio.ensure_future(stream.read(UNREAD + 2))
        await asyncio.sleep(0)
        stream.connection_lost(None)
        with pytest.raises(EOFError):
            await reading

    play(scene)


def test_a_connection_is_closed_once_and_aborted_when_that_takes_long() -> None:
    async def scene(stream: Stream, transport: Transport) -> None:
        closing = asyncio.ensure_future(stream.close(0.01))
        while "abort" not in transport.asked:
            await asyncio.sleep(0.001)
        stream.connection_lost(None)
        await closing
        await stream.close(0.01)

    assert ["at most 100", "close", "abort"] == play(scene).asked
