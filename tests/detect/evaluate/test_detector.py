"""The detector applies the profiles that are for a thing, forgets nothing at a restart, and mixes up no two things."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.alarms import ALARM_CLEARED, ALARM_INVALIDATED, IN_ALARM, Event, violation_id_of
from defender_detect.evaluate.detector import NOTHING, Attachment, Detector, Finding, Rules
from defender_detect.evaluate.percentiles import Population
from defender_detect.judge.reading import read_report
from defender_detect.metrics import FORGOTTEN_AFTER
from defender_detect.profiles import Profile, parse_profile
from defender_detect.service import invalidate_forgotten
from defender_detect.store.store import Store
from device_defender.profile_rules import find_profile_problems
from device_defender.report import Report
from tests.examples import examples

NOW = 1_800_000_000.0
STEP = 300.0  # seconds between two reports of a thing
DAY = 24 * 3600.0


def behavior(name: str, metric: str, operator: str, value: dict[str, Any], **criteria: Any) -> dict[str, Any]:
    return {"name": name, "metric": metric, "criteria": {"comparisonOperator": operator, "value": value, **criteria}}


def ranked(name: str, metric: str, operator: str, statistic: str) -> dict[str, Any]:
    threshold = {"statisticalThreshold": {"statistic": statistic}, "durationSeconds": 300}
    return {"name": name, "metric": metric, "criteria": {"comparisonOperator": operator, **threshold}}


def profile(name: str, *behaviors: dict[str, Any], **more: Any) -> Profile:
    document = {"securityProfileName": name, "behaviors": list(behaviors), **more}
    assert [] == find_profile_problems(document)
    return parse_profile(document)


def cpu(name: str, limit: float, to_alarm: int = 1, to_clear: int = 1) -> Profile:
    counts = {"consecutiveDatapointsToAlarm": to_alarm, "consecutiveDatapointsToClear": to_clear}
    return profile(name, behavior("cpu", "cpu", "less-than-equals", {"number": limit}, **counts))


def attach(attached: Profile, *targets: str) -> Attachment:
    return Attachment(attached, frozenset(targets or ("all",)))


def detector(*attachments: Attachment, groups: dict[str, list[str]] | None = None, **options: Any) -> Detector:
    return Detector(Rules(attachments, groups or {}), **options)


def read(**blocks: Any) -> Report:
    return read_report({"header": {"report_id": 1, "version": "1.0"}, **blocks}).report


def report(metrics: dict[str, Any] | None = None, **custom: Any) -> Report:
    return read(metrics=metrics, custom_metrics={name: [{"number": value}] for name, value in custom.items()})


def observe(detect: Detector, thing: str, reported: Report, now: float) -> Finding:
    """Let a thing report that is admitted."""
    finding = detect.observe(thing, reported, now)
    assert finding is not None
    return finding


def brief(findings: Finding | Iterable[Finding] | None) -> list[tuple[str, str, str]]:
    """Return whose alarm began or ended, of which profile, and how."""
    found = [findings] if isinstance(findings, Finding) else findings or ()
    return [(event.thing, event.profile, event.type) for finding in found for event in finding.events]


TARGETS = [attach(cpu("every", 10)), attach(cpu("lab", 20), "lab"), attach(cpu("both", 30), "all", "lab", "roof")]
TARGETS += [
    attach(cpu("roof", 40), "lab", "roof"),
    attach(cpu("nowhere", 50), "no-such-group"),
    attach(cpu("none", 60)),
]
TARGETS[-1] = Attachment(TARGETS[-1].profile, frozenset())
GROUPS = {"lab": ["in-lab", "in-two"], "roof": ["on-roof", "in-two"], "empty": [], "idle": ["in-idle"]}


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        ("anyone", {"every", "both"}),
        ("in-idle", {"every", "both"}),
        ("in-lab", {"every", "both", "lab", "roof"}),
        ("on-roof", {"every", "both", "roof"}),
        ("in-two", {"every", "both", "lab", "roof"}),
        ("lab", {"every", "both"}),
        ("all", {"every", "both"}),
    ],
)
def test_a_profile_applies_to_the_things_that_it_is_for_and_once(thing: str, expected: set[str]) -> None:
    found = brief(detector(*TARGETS, groups=GROUPS).observe(thing, report(cpu=99), NOW))
    assert [(thing, name, IN_ALARM) for name in sorted(expected)] == found


def test_without_profiles_nothing_is_retained_and_nothing_is_found() -> None:
    assert Finding("rpi-1", {}, state=NOTHING) == detector().observe("rpi-1", report(cpu=99), NOW)


def test_the_metrics_of_the_profiles_are_retained_and_no_others() -> None:
    all_things = profile("p", behavior("b", "cpu", "less-than", {"number": 5}), additionalMetricsToRetain=["fan"])
    extra = {"additionalMetricsToRetainV2": [{"metric": "aws:all-bytes-in"}]}
    detect = detector(attach(all_things), attach(profile("q", **extra), "lab"), groups=GROUPS)
    full = report({"network_stats": {"bytes_in": 4, "bytes_out": 5}}, cpu=1, fan=2, other=3)
    assert {"cpu": 1, "fan": 2} == observe(detect, "rpi-1", full, NOW).values
    assert {"cpu": 1, "fan": 2, "aws:all-bytes-in": 4} == observe(detect, "in-lab", full, NOW).values
    assert {"fan": 2} == observe(detect, "rpi-1", report(fan=2), NOW + STEP).values


def test_an_alarm_that_lasts_is_shown_with_its_newest_value() -> None:
    detect = detector(attach(cpu("p", 75, to_clear=2)))
    found = [observe(detect, "rpi-1", report(cpu=each), NOW + STEP * i) for i, each in enumerate((80, 90, 5, 95, 5, 5))]
    begun = violation_id_of("rpi-1", "p", "cpu", NOW)
    assert [[], [(begun, 90)], [], [(begun, 95)], [], []] == [list(each.lasting) for each in found]
    assert [IN_ALARM, "", "", "", "", ALARM_CLEARED] == [each.events[0].type if each.events else "" for each in found]


# Several things under profiles of every kind, one report after the other


class Told(NamedTuple):
    """A report: whose, what it says, and how long after the one before it came."""

    thing: str
    report: dict[str, Any]
    wait: float


NAMES = ["a", "ab", "a:", "a-", "_", "A", "0", ":" * 128, "all", "lab", "p_b"]
SETS = profile(
    "sets",
    behavior("ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22]}),
    behavior("to", "aws:destination-ip-addresses", "not-in-cidr-set", {"cidrs": ["10.0.0.0/8", "2001:db8::/32"]}),
    behavior("words", "words", "in-set", {"strings": ["a"]}, consecutiveDatapointsToAlarm=2),
)
SUMS = profile(
    "sums",
    behavior("out", "aws:all-bytes-out", "less-than", {"count": 100}, durationSeconds=600),
    behavior("few", "aws:all-bytes-out", "greater-than", {"count": 20}, durationSeconds=300),
)
EVERY_KIND = [
    attach(SETS), attach(SUMS), attach(cpu("cpu", 75, 3, 2)), attach(cpu("hot", 90), "lab"),
    attach(cpu("x", 50), "lab", "all"),
]  # fmt: skip
RANKED = attach(profile("ranked", ranked("busiest", "cpu", "less-than-equals", "p50")))
WAITS = (0.0, 1.0, 150.0, STEP, STEP, 2 * DAY)  # without a clock that is set back
EVERY_GROUP = {"lab": NAMES[::2]}


@st.composite
def told(draw: st.DrawFn, names: Sequence[str] = NAMES, waits: Sequence[float] = (*WAITS, -STEP)) -> Told:
    """Draw a report in which every metric is, or is not, in compliance, or is not there."""
    listening = {"listening_tcp_ports": {"ports": [{"port": port} for port in draw(PORTS)]}}
    stats = {"network_stats": {"bytes_out": draw(st.sampled_from([0, 15, 60, 120]))}}
    connections = {"established_connections": {"connections": [{"remote_addr": each} for each in draw(ADDRESSES)]}}
    blocks: list[dict[str, Any]] = draw(
        st.lists(st.sampled_from([listening, stats, {"tcp_connections": connections}]), max_size=3)
    )
    custom: dict[str, Any] = (
        {"cpu": [{"number": draw(st.sampled_from([10, 60, 80, 95]))}]} if draw(st.booleans()) else {}
    )
    if draw(st.booleans()):
        custom["words"] = [draw(st.sampled_from([{"string_list": ["a"]}, {"string_list": ["\ud800"]}, {"number": 1}]))]
    wait = draw(st.sampled_from(waits))
    metrics = {name: block for each in blocks for name, block in each.items()}
    header = {"report_id": draw(st.integers(1, 3)), "version": "1.0"}  # some come twice
    return Told(draw(st.sampled_from(names)), read(header=header, metrics=metrics, custom_metrics=custom), wait)


PORTS = st.lists(st.sampled_from([22, 80]), max_size=2)
ADDRESSES = st.lists(st.sampled_from(["10.0.0.1:5", "192.0.2.1:5", "[2001:db8::1]:5", "[2001:db9::1]:5"]), max_size=2)
FLEET = st.lists(told(NAMES[:4]), min_size=1, max_size=25)
NEVER_BACK = st.lists(told(NAMES[:4], WAITS), min_size=1, max_size=25)
NEVER_SILENT = st.lists(told(NAMES[:4], (*WAITS[:-1], -STEP)), min_size=1, max_size=25).map(
    lambda all: [*numbered(all)]
)


def numbered(reports: Iterable[Told]) -> Iterator[Told]:
    """Yield the reports with a number of its own for each, so that none comes twice."""
    for number, each in enumerate(reports, 1):
        header = msgspec.structs.replace(each.report.header, report_id=number)
        yield each._replace(report=msgspec.structs.replace(each.report, header=header))


def evaluate(
    reports: Sequence[Told], attachments: Sequence[Attachment] = EVERY_KIND, restart: Restart | None = None
) -> list[Finding]:
    """Return what a detector finds in reports; it may be put an end to, and begin again, before any of them."""
    found, now = [], NOW
    rules = Rules(attachments, EVERY_GROUP)
    detect = Detector(rules)
    for index, each in enumerate(reports):
        now += each.wait
        if restart is not None and index in restart.before:
            rules = Rules(attachments, EVERY_GROUP, restart.copy(rules.populations))
            detect = Detector(rules)
            forgotten = restart.fill(detect, now)
        else:
            forgotten = []
        expired = sorted([*forgotten, *detect.expire(now)], key=lambda finding: finding.thing)  # a restart changes this
        findings = [*expired, observe(detect, each.thing, each.report, now)]
        if restart is not None:
            restart.keep(findings, now, each.report.header.report_id)
        found += [finding for finding in findings if finding.values is not None or finding.events]
    return found


class Restart:
    """Keeps what a detector finds in a store, and restores another one from nothing but that."""

    def __init__(self, directory: Path, before: frozenset[int]) -> None:
        self.before = before
        self._directory = directory
        self._store = Store(directory, interval=60.0)

    def keep(self, findings: Iterable[Finding], now: float, report_id: int) -> None:
        for each in findings:
            new_id = None if each.values is None else report_id
            self._store.add(each.thing, now, each.values, each.events, each.state, new_id, each.lasting)

    def copy(self, populations: dict[str, Population]) -> dict[str, Population]:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(populations), type=dict[str, Population])

    def fill(self, detect: Detector, now: float) -> list[Finding]:
        """Restore a detector as the service does, and return what that invalidates."""
        self._store.close()
        self._store = Store(self._directory, interval=60.0)
        for each in self._store.load_states():
            detect.restore(each.thing, each.state, each.accepted_at or 0.0, now, each.report_id or 0)
        ended: dict[str, Finding] = {}
        for each in invalidate_forgotten(detect, self._store.active(), now):
            before = ended[each.thing].events if each.thing in ended else ()
            ended[each.thing] = replace(each, events=tuple(sorted((*before, *each.events), key=by_behavior)))
        return list(ended.values())

    def close(self) -> None:
        self._store.close()


def by_behavior(event: Event) -> tuple[str, str]:
    return event.profile, event.behavior


def fields(event: Event) -> tuple[Any, ...]:
    return event.thing, event.profile, event.behavior, event.type, event.time, event.value


@given(FLEET, st.randoms(use_true_random=False))
@examples(60)
def test_the_order_of_the_attachments_does_not_matter(reports: list[Told], chance: random.Random) -> None:
    attachments = [*EVERY_KIND, RANKED]
    assert evaluate(reports, attachments) == evaluate(reports, chance.sample(attachments, len(attachments)))


@given(NEVER_BACK | NEVER_SILENT, st.frozensets(st.integers(0, 24), max_size=3))
@examples(40)
def test_a_restart_from_the_store_at_any_point_changes_nothing(reports: list[Told], before: frozenset[int]) -> None:
    """But for a clock that is set back behind the moment at which a thing was silent for two days, or before a report
    that comes a second time: to a detector that noticed the first of these, it is a new one.
    """
    attachments = [*EVERY_KIND, RANKED]
    with tempfile.TemporaryDirectory() as directory:
        restart = Restart(Path(directory), before)
        try:
            assert evaluate(reports, attachments) == evaluate(reports, attachments, restart)
        finally:
            restart.close()


@pytest.mark.parametrize("before", [{1}, {0, 1}, {2}])
def test_a_restart_when_a_thing_has_been_silent_for_two_days_loses_no_event(before: set[int], tmp_path: Path) -> None:
    reports = [Told("a", report(cpu=99), 0.0), Told("a", read(**EMPTY), 2 * DAY), Told("b", report(cpu=99), 0.0)]
    restart = Restart(tmp_path, frozenset(before))
    try:
        expected = evaluate(reports)
        ends = [event.profile for finding in expected for event in finding.events if event.type == ALARM_INVALIDATED]
        assert ["hot", "x"] == ends
        assert expected == evaluate(reports, restart=restart)
    finally:
        restart.close()


@given(FLEET)
@examples(100)
def test_the_alarms_of_a_behavior_of_a_thing_begin_and_end_in_turns(reports: list[Told]) -> None:
    alarms: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    for event in (event for finding in evaluate(reports) for event in finding.events):
        alarms[event.thing, event.profile, event.behavior].append(event)
    for events in alarms.values():
        assert [True, False] * (len(events) // 2) + [True] * (len(events) % 2) == [e.type == IN_ALARM for e in events]
        for began, ended in zip(events[::2], events[1::2]):
            assert began.violation_id == ended.violation_id
    begun = {(whose, event.time): event.violation_id for whose, events in alarms.items() for event in events[::2]}
    assert len(begun) == len(set(begun.values()))


@given(st.lists(told(NAMES, WAITS), min_size=1, max_size=40), st.sampled_from(NAMES))
@examples(100)
def test_what_other_things_report_never_changes_a_things_alarms(reports: list[Told], thing: str) -> None:
    own, waited = [], 0.0
    for each in reports:
        waited += each.wait
        if each.thing == thing:
            own.append(Told(thing, each.report, waited))
            waited = 0.0
    mine = [finding for finding in evaluate(reports) if finding.thing == thing and finding.values is not None]
    alone = [finding for finding in evaluate(own) if finding.values is not None]
    assert [each[:2] for each in map(outcome, alone)] == [each[:2] for each in map(outcome, mine)]


def outcome(finding: Finding) -> tuple[list[Any], list[Any], str]:
    """Return what a report brought, without the ids."""
    events = [fields(event) for event in finding.events]
    return events, [each.value for each in finding.lasting], finding.thing


BAD: dict[str, Any] = {
    "metrics": {"listening_tcp_ports": {"ports": [{"port": 80}]}, "network_stats": {"bytes_out": 120},
                "tcp_connections": {"established_connections": {"connections": [{"remote_addr": "10.0.0.1:5"}]}}},
    "custom_metrics": {"cpu": [{"number": 95}], "words": [{"string_list": ["\ud800"]}]},
}  # fmt: skip
GOOD: dict[str, Any] = {
    "metrics": {"listening_tcp_ports": {"ports": [{"port": 22}]}, "network_stats": {"bytes_out": 45},
                "tcp_connections": {"established_connections": {"connections": []}}},
    "custom_metrics": {"cpu": [{"number": 10}], "words": [{"string_list": ["a"]}]},
}  # fmt: skip
QUIET: dict[str, Any] = {"metrics": {"network_stats": {"bytes_out": 0}}}
EMPTY: dict[str, Any] = {"custom_metrics": {}}
UPS_AND_DOWNS = [
    Told("a", read(**each), STEP) for each in [GOOD, BAD, EMPTY, BAD, BAD, EMPTY, QUIET, QUIET, GOOD, EMPTY, GOOD, GOOD]
]


def test_the_reports_drawn_here_raise_and_clear_alarms_of_every_profile() -> None:
    found = evaluate(UPS_AND_DOWNS)
    types = defaultdict(list)
    for event in (event for finding in found for event in finding.events):
        types[event.behavior if event.behavior != "cpu" else event.profile].append(event.type)
    assert {"ports", "to", "words", "out", "few", "cpu", "hot", "x"} == set(types)
    assert {(IN_ALARM, ALARM_CLEARED)} == {tuple(each) for each in types.values()}


@pytest.mark.parametrize("before", [frozenset({index}) for index in range(12)] + [frozenset(range(12))])
def test_a_restart_amid_ups_and_downs_changes_nothing(before: frozenset[int], tmp_path: Path) -> None:
    restart = Restart(tmp_path, before)
    try:
        assert evaluate(UPS_AND_DOWNS) == evaluate(UPS_AND_DOWNS, restart=restart)
    finally:
        restart.close()


def test_things_whose_names_are_alike_have_alarms_of_their_own() -> None:
    detect = detector(attach(cpu("p", 75)))
    for now, value, expected in ((NOW, 80, IN_ALARM), (NOW + STEP, 5, ALARM_CLEARED)):
        for name in NAMES:
            assert [(name, "p", expected)] == brief(detect.observe(name, report(cpu=value), now))


def test_a_report_that_comes_twice_has_no_effect() -> None:
    detect = detector(attach(cpu("p", 75)), attach(profile("r", ranked("b", "cpu", "less-than-equals", "p50"))))
    begun = observe(detect, "rpi-1", report(cpu=80), NOW)
    assert [("rpi-1", "p", IN_ALARM)] == brief(begun)
    before = detect.pack("rpi-1")
    for now in (NOW, NOW - 10):
        assert Finding("rpi-1", None) == observe(detect, "rpi-1", report(cpu=80), now)
    assert before == detect.pack("rpi-1")
    assert [1] == [len(each.sketch) for each in detect.rules.populations.values()]
    assert [("rpi-1", "p", ALARM_CLEARED)] == brief(observe(detect, "rpi-1", report(cpu=5), NOW + 1))


# Thresholds over all things


def test_a_statistical_threshold_is_that_of_all_things_in_the_window_before() -> None:
    detect = detector(attach(profile("p", ranked("b", "cpu", "less-than-equals", "p90"))))
    start = NOW // 300 * 300
    for number in range(100):
        assert [] == brief(detect.observe(f"rpi-{number}", report(cpu=number), start + number))
    later = [brief(detect.observe(f"rpi-{number}", report(cpu=number), start + 300 + number)) for number in range(100)]
    assert [f"rpi-{number}" for number in range(90, 100)] == [found[0][0] for found in later if found]


def test_things_of_different_groups_share_a_behaviors_threshold() -> None:
    rank = profile("p", ranked("b", "cpu", "less-than-equals", "p50"))
    detect = detector(attach(rank), attach(cpu("q", 1000), "lab"), groups=GROUPS)
    start = NOW // 300 * 300
    for index, thing in enumerate(["in-lab", "rpi-1", "on-roof"]):
        detect.observe(thing, report(cpu=10 * index), start)
    assert [("in-lab", "p", IN_ALARM)] == brief(detect.observe("in-lab", report(cpu=11), start + 300))
    assert [] == brief(detect.observe("rpi-1", report(cpu=10), start + 300))


def test_a_thing_that_a_profile_is_not_for_does_not_count_for_its_threshold() -> None:
    rank = attach(profile("p", ranked("b", "cpu", "less-than-equals", "p100")), "lab")
    detect = detector(rank, groups=GROUPS)
    start = NOW // 300 * 300
    detect.observe("in-lab", report(cpu=5), start)
    detect.observe("stranger", report(cpu=1000), start)
    assert [("in-lab", "p", IN_ALARM)] == brief(detect.observe("in-lab", report(cpu=6), start + 300))


# Silence


def test_two_days_of_silence_make_a_things_alarm_invalid_and_no_others() -> None:
    detect = detector(attach(cpu("p", 75, to_alarm=2)))
    for index in range(2):
        detect.observe("silent", report(cpu=80), NOW + STEP * index)
    for index in range(2, 4):
        detect.observe("late", report(cpu=80), NOW + STEP * index)
    detect.observe("once", report(cpu=80), NOW)
    last = NOW + STEP
    assert [] == brief(detect.expire(last + FORGOTTEN_AFTER - 1))
    (finding,) = [each for each in detect.expire(last + FORGOTTEN_AFTER) if each.events]
    assert ("silent", None, NOTHING) == (finding.thing, finding.values, finding.state)
    begun, ended = violation_id_of("silent", "p", "cpu", last), last + FORGOTTEN_AFTER
    assert [(begun, ended, ALARM_INVALIDATED, None)] == [
        (e.violation_id, e.time, e.type, e.value) for e in finding.events
    ]
    assert [] == brief(detect.expire(last + FORGOTTEN_AFTER))
    (late,) = detect.expire(last + FORGOTTEN_AFTER + DAY)
    assert [("late", "p", ALARM_INVALIDATED)] == brief(late)
    assert NOW + 3 * STEP + FORGOTTEN_AFTER == late.events[0].time  # and not when somebody looked
    assert [] == brief(detect.observe("once", report(cpu=80), last + 5 * DAY))


LISTENING = profile("ports", behavior("ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22]}))


@pytest.mark.parametrize(
    "shown",
    [
        read(**EMPTY),
        read(**QUIET),
        report(cpu=1),
        report({"listening_tcp_ports": {}}),
        report({"listening_tcp_ports": {"total": 1}}),
    ],
)
def test_an_intruder_who_switches_a_block_off_does_not_clear_the_alarm_by_that(shown: Report) -> None:
    detect = detector(attach(LISTENING))
    assert [("rpi-1", "ports", IN_ALARM)] == brief(detect.observe("rpi-1", read(**BAD), NOW))
    now = NOW
    for now in (NOW + STEP * number for number in range(1, 5 * 288)):  # five days
        assert [] == [*brief(detect.observe("rpi-1", shown, now)), *brief(detect.expire(now))]
    assert detect.follows("rpi-1", violation_id_of("rpi-1", "ports", "ports", NOW))
    assert [("rpi-1", "ports", ALARM_CLEARED)] == brief(detect.observe("rpi-1", read(**GOOD), now + STEP))


def test_an_alarm_whose_metric_was_left_out_is_invalid_two_days_after_the_last_report() -> None:
    detect = detector(attach(LISTENING))
    for reported, now in ((BAD, NOW), (QUIET, NOW + DAY)):
        detect.observe("rpi-1", read(**reported), now)
    assert [] == brief(detect.expire(NOW + 3 * DAY - 1))
    assert [("rpi-1", "ports", ALARM_INVALIDATED)] == brief(detect.expire(NOW + 3 * DAY))


def test_a_report_after_two_days_invalidates_the_alarm_itself_and_may_raise_another() -> None:
    detect = detector(attach(cpu("p", 75)), attach(cpu("q", 75, to_alarm=2)))
    detect.observe("rpi-1", report(cpu=80), NOW)
    late = NOW + 2 * DAY + 30
    finding = observe(detect, "rpi-1", report(cpu=80), late)
    assert [("rpi-1", "p", ALARM_INVALIDATED), ("rpi-1", "p", IN_ALARM)] == brief(finding)
    begun = [violation_id_of("rpi-1", "p", "cpu", each) for each in (NOW, late)]
    assert [(begun[0], NOW + 2 * DAY), (begun[1], late)] == [(e.violation_id, e.time) for e in finding.events]
    assert [("rpi-1", "q", IN_ALARM)] == brief(detect.observe("rpi-1", report(cpu=80), late + STEP))


@given(NEVER_BACK, st.frozensets(st.integers(0, 24)))
@examples(100)
def test_when_somebody_looks_for_silence_changes_no_alarm(reports: list[Told], looks: frozenset[int]) -> None:
    """What becomes of an alarm is the same, whether its thing's report or a look for silence comes first."""
    told_of, end = [], NOW + 100 * DAY
    for looked in (looks, frozenset(range(25)), frozenset[int]()):
        detect, now, events = Detector(Rules([*EVERY_KIND, RANKED], EVERY_GROUP)), NOW, []
        for index, each in enumerate(reports):
            now += each.wait
            found = [*detect.expire(now)] if index in looked else []
            events += [
                event for finding in [*found, observe(detect, each.thing, each.report, now)] for event in finding.events
            ]
        events += [event for finding in detect.expire(end) for event in finding.events]
        told_of.append(
            sorted(
                (event.violation_id, event.time, event.type != IN_ALARM, event.type, event.thing) for event in events
            )
        )
    assert told_of[0] == told_of[1] == told_of[2]


