"""The accounting: over any sequence of faults no byte is lost, and none is counted twice without a word."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_publisher.errors import NotConnected, NoVerdict, Rejected
from defender_publisher.publisher import Publisher
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters, CustomValue, Snapshot, Sockets
from defender_publisher.state import State
from defender_publisher.transport import Delivery
from device_defender.report import LARGEST_PAYLOAD
from tests.examples import examples

SETTINGS = read_settings(None, {"agent": {"dry_run": True, "thing_name": "t"}})
HEARD = (
    "accepted",
    "contradicted",
    "accepted late",
    "rejected",
    "not sent",
    "lost on the way there",
    "crash before",
    "uncounted",
)
UNHEARD = ("verdict lost", "silent", "crash after", "unforeseen")


class Crash(BaseException):
    """The program is killed: no handler of Exception sees it."""


@dataclass
class World:
    """A device that counts, and Device Defender, which does with each report what the test says."""

    now: float = 1_700_000_000.0
    counted: int = 1000
    state: State = State("t")
    outcome: str = "accepted"
    accepted: list[int | None] = field(default_factory=list)  # bytes_in of each report that Device Defender took
    late: dict[int, bool] = field(default_factory=dict)
    boot_id: str = "boot"
    silent_id: int = 0
    connected = True
    largest_report = LARGEST_PAYLOAD

    def look(self) -> Sockets:
        return Sockets(frozenset(), frozenset(), frozenset())

    def snapshot(self, sockets: Sockets) -> Snapshot:
        counters = None if self.outcome == "uncounted" else {"eth0": Counters(self.counted, 0, 0, 0)}
        return Snapshot(self.now, self.boot_id, sockets, counters, {"x": CustomValue("number", 1)})

    def load(self, thing_name: str) -> State:
        return self.state

    def save(self, state: State) -> None:
        self.state = state

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        if self.outcome in ("accepted", "uncounted", "accepted late", "verdict lost", "silent", "crash after"):
            self.accepted.append(json.loads(payload)["metrics"].get("network_stats", {}).get("bytes_in"))
        if self.outcome == "accepted late":
            self.late[report_id] = True
            raise NoVerdict("?")
        if self.outcome.startswith("crash"):
            raise Crash
        if self.outcome in ("lost on the way there", "verdict lost"):
            raise NoVerdict("the connection is lost")
        if self.outcome == "silent":
            self.silent_id = report_id
            raise NoVerdict("iot:Receive on TOPIC?", healthy=True)
        if self.outcome == "not sent":
            raise NotConnected("?")
        if self.outcome == "unforeseen":
            raise ZeroDivisionError
        if self.outcome == "delivered late":
            self.late[self.silent_id] = True
        if self.outcome == "contradicted":
            self.accepted.append(json.loads(payload)["metrics"].get("network_stats", {}).get("bytes_in"))
            self.late[report_id] = True
        if self.outcome in ("rejected", "contradicted"):
            raise Rejected(report_id, "Throttled", "")
        if self.outcome == "malformed":
            raise Rejected(report_id, "InvalidPayload", "Malformed metrics report")
        return Delivery(0.1)

    def late_verdicts(self) -> dict[int, bool]:
        late, self.late = self.late, {}
        return late

    def start(self) -> Publisher:
        return Publisher(SETTINGS, self, self, self, lambda: self.now)

    def run(self, *outcomes: str) -> World:
        """Report once for each outcome, 100 bytes apart, and start again after a crash."""
        publisher = self.start()
        for self.outcome in outcomes:
            self.counted, self.now = self.counted + 100, self.now + 300
            try:
                publisher.report()
            except (Crash, ZeroDivisionError) as error:
                if isinstance(error, Crash):
                    self.late, publisher = {}, self.start()
        return self

    @property
    def reported(self) -> int:
        return sum(each or 0 for each in self.accepted)


@given(st.lists(st.sampled_from(HEARD), max_size=12))
@examples(300)
def test_where_verdicts_arrive_the_sum_of_growth_is_what_the_kernel_counted(faults: list[str]) -> None:
    world = World().run("accepted", *faults, "accepted")
    assert 100 * (len(faults) + 1) == world.reported


@given(st.lists(st.sampled_from(HEARD + UNHEARD), max_size=12))
@examples(300)
def test_no_byte_is_lost_whatever_happens(faults: list[str]) -> None:
    world = World().run("accepted", *faults, "accepted")
    assert 100 * (len(faults) + 1) <= world.reported


@given(st.lists(st.sampled_from(HEARD + UNHEARD), max_size=12))
@examples(100)
def test_what_is_counted_twice_is_in_the_log(faults: list[str]) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("defender_publisher").addHandler(handler)
    try:
        world = World().run("accepted", *faults, "accepted")
    finally:
        logging.getLogger("defender_publisher").removeHandler(handler)
    if world.reported > 100 * (len(faults) + 1):
        assert any("counts the traffic of report" in each for each in said)


def test_a_lost_verdict_is_said_and_its_stretch_counted_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World().run("accepted", "verdict lost", "accepted")
    assert [None, 100, 200] == world.accepted
    assert "report 1700000900 counts the traffic of report 1700000600 again" in caplog.text


def test_a_verdict_lost_by_a_crash_is_said_after_the_restart(caplog: pytest.LogCaptureFixture) -> None:
    world = World().run("accepted", "crash after", "accepted")
    assert [None, 100, 200] == world.accepted
    assert "report 1700000900 counts the traffic of report 1700000600 again" in caplog.text


def test_where_nothing_is_counted_nothing_is_said_to_be_counted_twice(caplog: pytest.LogCaptureFixture) -> None:
    world = World().run("verdict lost", "accepted", "verdict lost")
    world.boot_id = "another boot"
    world.run("accepted")
    assert [None, None, 100, None] == world.accepted
    assert "again" not in caplog.text


def test_a_verdict_that_comes_before_the_next_report_counts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World().run("accepted", "accepted late", "accepted")
    assert [None, 100, 100] == world.accepted
    assert "report 1700000600 was accepted after all" in caplog.text


def test_silence_twice_in_a_row_counts_as_delivered_and_names_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    world = World().run("accepted", "silent", "silent", "silent", "accepted")
    assert [None, 100, 200, 100, 100] == world.accepted
    assert "report 1700000900 counts as delivered" in caplog.text
    assert "iot:Receive on TOPIC?" in caplog.text


def test_a_rejection_that_is_contradicted_before_the_next_report_counts() -> None:
    assert [None, 100, 100] == World().run("accepted", "contradicted", "accepted").accepted


def test_a_late_verdict_on_a_report_that_counts_as_delivered_claims_nothing(caplog: pytest.LogCaptureFixture) -> None:
    World().run("accepted", "silent", "silent", "delivered late", "accepted")
    assert "came too late" not in caplog.text


def test_a_verdict_that_comes_after_the_next_report_is_said_to_be_counted_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    World().run("accepted", "silent", "delivered late", "accepted")
    assert (
        "report 1700000600 was accepted, but that came too late: a later report counts its traffic again" in caplog.text
    )


def test_silence_that_an_answer_interrupts_is_not_twice_in_a_row() -> None:
    world = World().run("accepted", "silent", "accepted", "silent", "accepted")
    assert [None, 100, 200, 100, 200] == world.accepted


def test_silence_of_a_broker_that_is_gone_never_counts_as_delivered() -> None:
    world = World().run("accepted", "lost on the way there", "lost on the way there", "accepted")
    assert [None, 300] == world.accepted


def test_a_report_that_is_malformed_twice_is_logged_whole_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    world = World().run("accepted", "malformed", "malformed", "malformed", "accepted")
    assert [None, 100] == world.accepted
    (whole,) = [each.getMessage() for each in caplog.records if "given up" in each.getMessage()]
    assert 200 == json.loads(whole[whole.index("{") :])["metrics"]["network_stats"]["bytes_in"]


def test_a_report_that_is_malformed_once_is_sent_again() -> None:
    world = World().run("accepted", "malformed", "rejected", "malformed", "accepted")
    assert [None, 400] == world.accepted


def test_a_report_that_was_not_sent_does_not_delay_the_next_after_a_restart() -> None:
    world = World().run("accepted", "not sent")
    assert 1_700_000_300.0 == world.state.published_at
    assert world.state.unsettled is None
