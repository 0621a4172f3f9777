"""A look at the clock and the store: what time a page shows, who is silent, and whether anybody reports at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.console.axis import Axis
from defender_detect.console.sight import DAY, HOUR, MARGIN, RANGES, STALE_AFTER, USUAL_RANGE, Sight
from defender_detect.store.store import Store
from tests.detect.console.conftest import NOW, sight_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory of two things, of which one has not reported for an hour."""
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        store.add("fresh", NOW, {"n": 1})
        store.add("quiet", NOW - HOUR, {"n": 1})
        store.flush()
    return tmp_path


def at(directory: Path, seconds: float) -> Sight:
    return sight_of(directory, clock=lambda: NOW + seconds)


@pytest.mark.parametrize("chosen", RANGES)
def test_a_range_that_there_is_is_shown(directory: Path, chosen: str) -> None:
    assert chosen == at(directory, 0).look(chosen).range


@pytest.mark.parametrize("chosen", ["", "2h", "24H", " 24h", "\0", "24h" * 999])
def test_any_other_is_the_usual_one(directory: Path, chosen: str) -> None:
    assert USUAL_RANGE == at(directory, 0).look(chosen).range


@pytest.mark.parametrize(
    ("seconds", "silent", "is_stale"),
    [(0, 1, False), (STALE_AFTER, 1, False), (STALE_AFTER + 1, 2, True), (9 * DAY, 2, True)],
)
def test_without_a_report_for_long_the_time_until_the_last_one_is_shown(
    directory: Path, seconds: float, silent: int, is_stale: bool
) -> None:
    glance = at(directory, seconds).look()
    assert (2, silent, is_stale) == (glance.counts.things, glance.counts.silent, glance.is_stale)
    assert (NOW + seconds, NOW + MARGIN if is_stale else NOW + seconds) == (glance.now, glance.end)


def test_who_is_silent_is_a_matter_of_how_long_is_too_long(directory: Path) -> None:
    assert [0, 1, 2] == [
        sight_of(directory, clock=lambda: NOW + 1, silent_after=after).look().counts.silent
        for after in (HOUR + 2, HOUR, 0.5)
    ]


def test_a_fleet_that_never_reported_is_not_stale(tmp_path: Path) -> None:
    Store(tmp_path).close()
    glance = at(tmp_path, 0).look()
    assert (0, None, False, NOW) == (glance.counts.things, glance.counts.latest, glance.is_stale, glance.end)


def test_the_axis_is_as_long_as_the_range_or_begins_with_the_first_report(directory: Path) -> None:
    glance = at(directory, 0).look("6h")
    assert Axis(NOW - 6 * HOUR, NOW) == glance.axis(None) == glance.axis(0)
    assert NOW - 1.1 * HOUR < glance.axis(NOW - HOUR).start < NOW - HOUR


def test_a_clock_that_was_set_back_shows_until_now(directory: Path) -> None:
    glance = at(directory, -2 * DAY).look()
    assert (0, False, NOW - 2 * DAY) == (glance.counts.silent, glance.is_stale, glance.end)