def test_a_thing_that_reported_while_the_clock_was_ahead_lets_nobody_wait() -> None:
    detect = detector(attach(cpu("p", 75)))
    detect.observe("ahead", report(cpu=80), NOW + 365 * DAY)
    detect.observe("rpi-1", report(cpu=80), NOW)
    assert [] == brief(detect.expire(NOW + 60))
    found = brief(detect.expire(NOW + 60 + 2 * DAY))
    assert [("rpi-1", "p", ALARM_INVALIDATED), ("ahead", "p", ALARM_INVALIDATED)] == found


# Other rules


def test_other_rules_keep_the_alarms_of_behaviors_that_stay_and_make_the_others_invalid() -> None:
    kept, gone = cpu("kept", 75), cpu("gone", 75)
    detect = detector(attach(kept), attach(gone))
    detect.observe("rpi-1", report(cpu=80), NOW)
    detect.observe("normal", report(cpu=5), NOW)
    findings = detect.replace(Rules([attach(cpu("new", 70)), attach(kept)]), NOW + 10)
    assert [("rpi-1", "gone", ALARM_INVALIDATED)] == brief(findings)
    begun = violation_id_of("rpi-1", "gone", "cpu", NOW)
    assert {(begun, NOW + 10)} == {(event.violation_id, event.time) for each in findings for event in each.events}
    restored = detector(attach(kept), attach(gone))
    restored.restore("rpi-1", findings[0].state, NOW, NOW)
    for each in (detect, restored):
        ended = [found for found in brief(each.observe("rpi-1", report(cpu=5), NOW + STEP)) if found[1] != "new"]
        assert [("rpi-1", "kept", ALARM_CLEARED)] == ended


