"""The suggestion: a security profile of what was normal, from what was observed, and what it would have found in that.

`Suggestion` takes reports and makes the profile; `find_alarms` evaluates the same reports by it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from defender_detect.ask.learned import WINDOW, Items, Numbers, Sums
from defender_detect.ask.networks import SHARE, join_addresses
from defender_detect.ask.observed import Observed
from defender_detect.ask.tables import show_time
from defender_detect.evaluate.alarms import IN_ALARM, Event
from defender_detect.evaluate.detector import Detector
from defender_detect.evaluate.shapes import kind_of
from defender_detect.metrics import LARGEST_COUNT, SUMMED
from defender_detect.profiles import parse_profile
from device_defender.metrics import AWS_PREFIX, PERCENT

RANK, MARGIN = 0.999, 1.5  # the largest but one of a thousand values, and half of that more
DIGITS = 2  # of a limit; more would say that it is exact
MOST_LISTED = 100  # ports or strings in a profile; AWS takes 1,000 elements in all behaviors together
EPHEMERAL = 32_768  # from here on the system chooses a port for whoever asks for any, and the next time another one
CERTAIN = 95.0  # percent; a limit above that limits nothing
IN_A_ROW = 3  # reports above a limit in percent, because a moment at full load is no incident
LIST_OF = {  # what a number stands for where the list cannot be in a profile
    "aws:num-listening-tcp-ports": "aws:listening-tcp-ports",
    "aws:num-listening-udp-ports": "aws:listening-udp-ports",
}
DAY, MINUTE = 24 * 3600.0, 60.0  # seconds
SILENCE, LEAST_SILENCE = "aws:disconnect-duration", 15  # minutes: three reports at the usual interval

Behavior = dict[str, Any]


class Suggestion:
    """Learns what is normal from reports; `document` is the profile then, and `notes` is what it cannot say."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.reports = 0
        self.things: set[str] = set()
        self._first, self._last = math.inf, -math.inf
        self._heard: dict[str, float] = {}  # when each thing reported last
        self._gaps = Numbers()  # minutes between two reports of a thing
        self._numbers: defaultdict[str, Numbers] = defaultdict(Numbers)
        self._sums: dict[str, Sums] = {}
        self._items: defaultdict[str, Items] = defaultdict(Items)

    def learn(self, each: Observed) -> None:
        """Take a report; those of a thing come in their order."""
        self.reports += 1
        self.things.add(each.thing)
        self._first, self._last = min(self._first, each.time), max(self._last, each.time)
        if (before := self._heard.get(each.thing)) is not None:
            self._gaps.add((each.time - before) / MINUTE)
        self._heard[each.thing] = each.time
        for metric, value in each.values.items():
            if isinstance(value, tuple):
                self._items[metric].add(value)
            elif metric in SUMMED:
                self._sums.setdefault(metric, Sums(metric)).add(each.thing, value, each.time)
            else:
                self._numbers[metric].add(value)

    @property
    def days(self) -> float:
        """How many days lie between the first report and the last one."""
        return max(0.0, self._last - self._first) / DAY

    def document(self, name: str) -> dict[str, Any]:
        """Return the profile; nothing is normal of metrics that no report had."""
        self.notes = []
        lists = list(self._lists())
        behaviors = [*lists, *self._limits({each["metric"] for each in lists}), *self._silence()]
        period = f"{show_time(self._first)} to {show_time(self._last)}"
        reports = "1 report" if self.reports == 1 else f"{self.reports} reports"
        counted = f"{reports} of {len(self.things)} thing{'s'[: len(self.things) != 1]}"
        return {
            "securityProfileName": name,
            "securityProfileDescription": f"What was normal in {counted} from {period}.",
            "behaviors": sorted(behaviors, key=lambda each: str(each["name"])),
        }

    def _lists(self) -> Iterator[Behavior]:
        for metric, items in sorted(self._items.items()):
            kind = kind_of(metric, [tuple(items.seen)])
            allowed = self._allowed(metric, kind, items)
            if allowed is not None:
                operator = {"cidrs": "in-cidr-set", "ports": "in-port-set"}.get(kind, "in-set")
                yield _behavior(metric, {"comparisonOperator": operator, "value": {kind: allowed}})

    def _allowed(self, metric: str, kind: str, items: Items) -> list[Any] | None:
        """Return what a profile lists as normal; None, and a note, where a list would not be true for long."""
        if not items.seen:  # none at all is better said by a number, where there is one
            return None
        if kind == "cidrs":
            networks = join_addresses({str(item): count for item, count in items.seen.items()})
            if not networks:
                self.notes.append(f"{metric}: the addresses are too many and too far apart for a list of networks")
                return None
            return networks
        allowed = sorted(items.seen, key=lambda item: (str(type(item)), item))
        if len(allowed) > MOST_LISTED or not items.is_whole:
            self.notes.append(f"{metric}: more than {MOST_LISTED} different ones are no list that stays true")
            return None
        if metric == "aws:listening-udp-ports" and any(int(port) >= EPHEMERAL for port in allowed):
            self.notes.append(
                f"{metric}: ports from {EPHEMERAL} on are chosen by the system anew each time, so that a list would "
                "not stay true; their number is limited instead"
            )
            return None
        return allowed

    def _limits(self, listed: Collection[str]) -> Iterator[Behavior]:
        for metric, sums in sorted(self._sums.items()):
            limit = _whole(_rounded_up(sums.numbers.rank(RANK) * MARGIN))
            criteria = {"comparisonOperator": "less-than-equals", "value": {"count": limit}, "durationSeconds": WINDOW}
            yield _behavior(metric, criteria)
        for metric, numbers in sorted(self._numbers.items()):
            if LIST_OF.get(metric) not in listed and (criteria := self._limit(metric, numbers)):
                yield _behavior(metric, criteria)

    def _silence(self) -> Iterator[Behavior]:
        if len(self._gaps) > 0:
            limit = max(LEAST_SILENCE, _whole(_rounded_up(self._gaps.rank(RANK) * MARGIN)))
            criteria = {"comparisonOperator": "less-than-equals", "value": {"count": limit}}
            yield {"name": "reports-regularly", "metric": SILENCE, "criteria": criteria}

    def silences(self, document: Mapping[str, Any]) -> int:
        """Return how often a thing was silent for longer than the profile calls normal."""
        limits = [each["criteria"]["value"]["count"] for each in document["behaviors"] if each["metric"] == SILENCE]
        return sum(map(self._gaps.above, limits))

    def _limit(self, metric: str, numbers: Numbers) -> dict[str, Any]:
        most = numbers.rank(RANK)
        criteria: dict[str, Any] = {"comparisonOperator": "less-than-equals"}
        if metric in PERCENT:
            if most >= CERTAIN:
                self.notes.append(f"{metric}: it reached {most:.0f} percent, above which there is nothing to find")
                return {}
            limit = min(CERTAIN, _rounded_up(most * MARGIN))
            return {**criteria, "value": {"number": limit}, "consecutiveDatapointsToAlarm": IN_A_ROW}
        limit = _rounded_up(most * MARGIN if most > 0 else most)
        if metric.startswith(AWS_PREFIX):
            return {**criteria, "value": {"count": _whole(limit)}}
        return {**criteria, "value": {"number": int(limit) if limit.is_integer() else limit}}


