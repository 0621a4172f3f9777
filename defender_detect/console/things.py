"""The things: a square for each, by name, and a list of those that were looked for."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from defender_detect.console.axis import Axis
from defender_detect.console.drawing import draw_line, find_interval, find_top
from defender_detect.console.sight import HOUR, Glance, Sight
from defender_detect.console.wording import show_value

STATES = ("alarm", "silent", "ok")
ROWS = 50  # of a page
MOST_SQUARES = 12_000  # of more things each square stands for several, and shows the worst of them
LEAST_SQUARES = 13  # fewer things are seen at once in the list
COLUMNS = ((400, 40), (2_500, 80), (MOST_SQUARES, 160))  # up to so many squares, so many in a row
TRAFFIC, SPAN = "aws:all-bytes-out", 6 * HOUR  # of the small drawing in each row


class Row(NamedTuple):
    """A thing in the list."""

    name: str
    state: str
    alarms: int
    accepted_at: float
    path: str
    last: str


class Squares(NamedTuple):
    """The fleet as squares: `path` draws those of a state, in a grid of so many columns and rows."""

    columns: int
    rows: int
    each: int  # things that a square stands for
    number: int
    paths: dict[str, str]


class Found(NamedTuple):
    """The things that were looked for, in the order of the list, and what the squares show."""

    rows: list[tuple[str, str, int, float]]
    counts: Counter[str]
    states: list[str]


def make_things(sight: Sight, glance: Glance, wanted: str, state: str, page: int) -> dict[str, Any]:
    """Return what the page of things shows: those whose name has `wanted` in it, and that are in a state if given."""
    found = find_things(sight, glance, wanted, state)
    pages = max(1, -(-len(found.rows) // ROWS))
    page = min(max(1, page), pages)
    return {
        "found": len(found.rows),
        "counts": found.counts,
        "rows": make_rows(sight, glance, found.rows[(page - 1) * ROWS : page * ROWS]),
        "page": page,
        "pages": pages,
        "squares": draw_squares(found.states) if len(found.states) >= LEAST_SQUARES else None,
        "wanted": wanted,
        "state": state,
    }


def find_things(sight: Sight, glance: Glance, wanted: str, state: str) -> Found:
    """Return the things that were looked for: those with most alarms first, then the silent ones, then by name."""
    alarmed, silent_since = sight.store.alarmed(), glance.now - sight.silent_after
    needle, counts = wanted.casefold(), Counter[str]()
    rows, states = [], []
    for name, _, accepted_at in sight.store.last_reports():
        if needle and needle not in name.casefold():
            continue
        number = alarmed.get(name, 0)
        its = "alarm" if number else "silent" if accepted_at < silent_since else "ok"
        counts[its] += 1
        states.append(its)
        if not state or state == its:
            rows.append((name, its, number, accepted_at))
    rows.sort(key=lambda row: (-row[2], STATES.index(row[1]), row[0]))
    return Found(rows, counts, states)


def name_at(sight: Sight, wanted: str, place: int) -> str | None:
    """Return the name of the thing at a place of the squares, None if there is none."""
    needle, names = wanted.casefold(), []
    for name, _, _ in sight.store.last_reports():
        if not needle or needle in name.casefold():
            names.append(name)
    each = -(-len(names) // MOST_SQUARES) or 1
    return names[place * each] if 0 <= place * each < len(names) else None


def make_rows(sight: Sight, glance: Glance, rows: list[tuple[str, str, int, float]]) -> list[Row]:
    """Return rows of the list, each with a small drawing of what the thing sent."""
    axis = Axis(glance.end - SPAN, glance.end)
    values = sight.store.values_of([name for name, *_ in rows], TRAFFIC, axis.start)
    return [Row(*row, *draw_small([(when, value) for when, value in values[row[0]]], axis)) for row in rows]


def draw_small(points: list[tuple[float, Any]], axis: Axis) -> tuple[str, str]:
    """Return the path of a small drawing, and its last value in words."""
    if not points:
        return "", ""
    interval = find_interval([when for when, _ in points])
    plot = draw_line(points, axis, find_top(value for _, value in points), 2.5 * interval)
    return plot.path, show_value(TRAFFIC, points[-1][1])


def draw_squares(states: list[str]) -> Squares:
    """Draw the squares of things in the order of their names."""
    each = -(-len(states) // MOST_SQUARES)
    worst = [min(states[start : start + each], key=STATES.index) for start in range(0, len(states), each)]
    columns = next((columns for most, columns in COLUMNS if len(worst) <= most), COLUMNS[-1][1])
    paths: dict[str, list[str]] = {state: [] for state in STATES}
    start = 0
    while start < len(worst):  # what is alike beside each other is one run, which the grid of the page divides
        end, state, row_end = start, worst[start], (start // columns + 1) * columns
        while end < min(len(worst), row_end) and worst[end] == state:
            end += 1
        paths[state].append(f"M{start % columns},{start // columns}h{end - start}v1h{start - end}z")
        start = end
    drawn = {state: "".join(parts) for state, parts in paths.items()}
    return Squares(columns, -(-len(worst) // columns), each, len(worst), drawn)