def test_an_alarm_is_invalid_if_its_profile_is_no_longer_for_the_thing() -> None:
    detect = detector(attach(cpu("p", 75), "lab"), groups=GROUPS)
    for thing in ("in-lab", "in-two"):
        detect.observe(thing, report(cpu=80), NOW)
    findings = detect.replace(Rules([attach(cpu("p", 75), "lab")], {"lab": ["in-two", "rpi-1"]}), NOW + 10)
    assert [("in-lab", "p", ALARM_INVALIDATED)] == brief(findings)
    assert [] == brief(detect.observe("in-lab", report(cpu=80), NOW + STEP))
    assert [("in-two", "p", ALARM_CLEARED)] == brief(detect.observe("in-two", report(cpu=5), NOW + STEP))
    assert [("rpi-1", "p", IN_ALARM)] == brief(detect.observe("rpi-1", report(cpu=80), NOW + STEP))


def test_other_rules_go_on_with_the_percentiles() -> None:
    rank = attach(profile("p", ranked("b", "cpu", "less-than-equals", "p50")))
    detect, start = detector(rank), NOW // 300 * 300
    detect.observe("rpi-1", report(cpu=5), start)
    detect.replace(Rules([attach(cpu("q", 1000)), rank]), start + 10)
    assert [("rpi-1", "p", IN_ALARM)] == brief(detect.observe("rpi-1", report(cpu=6), start + 300))