def find_alarms(document: Mapping[str, Any], observed: Iterable[Observed]) -> list[Event]:
    """Return the alarms that a profile would have raised; a thing's reports are in order.

    Those of silence are left to Suggestion.silences: the reports of all things together need not be in order.
    """
    detector = Detector.of([parse_profile(document)])
    found: list[Event] = []
    for each in observed:
        finding = detector.observe_values(each.thing, each.values, each.time)
        if finding is not None:
            found += [event for event in finding.events if event.type == IN_ALARM]
    return found


def describe_alarms(alarms: Sequence[Event]) -> Iterator[str]:
    """Yield a line for each behavior that would have raised an alarm: how often, and at how many things."""
    by_behavior: defaultdict[str, list[str]] = defaultdict(list)
    for event in alarms:
        by_behavior[event.behavior].append(event.thing)
    for behavior, things in sorted(by_behavior.items()):
        times, number = len(things), len(set(things))
        where = f"at {things[0]}" if number == 1 else f"at {number} things"
        yield f"{behavior} would have raised {times} alarm{'s'[: times != 1]} {where}"


def explain(suggestion: Suggestion, document: Mapping[str, Any], alarms: Sequence[Event]) -> Iterator[str]:
    """Yield what a person needs to know: from how much it was learned, what it cannot say, and what it would find."""
    yield str(document["securityProfileDescription"])
    if suggestion.days < 1:
        yield "That is less than a day: what happens once a day, a backup for instance, may not be in it yet."
    yield from suggestion.notes
    silences = suggestion.silences(document)
    if not alarms and not silences:
        yield "In these reports it would have raised no alarm."
        return
    yield "In these reports,"
    yield from (f"  {line}" for line in describe_alarms(alarms))
    if silences:
        yield f"  reports-regularly would have raised {silences} alarm{'s'[: silences != 1]}"
    if any(event.metric == "aws:destination-ip-addresses" for event in alarms):
        yield f"Networks hold {SHARE:.0%} of the connections that were seen; add those that you know."


def _behavior(metric: str, criteria: Mapping[str, Any]) -> Behavior:
    return {"name": metric.removeprefix(AWS_PREFIX), "metric": metric, "criteria": dict(criteria)}


def _rounded_up(value: float) -> float:
    """Return the next number of two digits that is not below."""
    if value == 0 or not math.isfinite(value):
        return float(value)
    step = 10.0 ** (math.floor(math.log10(abs(value))) + 1 - DIGITS)
    return round(math.ceil(round(value / step, 9)) * step, 9)


def _whole(value: float) -> int:
    return min(math.ceil(value), LARGEST_COUNT)
