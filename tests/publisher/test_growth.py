"""Growth is what went over interfaces, renamed, made again or wrapped; otherwise it is unknown, and that is said."""

from __future__ import annotations

import pytest

from defender_daemon.collected import Metrics
from defender_publisher.errors import CollectError
from defender_publisher.growth import growth, names_before
from defender_publisher.report import build_report
from defender_publisher.snapshot import Counters, Snapshot
from defender_publisher.state import Baseline

Table = dict[str, tuple[int, ...]]
WRAP = 2**32


def counters(table: Table) -> dict[str, Counters]:
    return {name: Counters(*values) for name, values in table.items()}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": (1, 2, 3, 4)}, {"a": (1, 2, 3, 4)}, (0, 0, 0, 0)),
        ({"a": (1, 1, 1, 1)}, {"a": (2, 3, 4, 5), "b": (10, 10, 10, 10)}, (11, 12, 13, 14)),  # b appeared
        ({"a": (1, 1, 1, 1), "b": (9, 9, 9, 9)}, {"a": (2, 2, 2, 2)}, (1, 1, 1, 1)),  # b went
        ({"a": (1, 1, 1, 1), "b": (9, 9, 9, 9)}, {"a": (2, 2, 2, 2), "b": (1, 1, 1, 1)}, (2, 2, 2, 2)),  # b made again
        ({"a": (0, 9, 0, 9)}, {"a": (0, 4, 0, 1)}, (0, 4, 0, 1)),  # made again, and nothing came in either time
        ({"a": (0, 0, 0, 0)}, {"a": (2**40, 2**33, 1, 1)}, (2**40, 2**33, 1, 1)),  # more than 4 GiB
        ({"a": (1, 1, 1, 1)}, {}, None),
    ],
)
def test_growth_is_counted_interface_by_interface(before: Table, now: Table, expected: tuple[int, ...] | None) -> None:
    assert (None if expected is None else Counters(*expected)) == growth(counters(before), counters(now))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # a modem that redials: ppp0 counted 9,000,000 bytes, was made again, and had 312,600 out of 700,000 since
        ((9_000_000, 5_000_000, 9000, 5000), (700_000, 3_000_000, 700, 3000), (700_000, 3_000_000, 700, 3000)),
        # wlan0 of a 32-bit kernel
        ((4_294_900_000, 1000, 9000, 500), (50_000, 2000, 9100, 600), (117_296, 1000, 100, 100)),
        # both ways at once; the packets' counters wrap last, if ever
        ((WRAP - 1, WRAP - 1, 10, 10), (1499, 59, 11, 11), (1500, 60, 1, 1)),
        ((WRAP - 700, 0, WRAP - 3, 0), (800, 6000, 1, 4), (1500, 6000, 4, 4)),
    ],
)
def test_a_redial_and_a_wrap_at_four_gibibytes_are_told_apart(
    before: tuple[int, ...], now: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert Counters(*expected) == growth({"a": Counters(*before)}, {"a": Counters(*now)})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((5, 5, 5, 5), (9, 9, 4, 9)),  # packets fell, bytes did not: 4 bytes in 4 thousand million packets
        ((100_000_000, 1_000_000, 90_000, 10_000), (2_000_000, 5_000_000, 3_000, 12_000)),  # half a restart
        ((2**33, 1000, 9000, 500), (50_000, 2000, 9100, 600)),  # it counted beyond 32 bits, so it does not wrap there
        ((WRAP - 1, 0, 10, 10), (WRAP // 2, 0, 11, 10)),  # 2 GiB in one packet
        ((WRAP - 1, 0, 10, 0), (100, 1, 500, 1)),  # a byte for five packets
    ],
)
def test_counters_that_fell_otherwise_leave_growth_unknown_rather_than_without_them(
    before: tuple[int, ...], now: tuple[int, ...]
) -> None:
    other = {"lo": Counters(5, 5, 1, 1)}
    with pytest.raises(CollectError, match=r"^the counters of a fell, from \(.*\) to \(.*\): it is not known why$"):
        growth({"a": Counters(*before), **other}, {"a": Counters(*now), **other})


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"eth0": "2", "lo": "1"}, {"eth0": "2", "lo": "1"}, {"eth0": "eth0", "lo": "lo"}),
        ({"eth0": "2"}, {"wan0": "2"}, {"wan0": "eth0"}),  # renamed
        ({"eth0": "2", "eth1": "3"}, {"eth1": "2", "eth0": "3"}, {"eth1": "eth0", "eth0": "eth1"}),  # changed places
        ({"ppp0": "5"}, {"ppp0": "6"}, {}),  # redialled
        ({"eth0": "2"}, {"eth0": "2", "usb0": "3"}, {"eth0": "eth0", "usb0": "usb0"}),  # new, by a new name
        ({"eth0": "7@8"}, {"eth0": "7@12"}, {}),  # a container that was made again
        ({"eth0": "7@8"}, {"eth0": "7"}, {"eth0": "eth0"}),  # looked at in another way
        ({"eth0": "7"}, {"eth0": "7@8"}, {"eth0": "eth0"}),
        ({}, {"eth0": "2"}, {"eth0": "eth0"}),  # the state of a release that did not know indexes
        ({"eth0": "2"}, {}, {"eth0": "eth0"}),  # nobody tells the index this time
    ],
)
def test_an_interface_is_the_one_with_its_index_whatever_it_is_called(
    before: dict[str, str], now: dict[str, str], expected: dict[str, str]
) -> None:
    assert expected == names_before(before, now, now or before)


def network_stats(before: Table, identities_before: dict[str, str], now: Table, identities: dict[str, str]) -> object:
    """Return the block of a report between two looks."""
    baseline = Baseline(0.0, "boot", counters(before), identities_before)
    seen = Snapshot(1.0, "boot", interfaces=counters(now), identities=identities)
    report = build_report(1, seen, baseline, Metrics(listening_tcp_ports=False))
    return report["metrics"]["network_stats"]


def test_a_renamed_interface_does_not_count_its_history_again() -> None:
    expected = {"bytes_in": 100, "bytes_out": 200, "packets_in": 1, "packets_out": 2}
    before, now = {"eth0": (9000, 9000, 90, 90)}, {"wan0": (9100, 9200, 91, 92)}
    assert expected == network_stats(before, {"eth0": "2"}, now, {"wan0": "2"})


def test_a_redialled_interface_counts_from_zero_even_where_it_has_counted_more_since() -> None:
    expected = {"bytes_in": 312_600, "bytes_out": 312_600, "packets_in": 300, "packets_out": 300}
    before, now = {"ppp0": (5000, 5000, 50, 50)}, {"ppp0": (312_600, 312_600, 300, 300)}
    assert expected == network_stats(before, {"ppp0": "5"}, now, {"ppp0": "6"})


def test_unknown_growth_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    before, now = {"eth0": (2**33, 0, 9, 9), "lo": (1, 1, 1, 1)}, {"eth0": (5, 1, 10, 10), "lo": (2, 2, 2, 2)}
    with pytest.raises(CollectError, match="nothing could be collected"):
        network_stats(before, {"eth0": "2", "lo": "1"}, now, {"eth0": "2", "lo": "1"})
    said = "network_stats left out of the report: the counters of eth0 fell, from (8589934592, 0, 9, 9) to (5, 1, 10,"
    assert [said] == [record.getMessage()[: len(said)] for record in caplog.records]