# Bounds


def test_where_there_are_too_many_things_new_ones_are_not_admitted_and_the_others_go_on() -> None:
    detect = detector(attach(cpu("p", 75, to_alarm=2)), most_things=100)
    found, refused = [], []
    for turn in range(4):  # more things than are remembered report in turn
        for number in range(110):
            finding = detect.observe(f"rpi-{number:03}", report(cpu=80), NOW + STEP * turn + number)
            found += brief(finding)
            refused += [number] if finding is None else []
    assert [(f"rpi-{number:03}", "p", IN_ALARM) for number in range(100)] == found
    assert list(range(100, 110)) * 4 == refused
    assert (100, 40, True) == (len(detect), detect.refused, detect.is_full)


def test_a_thing_that_is_silent_for_two_days_makes_room_for_another() -> None:
    detect = detector(attach(cpu("p", 75)), most_things=2)
    for thing, now in (("first", NOW), ("second", NOW + DAY), ("third", NOW + DAY)):
        detect.observe(thing, report(cpu=5), now)
    assert [] == list(detect.expire(NOW + 2 * DAY))
    assert (1, 1, False) == (len(detect), detect.refused, detect.is_full)
    assert [("third", "p", IN_ALARM)] == brief(detect.observe("third", report(cpu=80), NOW + 2 * DAY))


