"""Strips: which ports, addresses or strings a list held over time, a row for each; what is wrong or new first."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from defender_detect.console.axis import Axis
from defender_detect.console.drawing import GAP, find_interval
from defender_detect.console.wording import name_metric, show_item
from defender_detect.evaluate.sentences import find_culprits

MOST_ROWS = 12  # of a list; the others are counted
MOST_ALONE = 8  # addresses that each have a row; more are put together by network
MOST_STRETCHES = 400  # of a row; closer ones are drawn as one
PREFIXES = ((24, 64), (16, 48), (8, 32))  # lengths of networks, of IPv4 and IPv6, until there are few enough
NEW_AFTER = 0.1  # of the axis: what was not there before is new

Points = Sequence[tuple[float, Any]]
Criteria = Sequence[Mapping[str, Any]]


class Row(NamedTuple):
    """When something was there."""

    name: str
    is_wrong: bool
    is_new: bool
    stretches: tuple[tuple[float, float], ...]  # from, and how wide, in percent
    words: str


class Strip(NamedTuple):
    """A list over time."""

    title: str
    rows: list[Row]
    more: int


def make_strip(metric: str, points: Points, axis: Axis, criteria: Criteria) -> Strip:
    """Return the strip of a list's values; `criteria` are of the behaviors of its metric."""
    lists = [(when, value) for when, value in points if isinstance(value, tuple)]
    items = dict.fromkeys(item for _, value in lists for item in value)
    wrong = {item for each in criteria for item in find_culprits(list(items), each)}
    names: dict[Any, str] = {}
    if is_addresses(metric):
        names = {**group_by_network([item for item in items if item not in wrong]), **group_by_network([*wrong])}
    shown = {item: names.get(item) or show_item(item) for item in items}
    seen: dict[str, list[int]] = {name: [] for name in shown.values()}
    for place, (_, value) in enumerate(lists):
        for name in {shown[item] for item in value}:
            seen[name].append(place)
    wrong_names, times = {names.get(item) or show_item(item) for item in wrong}, [when for when, _ in lists]
    interval = find_interval(times)
    rows = [make_row(name, places, times, interval, axis, name in wrong_names) for name, places in seen.items()]
    rows.sort(key=lambda row: (not row.is_wrong, not row.is_new, *sort_key(row.name, seen[row.name])))
    return Strip(name_metric(metric), rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))


def make_row(
    name: str, places: Sequence[int], times: Sequence[float], interval: float, axis: Axis, is_wrong: bool
) -> Row:
    """Return the row of what was there at some places of a row of reports."""
    stretches = find_stretches(places, times, interval, axis.length / MOST_STRETCHES)
    is_new = times[places[0]] > axis.start + NEW_AFTER * axis.length and places[0] > 0
    share = f"in {len(places)} of {len(times)} reports"
    words = ", ".join(filter(None, ["not normal" if is_wrong else "", "new" if is_new else "", share]))
    drawn = tuple(axis.stretch(start, end) for start, end in stretches)
    return Row(name, is_wrong, is_new, drawn, words)


def find_stretches(
    places: Sequence[int], times: Sequence[float], interval: float, closest: float
) -> list[tuple[float, float]]:
    """Return from when to when something was there: a report speaks for the time until the next one, or an interval."""
    found: list[tuple[float, float]] = []
    for place in places:
        start, usual = times[place], times[place] + interval
        next_time = times[place + 1] if place + 1 < len(times) else usual
        end = next_time if next_time - start <= GAP * interval else usual
        if found and start - found[-1][1] <= closest:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def sort_key(name: str, places: Sequence[int]) -> tuple[int, float, str]:
    """Return the order of rows that are alike: what was there most often first, ports by number."""
    return (0, float(name), name) if name.isdecimal() else (1, -len(places), name)


def is_addresses(metric: str) -> bool:
    """Whether a list's items are addresses of the network, which are told apart by network."""
    return metric == "aws:destination-ip-addresses"


def group_by_network(addresses: Sequence[Any]) -> dict[Any, str]:
    """Return the name of each address's row: its own if there are few, or that of a network, as large as it must be."""
    if len(addresses) <= MOST_ALONE:
        return {}
    for lengths in PREFIXES:
        names = {address: network_of(address, *lengths) for address in addresses}
        if len(set(names.values())) <= MOST_ROWS:
            break
    return names


def network_of(address: Any, short: int, long: int) -> str:
    """Return the network that an address is in, by the length of its prefix; what is no address is its own name."""
    try:
        parsed = ipaddress.ip_address(str(address).partition("%")[0])
    except ValueError:
        return show_item(address)
    return str(ipaddress.ip_network((parsed, short if parsed.version == 4 else long), strict=False))
