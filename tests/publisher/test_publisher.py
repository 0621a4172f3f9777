"""What is reported, when, and what is remembered of it, with a fake device, transport and clock."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from defender_publisher.errors import NotConnected, NoVerdict, Rejected
from defender_publisher.publisher import Publisher
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Connection, Counters, CustomValue, Port, Snapshot, Sockets
from defender_publisher.state import State
from defender_publisher.transport import Delivery
from device_defender.report import LARGEST_PAYLOAD


@dataclass
class FakeDevice:
    """A device whose sockets and counter are what the test sets."""

    clock: FakeClock
    sockets: Sockets = Sockets(frozenset({Port(22, "")}), frozenset(), frozenset())
    bytes_in: int | None = 1000
    boot_id: str = "boot"

    def look(self) -> Sockets:
        return self.sockets

    def snapshot(self, sockets: Sockets) -> Snapshot:
        counters = None if self.bytes_in is None else {"eth0": Counters(self.bytes_in, 0, 0, 0)}
        return Snapshot(self.clock(), self.boot_id, sockets, counters, {"x": CustomValue("number", 1)})


@dataclass
class FakeClock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeTransport:
    """A transport that accepts, unless `error` is set; remembers what it was given."""

    clock: FakeClock
    connected: bool = True
    largest_report: int = LARGEST_PAYLOAD
    error: Exception | None = None
    took: float = 0.0
    reports: list[dict[str, Any]] = field(default_factory=list)

    def connect(self) -> None:
        pass

    def keep_connected(self) -> float:
        return 5.0

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        self.clock.now += self.took
        self.reports.append(json.loads(payload))
        assert report_id == self.reports[-1]["header"]["report_id"]
        if self.error is not None:
            raise self.error
        return Delivery(self.took)

    def late_verdicts(self) -> dict[int, bool]:
        return {}

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class FakeStore:
    state: State = State("t")

    def load(self, thing_name: str) -> State:
        return self.state

    def save(self, state: State) -> None:
        self.state = state


class Bench:
    """A publisher with everything around it in the test's hand."""

    def __init__(self, store: FakeStore | None = None, **agent: object) -> None:
        self.clock = FakeClock()
        self.device = FakeDevice(self.clock)
        self.transport = FakeTransport(self.clock)
        self.store = store or FakeStore()
        self.settings = read_settings(None, {"agent": {"dry_run": True, "thing_name": "t", **agent}})
        self.publisher = Publisher(self.settings, self.device, self.transport, self.store, self.clock)

    def report(self, after: float = 300.0) -> float:
        self.clock.now += after
        return self.publisher.report()

    @property
    def growths(self) -> list[int | None]:
        return [each["metrics"].get("network_stats", {}).get("bytes_in") for each in self.transport.reports]


def test_growth_is_measured_from_the_last_accepted_report() -> None:
    bench = Bench()
    for bytes_in, error in [(1000, None), (1100, None), (1300, NoVerdict("?")), (1600, None), (1700, None)]:
        bench.device.bytes_in, bench.transport.error = bytes_in, error
        bench.report()
    assert [None, 100, 200, 500, 100] == bench.growths


def test_growth_goes_on_over_a_restart_and_not_over_a_reboot() -> None:
    first = Bench()
    first.report()
    second = Bench(store=first.store)
    second.device.bytes_in = 1234
    second.report()
    third = Bench(store=second.store)
    third.device.boot_id = "another boot"
    third.report()
    assert [234, None] == second.growths + third.growths


def test_a_stretch_whose_counters_could_not_be_read_is_in_the_next_report() -> None:
    bench = Bench()
    for bytes_in in (1000, None, 1500):
        bench.device.bytes_in = bytes_in
        bench.report()
    assert [None, None, 500] == bench.growths


def test_report_ids_are_the_time_and_always_increase() -> None:
    bench = Bench()
    bench.report()
    bench.report(after=-3600)  # the clock is set back
    bench.report(after=7200)
    ids = [each["header"]["report_id"] for each in bench.transport.reports]
    assert [1_700_000_300, 1_700_000_301, 1_700_003_900] == ids
    again = Bench(store=bench.store)
    again.report(after=0)
    assert 1_700_003_901 == again.transport.reports[0]["header"]["report_id"]


