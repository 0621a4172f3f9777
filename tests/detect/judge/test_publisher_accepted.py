"""Whatever the publisher can send, Detect accepts: whole, and with the values that the device has."""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_daemon.collected import Connections, Metrics, NetworkStats, Ports
from defender_daemon.text import name_of
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, judge
from defender_detect.metrics import Value, metric_values
from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.output import parse_output
from defender_publisher.collectors.sockets import BLOCKS, SocketCollector
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow, unmapped
from defender_publisher.collectors.value import fit
from defender_publisher.encoding import encode_within
from defender_publisher.errors import CollectError
from defender_publisher.report import build_report
from defender_publisher.snapshot import Counters, CustomValue, Snapshot
from defender_publisher.state import Baseline
from device_defender.metrics import TYPES
from tests.examples import examples

TEXT = st.text(st.characters(), max_size=12)  # with halves of surrogate pairs, which names of files and programs have
ZONES = st.sampled_from(["", "", "", "%eth0", "%en0", "%wlan0.5"])
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.tuples(st.ip_addresses(v=6).map(str), ZONES).map("".join)
MAPPED = IPV4.map(lambda address: unmapped(f"::ffff:{address}"))
ADDRESSES = st.one_of(IPV4, IPV6, MAPPED)
PORTS = st.integers(1, 65535)
ROWS = st.builds(
    SocketRow, st.sampled_from([ESTABLISHED, LISTEN, UNCONNECTED]), ADDRESSES, PORTS, ADDRESSES, PORTS,
    TEXT.map(name_of),
)  # fmt: skip
COUNTERS = st.builds(Counters, *[st.integers(0, 2**60)] * 4)
GROWTH = st.builds(Counters, *[st.integers(0, 2**40)] * 4)
NAMES = st.text("abcXYZ012:_-", min_size=1, max_size=128).filter(lambda name: not name.startswith("aws:"))
OPTIONS = st.builds(
    Metrics,
    listening_tcp_ports=st.one_of(st.just(True), st.builds(Ports, interface=st.booleans())),
    listening_udp_ports=st.booleans(),
    tcp_connections=st.one_of(st.just(True), st.builds(Connections, interface=st.booleans(), local_port=st.booleans())),
    network_stats=st.one_of(st.just(True), st.builds(NetworkStats)),
    max_list_size=st.sampled_from([None, 1, 3]),
)
MEASURED = {  # what a source of each type may come up with, right or wrong
    "number": st.one_of(st.integers(), st.floats(), st.booleans(), st.none()),
    "number-list": st.lists(st.one_of(st.integers(), st.floats()), max_size=4),
    "string-list": st.lists(TEXT, max_size=4),
    "ip-address-list": st.lists(st.one_of(ADDRESSES, TEXT), max_size=4),
}
PRINTED = st.one_of(TEXT, st.floats().map(repr), st.integers().map(str), st.lists(ADDRESSES).map("\n".join),
                    st.lists(st.one_of(st.floats(), st.integers(), TEXT)).map(json.dumps))  # fmt: skip
either_style = pytest.mark.parametrize("short_names", [False, True], ids=["long", "short"])
either_form = pytest.mark.parametrize("form", ["json", "cbor"])


@st.composite
def custom_metrics(draw: st.DrawFn) -> dict[str, CustomValue]:
    """Draw metrics that built-in sources or commands measured, without those that cannot be reported."""
    found = {}
    for name in draw(st.lists(NAMES, max_size=4)):
        kind = draw(st.sampled_from(sorted(TYPES)))
        printed = draw(PRINTED) if draw(st.booleans()) else None
        measured = draw(MEASURED[kind])
        value = attempt(name, lambda m=measured, p=printed, k=kind: fit(m if p is None else parse_output(p, k), k))
        if value is not None:
            found[name] = CustomValue(kind, value)
    return found


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, Baseline | None]:
    """Draw what a look at a device saw, and what the last accepted report had counted."""
    rows = draw(st.lists(ROWS, max_size=8))

    def read(_protocol: str, states: Collection[int]) -> list[SocketRow]:
        return [row for row in rows if row.state in states]

    wanted = [name for name in BLOCKS if draw(st.booleans())]
    before = draw(st.dictionaries(TEXT.map(name_of), COUNTERS, max_size=3))
    now = {name: Counters(*map(sum, zip(each, draw(GROWTH)))) for name, each in before.items()}
    sockets = SocketCollector(wanted, reader=read).collect()
    custom = draw(custom_metrics())
    snapshot = Snapshot(1_800_000_000.0, "boot", sockets, draw(st.sampled_from([None, now])), custom)
    return snapshot, draw(st.sampled_from([None, Baseline(1.0, "boot", before)]))


def accepted(report: dict[str, Any], form: str, short_names: bool, limit: int = 128 * 1024) -> dict[str, Value]:
    """Return the metrics of the publisher's report, which Detect has to accept whole."""
    payload = encode_within(report, form, short_names, limit)
    verdict = judge(ReportTopic("thing", form), payload, 1_800_000_000.0)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.left_out == ()
    return metric_values(verdict.report)


@either_style
@either_form
@given(st.integers(1, 2**53), snapshots(), OPTIONS)
@examples(120)
def test_whatever_a_device_can_report_is_accepted_whole(
    form: str, short_names: bool, report_id: int, seen: tuple[Snapshot, Baseline | None], options: Metrics
) -> None:
    snapshot, baseline = seen
    try:
        report = build_report(report_id, snapshot, baseline, options)
    except CollectError:  # nothing could be collected
        return
    values = accepted(report, form, short_names)
    for name, each in snapshot.custom_metrics.items():
        assert values[name] == (tuple(each.value) if isinstance(each.value, list) else each.value)
    entries = report.get("metrics", {}).get("tcp_connections", {}).get("established_connections", {})
    assert entries.get("total") == values.get("aws:num-established-tcp-connections")
    for address in values.get("aws:destination-ip-addresses", ()):
        assert ipaddress.ip_address(address)


@either_style
@either_form
def test_a_report_that_is_cut_to_a_message_is_accepted_whole(form: str, short_names: bool) -> None:
    rows = [SocketRow(ESTABLISHED, "192.0.2.1", 1024 + index % 60_000, f"2001:db8::{index:x}", 443, "")
            for index in range(10_000)]  # fmt: skip
    sockets = SocketCollector(
        list(BLOCKS), reader=lambda _, states: [row for row in rows if row.state in states]
    ).collect()
    report = build_report(1, Snapshot(1.0, sockets=sockets), None, Metrics())
    values = accepted(report, form, short_names)
    assert 10_000 == values["aws:num-established-tcp-connections"]
    assert 1_000 < len(values["aws:destination-ip-addresses"]) < 10_000  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Say nothing of each of the thousands of values that are left out."""
    caplog.set_level(logging.CRITICAL)