def test_of_more_things_than_are_remembered_those_that_reported_last_are_restored() -> None:
    earlier = detector(attach(cpu("p", 75)))
    packed = observe(earlier, "rpi-1", report(cpu=80), NOW).state
    detect = detector(attach(cpu("p", 75)), most_things=3)
    for number in range(10):
        detect.restore(f"made-up-{number}", NOTHING if number % 2 else None, NOW - 10 + number, NOW)
    detect.restore("rpi-1", packed, NOW, NOW)
    assert 3 == len(detect)
    assert None is not detect.observe("made-up-9", report(cpu=5), NOW)
    assert None is detect.observe("made-up-7", report(cpu=5), NOW)
    assert [("rpi-1", "p", ALARM_CLEARED)] == brief(detect.observe("rpi-1", report(cpu=5), NOW + STEP))


def test_of_a_thing_that_has_been_silent_for_two_days_only_its_alarms_are_restored_and_end() -> None:
    begun = violation_id_of("rpi-1", "p", "cpu", NOW)
    packed = {
        cpu_value: observe(detector(attach(cpu("p", 75))), "rpi-1", report(cpu=cpu_value), NOW).state
        for cpu_value in (5, 80)
    }
    for silence, value, follows in ((2 * DAY - 1, 80, True), (2 * DAY, 80, True), (2 * DAY, 5, False)):
        detect = detector(attach(cpu("p", 75)))
        detect.restore("rpi-1", packed[value], NOW, NOW + silence)
        assert follows is detect.follows("rpi-1", begun) is (len(detect) == 1)
        assert (packed[value] if follows else NOTHING) == detect.pack("rpi-1")
        expired = list(detect.expire(NOW + 3 * DAY))
        assert [(begun, NOW + 2 * DAY)] * follows == [(e.violation_id, e.time) for each in expired for e in each.events]
        assert 0 == len(detect)


