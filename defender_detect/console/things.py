"""The things: a square for each, by name, and a list of those that were looked for."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from defender_detect.console.axis import Axis
from defender_detect.console.drawing import draw_line, find_interval, find_top
from defender_detect.console.sight import HOUR, Glance, Sight
from defender_detect.console.wording import show_value
from defender_detect.store.fleet import AnySummaries

STATES = ("alarm", "silent", "ok")
ROWS = 50  # of a page
MOST_SQUARES = 12_000  # of more things each square stands for several, and shows the worst of them
MOST_DRAWN = 100_000  # things; of more only a page is looked at, and no square is drawn
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
    """A page of the things that were looked for, how many of each state there are, and what the squares show."""

    rows: list[tuple[str, str, int, float]]
    page: int
    number: int  # of things on all pages
    counts: Counter[str]
    states: list[str]


def make_things(sight: Sight, glance: Glance, wanted: str, state: str, page: int) -> dict[str, Any]:
    """Return what the page of things shows: those whose name has `wanted` in it, and that are in a state if given."""
    find = find_things if glance.counts.things <= MOST_DRAWN else find_some
    found = find(sight, glance, wanted, state, max(1, page))
    return {
        "found": found.number,
        "counts": found.counts,
        "rows": make_rows(sight, glance, found.rows),
        "page": found.page,
        "pages": pages_of(found.number),
        "squares": draw_squares(found.states) if len(found.states) >= LEAST_SQUARES else None,
        "wanted": wanted,
        "state": state,
    }


def pages_of(number: int) -> int:
    """Return how many pages a list of so many things has."""
    return max(1, -(-number // ROWS))


def find_things(sight: Sight, glance: Glance, wanted: str, state: str, page: int) -> Found:
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
    page = min(page, pages_of(len(rows)))
    return Found(rows[(page - 1) * ROWS : page * ROWS], page, len(rows), counts, states)


def find_some(sight: Sight, glance: Glance, wanted: str, state: str, page: int) -> Found:
    """Return a page of many things, without a look at each: alarms, then the longest silent, then by name."""
    store, silent = sight.store, glance.now - sight.silent_after
    alarmed = [(-number, name) for name, number in store.alarmed().items() if wanted.casefold() in name.casefold()]
    quiet = store.count_quiet(wanted, silent)
    total = store.count_named(wanted) if wanted else glance.counts.things
    counts = Counter(alarm=len(alarmed), silent=quiet, ok=max(0, total - len(alarmed) - quiet))
    number = counts[state] if state else total
    page = min(page, pages_of(number))
    skip, rows = (page - 1) * ROWS, list[tuple[str, str, int, float]]()
    for its in (state,) if state else STATES:
        most = ROWS - len(rows)
        if its == "alarm":
            some = [(name, -least) for least, name in sorted(alarmed)[skip : skip + most]]
            rows += [(name, its, alarms, last_time(store, name)) for name, alarms in some]
        elif most:
            listed = (store.list_quiet if its == "silent" else store.list_well)(wanted, silent, most, skip)
            rows += [(name, its, 0, accepted_at) for name, accepted_at in listed]
        skip = max(0, skip - counts[its])
    return Found(rows, page, number, counts, [])


def last_time(store: AnySummaries, name: str) -> float:
    """Return when a thing reported last."""
    thing = store.thing(name)
    return (thing and thing.accepted_at) or 0.0


def name_at(sight: Sight, wanted: str, place: int) -> str | None:
    """Return the name of the thing at a place of the squares, None if there is none."""
    needle, names = wanted.casefold(), []
    if sight.look().counts.things > MOST_DRAWN:
        return None
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