def test_a_report_holds_what_was_seen_between_the_reports() -> None:
    bench = Bench(metrics_collection_interval=10)
    gone = Connection("10.0.0.1:443", 5, "eth0")
    bench.device.sockets = Sockets(None, None, frozenset({gone}))
    assert bench.publisher.looks_between
    assert 10 == bench.publisher.look()
    bench.device.sockets = Sockets(None, None, frozenset())
    bench.report()
    bench.report()
    totals = [
        each["metrics"]["tcp_connections"]["established_connections"]["total"] for each in bench.transport.reports
    ]
    assert [1, 0] == totals


def test_what_is_seen_while_a_report_waits_for_its_verdict_is_in_the_next() -> None:
    bench = Bench(metrics_collection_interval=10)
    accept = bench.transport.publish

    def look_and_accept(report_id: int, payload: bytes) -> Delivery:
        bench.device.sockets = Sockets(frozenset({Port(4444, "")}))
        bench.publisher.look()
        bench.device.sockets = Sockets(frozenset())
        return accept(report_id, payload)

    bench.device.sockets = Sockets(frozenset())
    bench.transport.publish = look_and_accept
    bench.report()
    bench.transport.publish = accept
    bench.report()
    assert [0, 1] == [each["metrics"]["listening_tcp_ports"]["total"] for each in bench.transport.reports]


def test_what_was_seen_is_not_lost_when_a_report_is_not_accepted() -> None:
    bench = Bench(metrics_collection_interval=10)
    bench.device.sockets = Sockets(frozenset({Port(4444, "")}))
    bench.transport.error = NoVerdict("?")
    bench.report()
    bench.device.sockets, bench.transport.error = Sockets(frozenset()), None
    bench.report()
    assert [1, 1] == [each["metrics"]["listening_tcp_ports"]["total"] for each in bench.transport.reports]


def test_without_a_connection_nothing_is_sent_and_the_wait_is_short() -> None:
    bench = Bench()
    bench.transport.connected = False
    assert bench.report() <= 5
    assert [] == bench.transport.reports


def test_a_connection_that_breaks_before_the_report_is_sent_is_waited_for() -> None:
    bench = Bench()
    bench.transport.error = NotConnected("gone")
    assert bench.report() <= 5


@pytest.mark.parametrize("took", [0.0, 0.5, 15.0])
def test_the_next_report_is_due_an_interval_after_this_one_was_sent(took: float) -> None:
    bench = Bench()
    bench.transport.took = took
    sent = bench.clock.now + 300
    wait = bench.report()
    assert sent + 300 <= bench.clock.now + wait <= sent + 332


def test_throttling_makes_the_waits_twice_as_long_until_a_report_is_accepted() -> None:
    bench = Bench()
    bench.transport.error = Rejected(1, "Throttled", "slow down")
    assert all(600 <= bench.report() <= 670 for _ in range(8))
    bench.transport.error = None
    assert bench.report() <= 335


def test_a_restart_does_not_report_sooner_than_the_interval_allows() -> None:
    bench = Bench()
    bench.report()
    again = Bench(store=bench.store)
    again.clock.now = bench.clock.now + 100
    assert 200 == again.publisher.first_delay()


def test_an_accepted_report_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO, "defender_publisher"):
        bench.report()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("report 1700000300 accepted after 0.000 s: 1 TCP ports, 0 UDP ports, 0 connections, ")
    assert line.endswith(f"{len(json.dumps(bench.transport.reports[0], separators=(',', ':')))} bytes")


def test_a_rejection_is_logged_with_awss_words_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.transport.error = Rejected(5, "InvalidPayload", "Malformed metrics report")
    bench.report()
    assert "report 5 rejected: InvalidPayload: Malformed metrics report (" in caplog.text


def test_short_names_and_cbor_are_what_the_transport_gets() -> None:
    import cbor2

    bench = Bench(format="cbor", short_names=True)
    payloads: list[bytes] = []
    bench.transport.publish = lambda _, payload: payloads.append(payload) or Delivery(0)
    bench.report()
    assert {"hed", "met", "cmet"} == set(cbor2.loads(payloads[0]))
