"""A behavior says what is normal: each operator, window, list and percentile, against a simpler way to say the same."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.behaviors import (
    MOST_POINTS,
    NO_HISTORY,
    History,
    add_to_window,
    compile_behavior,
    evaluate,
)
from defender_detect.metrics import LARGEST_COUNT, Value
from defender_detect.profiles import Behavior, Criteria, parse_criteria
from tests.examples import examples

NOW = 1_700_000_000.0
BYTES, COUNT = "aws:all-bytes-out", "aws:num-listening-tcp-ports"


def behavior(operator: str, kind: str, value: Any, metric: str = "metric", **more: Any) -> Behavior:
    return Behavior("b", metric, parse_criteria({"comparisonOperator": operator, "value": {kind: value}, **more}))


def ranked(metric: str = "cpu_usage", operator: str = "less-than-equals", duration: int = 300) -> Behavior:
    return Behavior("b", metric, Criteria(operator, None, None, duration, statistic="p90"))


def conforms(operator: str, kind: str, limit: Any, value: Value) -> bool | None:
    return evaluate(NO_HISTORY, behavior(operator, kind, limit), value, NOW)[2]


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        ("less-than", True, False, False),
        ("less-than-equals", True, True, False),
        ("greater-than", False, False, True),
        ("greater-than-equals", False, True, True),
    ],
)
@pytest.mark.parametrize(("kind", "limit", "step"), [("count", 5, 1), ("number", 5.5, 0.25), ("number", -3, 0.1)])
def test_numbers_are_compared(
    operator: str, below: bool, equal: bool, above: bool, kind: str, limit: float, step: float
) -> None:
    found = [conforms(operator, kind, limit, value) for value in (limit - step, limit, limit + step)]
    assert [below, equal, above] == found


@pytest.mark.parametrize(
    ("kind", "operator", "listed", "value", "is_in"),
    [
        ("ports", "in-port-set", [22, 80], (22,), True),
        ("ports", "in-port-set", [22, 80], (80, 22), True),
        ("ports", "in-port-set", [22, 80], (22, 81), False),
        ("ports", "not-in-port-set", [23], (22, 81), True),
        ("ports", "not-in-port-set", [23], (22, 23), False),
        ("ports", "in-port-set", [], (22,), False),
        ("ports", "not-in-port-set", [], (22,), True),
        ("numbers", "in-set", [1, 2.5], (1, 2.5, 1.0), True),
        ("numbers", "in-set", [1, 2.5], (3,), False),
        ("numbers", "not-in-set", [1], (2,), True),
        ("numbers", "not-in-set", [1], (2, 1.0), False),
        ("strings", "in-set", ["sshd", "cron"], ("cron",), True),
        ("strings", "in-set", ["sshd"], ("sshd", "nc"), False),
        ("strings", "not-in-set", ["nc"], ("sshd", "NC"), True),
        ("strings", "not-in-set", ["nc"], ("nc",), False),
        ("cidrs", "in-cidr-set", ["10.0.0.0/8", "2001:db8::/32"], ("10.255.255.255", "2001:db8::9"), True),
        ("cidrs", "in-cidr-set", ["10.0.0.0/8"], ("10.0.0.1", "11.0.0.0"), False),
        ("cidrs", "in-cidr-set", ["0.0.0.0/0"], ("::1",), False),
        ("cidrs", "in-cidr-set", ["::/0"], ("192.0.2.1",), False),
        ("cidrs", "in-cidr-set", ["fe80::/10"], ("fe80::1%eth0",), True),
        ("cidrs", "in-cidr-set", ["192.0.2.1"], ("192.0.2.1",), True),
        ("cidrs", "not-in-cidr-set", ["192.0.2.0/24"], ("198.51.100.1", "::1"), True),
        ("cidrs", "not-in-cidr-set", ["192.0.2.0/24"], ("198.51.100.1", "192.0.2.255"), False),
        ("cidrs", "not-in-cidr-set", ["192.0.2.0/24"], ("::ffff:192.0.2.255",), False),
        ("cidrs", "not-in-cidr-set", [], ("192.0.2.1",), True),
    ],
)
def test_a_list_conforms_if_every_item_does(
    kind: str, operator: str, listed: list[Any], value: Value, is_in: bool
) -> None:
    assert is_in is conforms(operator, kind, listed, value)


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("ports", "in-port-set"),
        ("ports", "not-in-port-set"),
        ("cidrs", "in-cidr-set"),
        ("cidrs", "not-in-cidr-set"),
        ("strings", "in-set"),
        ("numbers", "not-in-set"),
    ],
)
def test_an_empty_list_conforms(kind: str, operator: str) -> None:
    assert conforms(operator, kind, [], ()) is True


@pytest.mark.parametrize(
    ("kind", "operator", "limit", "value"),
    [
        ("number", "less-than", 5, ("a",)),
        ("number", "less-than", 5, ()),
        ("strings", "in-set", ["a"], 5),
        ("strings", "in-set", ["a"], (5,)),
        ("numbers", "in-set", [5], ("5",)),
        ("cidrs", "in-cidr-set", ["10.0.0.0/8"], ("sshd",)),
        ("cidrs", "not-in-cidr-set", ["10.0.0.0/8"], (10,)),
        ("cidrs", "in-cidr-set", ["10.0.0.0/8"], 10),
    ],
)
def test_a_value_of_another_type_is_no_datapoint(kind: str, operator: str, limit: Any, value: Value) -> None:
    assert (NO_HISTORY, None, None) == evaluate(NO_HISTORY, behavior(operator, kind, limit), value, NOW)


@pytest.mark.parametrize("metric", [BYTES, COUNT])
def test_a_metric_that_is_not_in_the_report_is_no_datapoint(metric: str) -> None:
    normal = behavior("less-than", "count", 5, metric, durationSeconds=300)
    history, _, _ = evaluate(NO_HISTORY, normal, 3, NOW)
    assert (history, None, None) == evaluate(history, normal, None, NOW + 300)


def run(normal: Behavior, *reports: tuple[float, float]) -> list[tuple[Value | None, bool | None]]:
    """Evaluate reports (seconds, value), and return each one's datapoint and compliance."""
    history, found = NO_HISTORY, []
    evaluation = compile_behavior(normal)
    for seconds, value in reports:
        history, datapoint, is_right = evaluation(history, value, NOW + seconds, None)
        found.append((datapoint, is_right))
    return found


