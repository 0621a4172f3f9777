"""The alarms: those that are on or that ended, chosen by behavior, thing and verdict, each in words."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

from defender_detect.console.sight import Sight
from defender_detect.console.thing import describe_alarms
from defender_detect.console.wording import EVENTS, explain
from defender_detect.evaluate.alarms import Event
from defender_detect.store.reader import Verification
from defender_detect.store.summaries import Choice, OnNow
from defender_detect.store.verdicts import STATES

ROWS = 50  # of a page
MOST_PAGES = 10_000  # to look back; more would make the database skip for long
VERDICTS = {
    "TRUE_POSITIVE": "true positive",
    "BENIGN_POSITIVE": "benign positive",
    "FALSE_POSITIVE": "false positive",
    "UNKNOWN": "not judged",
}


class Past(NamedTuple):
    """An event of an alarm, in words."""

    event: Event
    word: str
    words: str
    verdict: Verification | None


class Chip(NamedTuple):
    """A link to the alarms of a behavior, with how many are on."""

    behavior: OnNow
    link: str
    is_chosen: bool


def make_alarms(sight: Sight, choice: Choice, is_past: bool, page: int) -> dict[str, Any]:
    """Return what the page of alarms shows."""
    store, page = sight.store, min(max(1, page), MOST_PAGES)
    behaviors = sorted(store.on_now(), key=lambda each: (-each.number, each.profile, each.behavior))
    found = store.count_alarms(choice)
    skip = (page - 1) * ROWS
    shown = {
        "choice": choice,
        "is_past": is_past,
        "page": page,
        "found": found,
        "total": sum(each.number for each in behaviors),
        "behaviors": [make_chip(each, choice, is_past) for each in behaviors],
        "verdicts": [(VERDICTS[state], link(choice, is_past, state=state), choice.state == state) for state in STATES],
        "everything": link(Choice(), is_past),
        "other": link(choice, not is_past),
        "next": link(choice, is_past, page=page + 1),
        "previous": link(choice, is_past, page=page - 1) if page > 1 else None,
    }
    if is_past:
        events = store.past(choice, ROWS + 1, skip)
        return {**shown, "events": describe_past(sight, events[:ROWS]), "has_more": len(events) > ROWS}
    alarms = store.alarms(choice, ROWS, skip)
    return {**shown, "alarms": describe_alarms(sight, alarms), "has_more": found > skip + ROWS}


def describe_past(sight: Sight, events: list[Event]) -> list[Past]:
    """Return events in words, with what people found their violations to be."""
    found = sight.store.verifications({each.violation_id for each in events})
    return [
        Past(each, EVENTS.get(each.type, each.type), explain(each), found.get(each.violation_id)) for each in events
    ]


def make_chip(behavior: OnNow, choice: Choice, is_past: bool) -> Chip:
    """Return the link to a behavior's alarms."""
    is_chosen = (choice.profile, choice.behavior) == (behavior.profile, behavior.behavior)
    address = link(choice, is_past, profile=behavior.profile, behavior=behavior.behavior)
    return Chip(behavior, address, is_chosen)


def link(choice: Choice, is_past: bool, **changes: str | int) -> str:
    """Return the address of the page of alarms with another choice."""
    given = {"when": "past" if is_past else None, **choice._asdict(), **changes}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f"/alarms?{query}" if query else "/alarms"
