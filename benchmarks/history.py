"""Histories: a store of days of reports of a fleet that is made up, written by the real Detector and Store.

A hundred things report every 300 s all the time; the others once an hour, but for the last day. One in a hundred falls
silent, one in two hundred opens a port that is not normal, and a third of the cameras sends much more for a while.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.profiles import read_profile
from defender_detect.store.store import Store
from device_defender.report import Report

PROFILES = Path(__file__).resolve().parent.parent / "configs" / "security-profiles"
KINDS = ("camera", "gateway", "rpi", "sensor")
BACKDOORS = (23, 2323, 4444, 8080)
HOUR, DAY = 3600.0, 86_400.0  # seconds
INTERVAL = 300.0  # seconds between two reports
WATCHED = 100  # things that report every INTERVAL all the time
PARTS_OF_AN_HOUR = int(HOUR / INTERVAL)


class Incident(NamedTuple):
    """What is not normal about a thing, and when."""

    start: float
    end: float
    port: int = 0
    traffic: float = 1.0


class Fleet:
    """A fleet that is made up; the same numbers make the same fleet."""

    def __init__(self, things: int, start: float, end: float) -> None:
        self.chance = random.Random(7)  # noqa: S311 - the same each time
        self.names = [f"{KINDS[place % 4]}-{place // 4 + 1:05}" for place in range(things)]
        self.busy = {name: self.chance.choice([3, 8, 12, 35]) for name in self.names}
        length = end - start
        silent = self.chance.sample(self.names, max(things > 3, things // 100))
        self.silent_from = {name: end - self.chance.uniform(0.003, 1) * min(length, DAY) for name in silent}
        self.incidents = {name: self._open_a_port(end, length) for name in self.names if self._is_one_of(200, things)}
        storm = Incident(end - 0.35 * min(length, DAY), end - 0.25 * min(length, DAY), traffic=400.0)
        cameras = [name for name in self.names[::4] if self.chance.random() < 1 / 3]
        self.incidents.update({name: storm for name in cameras if name not in self.incidents})

    def report(self, name: str, when: float) -> dict[str, Any]:
        """Return what a thing reports."""
        chance, busy = self.chance, self.busy[name]
        incident = self.incidents.get(name)
        is_on = incident is not None and incident.start <= when <= incident.end
        ports = [22, *([incident.port] if incident and is_on and incident.port else [])]
        day = 1 + 0.5 * math.sin(when / DAY * 2 * math.pi)
        sent = int(chance.expovariate(1 / (busy * 6000 * day)) * (incident.traffic if incident and is_on else 1)) + 500
        addresses = [f"10.0.{chance.randrange(4)}.{chance.randrange(250)}:8883" for _ in range(chance.randrange(1, 5))]
        addresses += ["198.51.100.66:4444"] if 4444 in ports else []
        connections = [{"remote_addr": each, "local_port": 40000} for each in addresses]
        cpu = min(100.0, max(0.5, chance.gauss(busy, 4) + (70 if len(ports) > 1 else 0)))
        return {
            "header": {"report_id": int(when), "version": "1.0"},
            "metrics": {
                "listening_tcp_ports": {"ports": [{"port": each} for each in ports], "total": len(ports)},
                "listening_udp_ports": {"ports": [{"port": 68}], "total": 1},
                "network_stats": {
                    "bytes_in": 3 * sent, "bytes_out": sent, "packets_in": sent // 200, "packets_out": sent // 300,
                },
                "tcp_connections": {
                    "established_connections": {"connections": connections, "total": len(connections)}
                },
            },
            "custom_metrics": {"cpu_usage": [{"number": round(cpu, 1)}]},
        }  # fmt: skip

    def reports(self, start: float, end: float) -> Iterator[tuple[str, float]]:
        """Yield who reports and when, in order of time."""
        steps, things = int((end - start) / INTERVAL), len(self.names)
        one_in = max(1, things // WATCHED)
        for step in range(steps):
            base = end - (steps - step) * INTERVAL
            is_last_day = base >= end - DAY
            for place, name in enumerate(self.names):
                when = base + INTERVAL * place / things
                due = is_last_day or place % one_in == 0 or (step + place) % PARTS_OF_AN_HOUR == 0
                if due and when < self.silent_from.get(name, math.inf):
                    yield name, when

    def _is_one_of(self, many: int, things: int) -> bool:
        return self.chance.random() < max(1 / many, min(2, things / 2) / things)

    def _open_a_port(self, end: float, length: float) -> Incident:
        start = end - self.chance.uniform(0.05, 0.6) * min(length, 4 * DAY)
        lasts = self.chance.choice([HOUR, math.inf, math.inf])
        return Incident(start, start + lasts, self.chance.choice(BACKDOORS))


def make_history(directory: Path, things: int, days: float, now: float) -> int:
    """Fill a state directory with what so many days brought, and return how many reports that were."""
    profiles = (
        read_profile(PROFILES / "examples" / "network-baseline.json"),
        read_profile(PROFILES / "cpu-usage.json"),
    )
    detector, count = Detector(Rules([Attachment(profile) for profile in profiles])), 0
    fleet = Fleet(things, now - days * DAY, now)
    with Store(directory, interval=3600, clock=lambda: now) as store:
        for name, when in fleet.reports(now - days * DAY, now):
            finding = detector.observe(name, msgspec.convert(fleet.report(name, when), Report), when)
            if finding is None:
                raise AssertionError("the detector has room for every thing")
            store.add(name, when, finding.values, finding.events, finding.state, int(when), finding.lasting)
            count += 1
            if count % 20_000 == 0:
                store.flush()
        store.flush()
    return count


def main() -> None:
    """Make a history in a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--things", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=14.0)
    options = parser.parse_args()
    started = time.monotonic()
    number = make_history(options.directory, options.things, options.days, time.time())
    print(f"{number} reports in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