def test_growth_is_summed_over_the_window() -> None:
    normal = behavior("less-than-equals", "count", 100, BYTES, durationSeconds=900)
    found = run(normal, (0, 50), (300, 40), (600, 20), (900, 5), (1200, 75))
    assert [(50, True), (90, True), (110, False), (65, True), (100, True)] == found


def test_two_reports_that_come_a_little_early_are_not_one_window() -> None:
    normal = behavior("less-than", "count", 100, BYTES, durationSeconds=300)
    assert [(90, True), (90, True), (90, True)] == run(normal, (0, 90), (299, 90), (596.5, 90))


def test_a_number_of_ports_stands_for_itself_whatever_the_duration() -> None:
    normal = behavior("less-than-equals", "count", 5, COUNT, durationSeconds=3600)
    assert [(5, True), (5, True), (6, False)] == run(normal, (0, 5), (300, 5), (600, 6))


def test_growth_without_a_duration_stands_for_itself() -> None:
    assert [(5, True), (5, True)] == run(behavior("less-than-equals", "count", 5, BYTES), (0, 5), (300, 5))


def test_a_window_that_is_not_full_can_have_too_much_but_not_too_little() -> None:
    least = behavior("greater-than-equals", "count", 100, BYTES, durationSeconds=900)
    assert [(20, None), (40, None), (60, None), (60, False)] == run(least, (0, 20), (300, 20), (600, 20), (900, 20))
    assert [(20, None), (120, True)] == run(least, (0, 20), (300, 100))
    most = behavior("less-than", "count", 100, BYTES, durationSeconds=900)
    assert [(20, True), (120, False)] == run(most, (0, 20), (300, 100))


def test_a_report_that_comes_twice_counts_once() -> None:
    normal = behavior("less-than", "count", 100, BYTES, durationSeconds=900)
    assert [(60, True), (60, True), (70, True)] == run(normal, (0, 60), (0, 60), (300, 10))


def test_a_clock_that_is_set_back_begins_the_window_anew() -> None:
    normal = behavior("less-than", "count", 100, BYTES, durationSeconds=900)
    assert [(60, True), (50, True), (90, True)] == run(normal, (0, 60), (-86400, 50), (-86100, 40))