def test_of_what_cannot_be_read_of_a_thing_the_alarms_begin_again(caplog: pytest.LogCaptureFixture) -> None:
    detect = detector(attach(cpu("p", 75)))
    for packed in (b"\xc1", b"\x81", b"\x93\x01\x02\x03", b"\x81\xa5p/cpu\x92\x01\x02"):
        detect.restore("rpi-1", packed, NOW, NOW)
    assert 4 == caplog.text.count("rpi-1 cannot be read")
    assert [("rpi-1", "p", IN_ALARM)] == brief(detect.observe("rpi-1", report(cpu=80), NOW))


@pytest.mark.parametrize("value", [5, 95])
def test_made_up_names_do_not_grow_the_memory(value: int) -> None:
    ten = profile("p", *(behavior(f"b{i}", "cpu", "less-than", {"number": 75}) for i in range(10)))
    detect, sizes = detector(attach(ten), most_things=500), []
    tracemalloc.start()
    try:
        for number in range(2_000):
            detect.observe(f"made-up-{number:06}", report(cpu=value), NOW + number)
            if number % 500 == 499:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert 500 == len(detect)
    assert sizes[-1] < 1.25 * sizes[0]
    assert sizes[-1] < 500 * (4_000 if value > 75 else 1_000)  # 100,000 things are to take 400 MB at most
