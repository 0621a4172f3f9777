"""A fleet's reports that are the same wherever they are made, and three ways to evaluate them: for `test_golden.py`.

Ten behaviors of every kind: sets, lists of addresses, windows, consecutive datapoints, percentiles, silence. Things
fall silent for minutes, hours and for good; all are for more than two days; other profiles come in the middle; and some
reports arrive twice.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from defender_detect.ask.replay import replay
from defender_detect.evaluate import kernel
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.detector import Attachment, Detector, Finding, Rules
from defender_detect.evaluate.percentiles import Ranking, Sketch, window_in_force, window_of
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, judge
from defender_detect.metrics import Value, metric_values
from defender_detect.profiles import parse_profile
from device_defender.profile_rules import find_profile_problems
from device_defender.report import Report

START = 1_790_000_100.0
INTERVAL = 301.0  # seconds between two reports of a thing
GAP = 2 * 86_400 + 7_200.0  # seconds for which no thing reports
LOOK = 60  # seconds between two looks for silence, as in a running Detect
WORKERS = 4  # that an engine divides the things among
PER_DIGEST = 1_000  # events


class Line(NamedTuple):
    """A report as it arrives."""

    time: float
    thing: str
    payload: bytes

    @property
    def report(self) -> Report:
        """The report, as Detect reads it."""
        verdict = judge(ReportTopic(self.thing, "json"), self.payload, self.time)
        assert isinstance(verdict, Accepted)
        return verdict.report


def behavior(name: str, metric: str, operator: str, value: Any = None, **criteria: Any) -> dict[str, Any]:
    limit = {} if value is None else {"value": value}
    return {"name": name, "metric": metric, "criteria": {"comparisonOperator": operator, **limit, **criteria}}


def ranked(name: str, metric: str, statistic: str, duration: int) -> dict[str, Any]:
    threshold = {"statisticalThreshold": {"statistic": statistic}, "durationSeconds": duration}
    return behavior(name, metric, "less-than-equals", **threshold)


PORTS = behavior("ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22, 443]})
UDP = behavior("udp", "aws:listening-udp-ports", "not-in-port-set", {"ports": [69]})
HOSTS = behavior("hosts", "aws:destination-ip-addresses", "in-cidr-set", {"cidrs": ["10.0.0.0/8", "2001:db8::/32"]})
PROGRAMS = behavior("programs", "programs", "in-set", {"strings": ["sshd", "cron"]}, consecutiveDatapointsToClear=2)
OUT = behavior("out", "aws:all-bytes-out", "less-than", {"count": 900}, durationSeconds=300)
HOUR = behavior("hour", "aws:all-bytes-out", "less-than", {"count": 6_500}, durationSeconds=3600)
ALIVE = behavior("alive", "aws:all-bytes-in", "greater-than", {"count": 120}, durationSeconds=900)
COUNTS = {"consecutiveDatapointsToAlarm": 2, "consecutiveDatapointsToClear": 3}
CPU = behavior("cpu", "cpu", "less-than-equals", {"number": 75}, **COUNTS)
PACKETS = ranked("packets", "aws:all-packets-in", "p90", 300)
SILENCE = behavior("silence", "aws:disconnect-duration", "less-than-equals", {"count": 15})

LONG_SILENCE = behavior(
    "long-silence", "aws:disconnect-duration", "less-than-equals", {"count": 60}, consecutiveDatapointsToAlarm=3
)
BEFORE = {"golden": [PORTS, UDP, HOSTS, PROGRAMS, OUT, HOUR, ALIVE, CPU, PACKETS, SILENCE], "lab": [CPU]}
AFTER = {  # udp and hour are gone, and what was for some things is for others; the limits of three are others
    "golden": [
        *(PORTS, HOSTS, PROGRAMS, OUT, ALIVE, LONG_SILENCE),
        behavior("cpu", "cpu", "less-than-equals", {"number": 70}, **COUNTS),
        ranked("packets", "aws:all-packets-in", "p50", 600),
        behavior("silence", "aws:disconnect-duration", "less-than", {"count": 25}),
        behavior("sockets", "aws:num-listening-tcp-ports", "less-than", {"count": 3}),
    ],
    "lab": [CPU],
}


def rules_of(profiles: Mapping[str, Sequence[dict[str, Any]]], things: Iterable[int]) -> Rules:
    """Return rules, of which the profile `lab` is for some of the things."""
    attachments = []
    for name, behaviors in profiles.items():
        document = {"securityProfileName": name, "behaviors": list(behaviors)}
        assert [] == find_profile_problems(document)
        attachments.append(Attachment(parse_profile(document), frozenset({"lab" if name == "lab" else "all"})))
    return Rules(attachments, {"lab": [name_of(number) for number in things]})


def before(things: int) -> Rules:
    """Return the rules at first."""
    return rules_of(BEFORE, range(0, things, 3))


def after(things: int) -> Rules:
    """Return the rules from the middle on."""
    return rules_of(AFTER, range(0, things, 2))


def name_of(number: int) -> str:
    return f"golden-{number:04d}"


class Fleet:
    """The reports of so many things in so many rounds; other rules come at `changed`, the last report at `end`."""

    def __init__(self, things: int, rounds: int) -> None:
        chance = random.Random(18).random  # the only method that is the same in every Python
        self.things, self.lines = things, list[Line]()
        phases = [round(chance() * 290, 3) for _ in range(things)]
        resting = dict.fromkeys(range(things), 0)  # rounds for which a thing says nothing
        modes = dict.fromkeys(range(things), 0)
        for turn in range(rounds):
            for number, phase in enumerate(phases):
                time = START + turn * INTERVAL + phase + (GAP if turn >= rounds * 2 // 3 else 0.0)
                resting[number] -= 1
                if resting[number] < 0:
                    self._report(time, number, modes, chance)
                    if chance() < 0.02:
                        resting[number] = (3, 6, 20, rounds)[int(chance() * 4)]
        self.end = START + rounds * INTERVAL + GAP
        self._report(self.end, 0, modes, chance)
        self.lines.sort(key=lambda line: (line.time, line.thing))
        self.changed = START + (rounds // 2) * INTERVAL + 77.0

    def _report(self, time: float, number: int, modes: dict[int, int], chance: Any) -> None:
        if chance() < 0.4:
            modes[number] = int(chance() * 12)  # what is odd about the thing for a while; from 7 on nothing
        payload = json.dumps(make_report(int(time * 1000), modes[number], chance)).encode()
        line = Line(time, name_of(number), payload)
        self.lines += [line, line] if chance() < 0.01 else [line]


def make_report(report_id: int, mode: int, chance: Any) -> dict[str, Any]:
    """Return a report in which something is odd."""
    ports = [22, 443] + [4444] * (mode == 0) + [8080] * (mode in (0, 1))
    hosts = ["10.1.2.3:443", "[2001:db8::5]:8883"] + ["198.51.100.9:6667"] * (mode == 2)
    connections = [{"remote_addr": host, "local_port": 40_000, "local_interface": "eth0"} for host in hosts]
    stats = {
        "bytes_in": int(chance() * 100) + 80 * (mode != 3),
        "bytes_out": int(chance() * 700) + 500 * (mode == 4),
        "packets_in": int(chance() * 1_000),
        "packets_out": 1,
    }
    programs = ["sshd"] + ["miner"] * (mode == 5)
    metrics: dict[str, Any] = {
        "listening_tcp_ports": {"ports": [{"port": port} for port in ports], "total": len(ports)},
        "listening_udp_ports": {"ports": [{"port": 69 if mode == 6 else 68}], "total": 1},
        "tcp_connections": {"established_connections": {"connections": connections, "total": len(connections)}},
        "network_stats": stats,
    }
    if chance() < 0.03:  # a metric that is not there is no datapoint
        del metrics["network_stats" if mode % 2 else "listening_tcp_ports"]
    custom = {"cpu": [{"number": round(chance() * 100, 1)}], "programs": [{"string_list": programs}]}
    return {"header": {"report_id": report_id, "version": "1.0"}, "metrics": metrics, "custom_metrics": custom}


# Three ways


def by_detector(fleet: Fleet) -> Iterator[Event]:
    """Evaluate as one process does, with a look for silence every minute."""
    detector, is_changed = Detector(before(fleet.things)), False
    looks = iter(range(int(fleet.lines[0].time), int(fleet.end), LOOK))
    look = next(looks)
    for line in fleet.lines:
        if line.time >= fleet.changed and not is_changed:
            is_changed = True
            yield from events_of(detector.replace(after(fleet.things), fleet.changed))
        while look < line.time:
            yield from events_of((*detector.find_silent(look), *detector.expire(look)))
            look = next(looks, int(fleet.end) + LOOK)
        found = detector.observe(line.thing, line.report, line.time)
        assert found is not None
        yield from found.events
    yield from events_of((*detector.find_silent(fleet.end), *detector.expire(fleet.end)))


def events_of(findings: Iterable[Finding]) -> Iterator[Event]:
    return (event for finding in findings for event in finding.events)


def by_replay(fleet: Fleet, directory: Path) -> Iterator[Event]:
    """Evaluate two recordings, as `--replay` does."""
    detector = Detector(before(fleet.things))
    early, late = directory / "early.jsonl", directory / "late.jsonl"
    with early.open("wb") as first, late.open("wb") as second:
        for line in fleet.lines:
            (first if line.time < fleet.changed else second).write(
                b'{"thingName":"%b","timestamp":%r,"report":%b}\n' % (line.thing.encode(), line.time, line.payload)
            )
    yield from replay(detector, early)
    yield from events_of(detector.replace(after(fleet.things), fleet.changed))
    yield from replay(detector, late)


def by_kernel(fleet: Fleet, late: float = 0.0) -> Iterator[Event]:
    """Evaluate as an engine does: by thing, bytes in and bytes out, rules as JSON, with timers and merged sketches.

    The timers fire so many seconds late, but for those before other rules come.
    """
    engine = Engine(before(fleet.things).to_json())
    is_changed = False
    for line in fleet.lines:
        if line.time >= fleet.changed and not is_changed:
            is_changed = True
            yield from engine.elapse(fleet.changed)
            new = after(fleet.things)
            new.succeed(Rules.from_json(engine.rules_in_force), fleet.changed)
            engine.put_in_force(new.to_json())
        yield from engine.elapse(line.time, late)
        report = line.report
        yield from engine.observe(line.thing, metric_values(report), report.header.report_id, line.time)
    yield from engine.elapse(fleet.end)


class Engine:
    """What the kernel needs around it, for things of some workers."""

    def __init__(self, rules: bytes) -> None:
        self.states: dict[str, bytes] = {}
        self._due: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        self._sketches: dict[tuple[str, Ranking, int], dict[int, Sketch]] = defaultdict(dict)  # by window, and worker
        self._thresholds: dict[tuple[str, Ranking, int], float | None] = {}
        self.put_in_force(rules)

    def put_in_force(self, rules: bytes) -> None:
        """Go on with other rules; no thing is touched."""
        self.rules_in_force, self._rules = rules, Rules.from_json(rules)

    def observe(self, thing: str, values: Mapping[str, Value], report_id: int, now: float) -> Iterator[Event]:
        """Evaluate a report."""
        ruleset, state = self._rules.of(thing), self.states.get(thing, kernel.UNKNOWN)
        thresholds = {name: self._threshold(name, now) for name in ruleset.ranked}
        outcome = kernel.observe(state, ruleset, thing, values, report_id, now, thresholds)
        for name, value in outcome.datapoints:
            ranking = self._rules.ranked[name]
            window = name, ranking, window_of(now, ranking.duration)
            self._sketches[window].setdefault(zlib.crc32(thing.encode()) % WORKERS, Sketch()).add(value)
        yield from self._keep(thing, outcome)

    def elapse(self, now: float, late: float = 0.0) -> Iterator[Event]:
        """Let the timers fire whose time has come, or had so many seconds ago."""
        while self._timers and self._timers[0][0] + late <= now:
            due, thing = heapq.heappop(self._timers)
            if self._due.get(thing) == due:
                del self._due[thing]
                yield from self._keep(thing, kernel.elapse(self.states[thing], self._rules.of(thing), thing, now))

    def _keep(self, thing: str, outcome: kernel.Outcome) -> Sequence[Event]:
        self.states[thing] = outcome.state
        if outcome.due is not None and outcome.due < self._due.get(thing, float("inf")):
            self._due[thing] = outcome.due
            heapq.heappush(self._timers, (outcome.due, thing))
        return outcome.events

    def _threshold(self, name: str, now: float) -> float | None:
        ranking = self._rules.ranked[name]
        window = name, ranking, window_in_force(now, ranking.duration)
        if window not in self._thresholds:
            merged = Sketch()
            for sketch in self._sketches.pop(window, {}).values():
                merged.merge(Sketch.from_bytes(sketch.to_bytes()))
            self._thresholds[window] = merged.percentile(ranking.statistic)
        return self._thresholds[window]


def in_order(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """Return everything that an event says, in an order that does not depend on who found it when."""
    said = [(e.time, e.thing, e.profile, e.behavior, e.type, e.violation_id, e.value, e.threshold) for e in events]
    return sorted(said, key=lambda each: each[:5])


def digest(events: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return how many events there are, of each type, and a digest of each thousand."""
    said = [repr(each) for each in events]
    chunks = ["\n".join(said[start : start + PER_DIGEST]) for start in range(0, len(said), PER_DIGEST)]
    types = Counter(each[4] for each in events)
    return {
        "events": len(events),
        "types": dict(sorted(types.items())),
        "digests": [hashlib.sha256(chunk.encode()).hexdigest()[:16] for chunk in chunks],
    }