def test_many_reports_in_a_window_take_bounded_memory_and_are_all_counted() -> None:
    history: History = NO_HISTORY
    for second in range(10_000):
        history, total, _ = add_to_window(history, 1, NOW + second, 3600)
        assert len(history) <= 8 + 16 * 2 * MOST_POINTS
        if second < 3564:
            assert second + 1 == total
        else:
            assert 3500 <= total <= 3564


def test_the_largest_counts_have_a_sum_that_can_be_kept() -> None:
    normal = behavior("less-than", "count", 5, BYTES, durationSeconds=900)
    found = run(normal, (0, LARGEST_COUNT), (300, LARGEST_COUNT), (600, 1e18))
    assert [(LARGEST_COUNT, False)] * 3 == found
    assert msgspec.msgpack.encode(found)


GROWTH = st.tuples(st.floats(1, 2000), st.integers(0, 10**9))


@given(st.lists(GROWTH, min_size=1, max_size=40), st.sampled_from([300, 600, 900, 1800, 3600]))
@examples(100)
def test_a_window_is_the_sum_of_what_was_reported_in_it(growth: list[tuple[float, int]], duration: int) -> None:
    history, now, reports = NO_HISTORY, NOW, []
    for interval, value in growth:
        now += interval
        reports.append((now, value))
        history, total, _ = add_to_window(history, value, now, duration)
        assert sum(value for time, value in reports if time > now - duration * 0.99) == total


@given(st.lists(GROWTH, max_size=20), st.lists(GROWTH, min_size=1, max_size=20), st.integers(0, 10**12), st.data())
@examples(100)
def test_what_a_report_outside_the_window_said_never_matters(
    before: list[tuple[float, int]], after: list[tuple[float, int]], said: int, data: st.DataObject
) -> None:
    operator = data.draw(st.sampled_from(["less-than", "greater-than-equals"]))
    normal = behavior(operator, "count", 10**9, BYTES, durationSeconds=900)
    changed = [(interval, said) for interval, _ in before]
    pause = [(900.0, 1)]

    def outcome(growth: list[tuple[float, int]]) -> list[tuple[Value | None, bool | None]]:
        seconds = [sum(interval for interval, _ in growth[: index + 1]) for index in range(len(growth))]
        return run(normal, *zip(seconds, (value for _, value in growth)))

    assert outcome(before + pause + after)[len(before) :] == outcome(changed + pause + after)[len(before) :]


@given(st.lists(GROWTH, max_size=20), st.lists(GROWTH, min_size=1, max_size=20))
@examples(100)
def test_a_report_outside_the_window_never_matters_to_a_maximum(
    before: list[tuple[float, int]], after: list[tuple[float, int]]
) -> None:
    def outcome(history: History) -> list[bool | None]:
        found, now = [], NOW + 100_000
        for interval, value in after:
            now += interval
            history, _, is_right = evaluate(history, normal, value, now)
            found.append(is_right)
        return found

    normal, history, now = behavior("less-than-equals", "count", 10**9, BYTES, durationSeconds=3600), NO_HISTORY, NOW
    for interval, value in before:
        now += interval
        history, _, _ = evaluate(history, normal, value, now)
    assert outcome(NO_HISTORY) == outcome(history)


ADDRESSES = st.ip_addresses() | st.integers(0, 300).map(lambda low: ipaddress.ip_address("10.0.0.0") + low)


def test_a_percentile_is_compared_with_the_datapoint() -> None:
    assert (NO_HISTORY, 50, True) == evaluate(NO_HISTORY, ranked(), 50, NOW, 60.0)
    assert (NO_HISTORY, 70, False) == evaluate(NO_HISTORY, ranked(), 70, NOW, 60.0)
    assert (NO_HISTORY, 70, None) == evaluate(NO_HISTORY, ranked(), 70, NOW, None)


def test_growth_is_summed_before_it_is_compared_with_a_percentile() -> None:
    normal = ranked(BYTES, duration=900)
    history, datapoint, is_right = evaluate(NO_HISTORY, normal, 50, NOW, None)
    assert (50, None) == (datapoint, is_right)
    assert (90, False) == evaluate(history, normal, 40, NOW + 300, 60.0)[1:]
