"""A time is at its place on the axis, and the marks are at round times of the local clock, whatever it was set to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from defender_detect.console.axis import Axis, fit

NOW = 1_800_000_000.0
AXIS = Axis(NOW - 1000, NOW)
DAY = 86_400.0
SPRING, AUTUMN = 1_774_746_000.0, 1_792_890_000.0  # when clocks were set forward and back in 2026 in Berlin


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that is set forward and back."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_at_its_place_and_never_beyond_the_axis() -> None:
    assert [0, 0, 50, 100, 100] == [AXIS.place(NOW + each) for each in (-2000, -1000, -500, 0, 99)]
    assert (50, 25) == AXIS.stretch(NOW - 500, NOW - 250)
    left, width = AXIS.stretch(NOW, NOW)
    assert width > 0
    assert left + width <= 100


def test_an_axis_begins_where_there_is_something_to_see() -> None:
    assert Axis(NOW - 3600, NOW) == fit(NOW, 3600, None) == fit(NOW, 3600, NOW - 7200)
    assert NOW - 610 < fit(NOW, 3600, NOW - 600).start < NOW - 600
    assert Axis(NOW - 60, NOW) == fit(NOW, 3600, NOW - 1)


@pytest.mark.parametrize("length", [60, 600, 3600, 86_400, 14 * 86_400, 90 * 86_400])
def test_ticks_are_few_in_order_and_round(length: float) -> None:
    ticks = Axis(NOW - length, NOW).ticks
    assert 2 <= len(ticks) <= 15
    assert sorted(each.place for each in ticks) == [each.place for each in ticks]
    assert all(0 <= each.place <= 100 and re.fullmatch(r"[\d: ]+[A-Za-z]*", each.text) for each in ticks)


def test_ticks_are_at_round_times_where_the_clock_is_not_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # half an hour beside the others
    time.tzset()
    try:
        texts = [each.text for each in Axis(NOW - 6 * 3600, NOW).ticks]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(text.endswith(":00") or " " in text for text in texts), texts


def days_of(axis: Axis) -> list[str]:
    return [each.text for each in axis.ticks]


@pytest.mark.usefixtures("berlin")
def test_a_day_is_marked_at_its_midnight_before_and_after_the_clocks_were_changed() -> None:
    """By one offset for all, the days before were marked at 23:00 of the day before, and named after that."""
    assert ["27 Mar", "28 Mar", "29 Mar", "30 Mar", "31 Mar"] == days_of(Axis(SPRING - 3 * DAY, SPRING + 2 * DAY))
    assert ["23 Oct", "24 Oct", "25 Oct", "26 Oct", "27 Oct"] == days_of(Axis(AUTUMN - 3 * DAY, AUTUMN + 2 * DAY))
    for changed in (SPRING, AUTUMN):
        axis = Axis(changed - 3 * DAY, changed + 2 * DAY)
        for tick in axis.ticks:
            moment = time.localtime(axis.start + tick.place / 100 * axis.length)
            assert abs((moment.tm_hour * 60 + moment.tm_min + 720) % 1440 - 720) <= 5, tick  # places are rounded


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("changed", [SPRING, AUTUMN])
@pytest.mark.parametrize("hours", [1, 6, 24])
def test_marks_of_hours_are_in_order_and_none_is_twice_while_the_clocks_are_changed(changed: float, hours: int) -> None:
    ticks = Axis(changed - hours * 1800, changed + hours * 1800).ticks
    assert len(ticks) >= 2
    assert sorted({each.place for each in ticks}) == [each.place for each in ticks]


def test_midnight_is_said_as_a_day_and_short_axes_have_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        midnight = NOW // DAY * DAY
        assert ["22:00", "23:00", "15 Jan", "01:00"] == days_of(Axis(midnight - 2.5 * 3600, midnight + 1.5 * 3600))
        assert ["08:00:00", "08:00:10"] == days_of(Axis(NOW, NOW + 15))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_stretch_beyond_an_end_is_at_it_and_one_that_is_backwards_is_as_short_as_can_be() -> None:
    assert (0, 100) == AXIS.stretch(NOW - 9999, NOW + 9999)
    assert (0, 0.15) == AXIS.stretch(NOW - 9999, NOW - 8888)
    assert (50, 0.15) == AXIS.stretch(NOW - 500, NOW - 700)
    assert (99, 1) == AXIS.stretch(NOW + 5, NOW + 9, least=1)


def test_a_first_report_from_the_future_leaves_a_minute_to_see() -> None:
    assert Axis(NOW - 60, NOW) == fit(NOW, 3600, NOW + 99) == fit(NOW, 3600, NOW)
