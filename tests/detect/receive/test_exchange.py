"""The exchange knows who is connected by certificate, and brings each message to those who may hear it."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.errors import ClientError
from defender_detect.receive.exchange import Exchange
from defender_detect.receive.gate import Gate, Peer
from defender_detect.receive.limits import Limits
from defender_detect.receive.notices import Notices
from defender_detect.receive.packets import Publish
from defender_detect.receive.stream import Stream
from tests.detect.receive.test_stream import Transport

log = logging.getLogger("tests.exchange")
DETECT, THING, OTHER = Peer("detect", 1, is_detect=True), Peer("rpi-1", 2), Peer("rpi-2", 3)
REPORTS = "$aws/things/+/defender/metrics/json"
REPORT = Publish("$aws/things/rpi-1/defender/metrics/json", b"{}")


class Fake:
    """A client that notes why it was ended."""

    def __init__(self, peer: Peer, client_id: str = "a") -> None:
        self.peer, self.client_id = peer, client_id
        self.stream, self.transport = Stream(100), Transport()
        self.stream.connection_made(self.transport)
        self.ended: list[str] = []

    def end(self, reason: str, leaves_will: bool = True) -> None:
        self.ended.append(reason)


def exchange(**limits: float) -> Exchange:
    return Exchange(Gate({}, Limits(**limits)), Notices(log))  # type: ignore[arg-type]


def test_the_oldest_connection_of_a_certificate_makes_room_for_the_newest() -> None:
    async def scene() -> None:
        here = exchange(connections=2)
        things, others = [Fake(THING) for _ in range(4)], [Fake(OTHER) for _ in range(2)]
        for each in (*others, *things):
            here.enter(each)
        assert [1, 1, 0, 0] == [len(each.ended) for each in things]
        assert ["has more than 2 connections: the oldest is closed"] == things[0].ended
        assert [[], []] == [each.ended for each in others]
        assert 4 == len(here)
        for each in things:  # in whatever order they leave
            here.leave(each)
        assert others == list(here)

    asyncio.run(scene())


def test_detect_may_connect_as_often_as_it_likes() -> None:
    async def scene() -> None:
        here = exchange(connections=2)
        several = [Fake(DETECT) for _ in range(5)]
        for each in several:
            here.enter(each)
        assert 5 == len(here)

    asyncio.run(scene())


def test_only_the_same_certificate_takes_a_client_id_over() -> None:
    async def scene() -> None:
        here = exchange()
        first, other, another_id, second = Fake(THING), Fake(OTHER), Fake(THING, "b"), Fake(THING)
        for each in (first, other, another_id, second):
            here.enter(each)
        here.take_over(second)
        assert ["connected again as 'a': its former connection is closed"] == first.ended
        assert [[], [], []] == [each.ended for each in (other, another_id, second)]

    asyncio.run(scene())


def test_what_a_certificate_has_used_up_stays_used_up_when_it_comes_again() -> None:
    async def scene() -> None:
        here = exchange(messages_per_second=0.001, saved=1_000.0)  # one at once
        first = Fake(THING)
        share = here.enter(first).share
        assert 0.0 == share.charge(1)
        here.leave(first)
        here.forget_the_idle()
        assert here.enter(Fake(THING)).share.charge(1) > 100
        idle = Fake(OTHER)
        account = here.enter(idle)
        here.leave(idle)
        here.forget_the_idle()
        assert here.enter(Fake(OTHER)) is not account

    asyncio.run(scene())


def test_a_message_reaches_who_asked_for_it_and_nobody_else() -> None:
    async def scene() -> None:
        here = exchange()
        detect, thing, other = Fake(DETECT), Fake(THING), Fake(OTHER)
        for each in (detect, thing, other):
            here.enter(each)
        assert here.subscribe(detect, REPORTS)
        assert not here.subscribe(other, REPORTS)
        await here.publish(THING, REPORT)
        assert b"defender/metrics/json{}" == detect.transport.written[-23:]
        assert b"" == thing.transport.written + other.transport.written
        with pytest.raises(ClientError, match="may not publish to '.aws/things/rpi-1/defender/metrics/json'"):
            await here.publish(OTHER, REPORT)
        here.forget_filters(detect, [REPORTS])
        before = detect.transport.written
        await here.publish(THING, REPORT)
        assert before == detect.transport.written

    asyncio.run(scene())


def test_detect_is_waited_for_and_a_thing_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        here = exchange()
        detect, thing = Fake(DETECT), Fake(THING)
        for each, topic_filter in ((detect, "#"), (thing, "a")):
            here.enter(each)
            here.subscribe(each, topic_filter)
            each.stream.pause_writing()
        publishing = asyncio.ensure_future(here.publish(THING, Publish("a", b"1")))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not publishing.done()
        detect.stream.resume_writing()
        await publishing
        assert b"1" == detect.transport.written[-1:]
        assert b"" == thing.transport.written

    asyncio.run(scene())
    assert ["'rpi-1' (certificate 2): does not read what is sent to it: messages are dropped"] == [
        record.getMessage() for record in caplog.records
    ]
