"""A fleet's reports, made up and always the same: records as the rule of AWS IoT hands them on, in the order of time.

Each thing reports every 301 s, at a moment of its own. One in thirty begins to do what its profile does not call
normal, and goes on for some reports. After a gap of over two days 2 % stay silent for good, all of them in alarm.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN = 1_790_000_000.0  # seconds since the epoch
INTERVAL, SPREAD = 301.0, 290.0  # seconds between a thing's reports, and over which the fleet spreads them
GAP = 2 * 86400 + 7200.0  # seconds before the last two reports of each
ODD, BACK, SILENT = 0.03, 0.35, 0.02  # how probable it is to begin with what is not normal, to end, to be silent
PORTS, UDP = (22, 80, 443, 8883, 9100), (68, 123, 5353)
HOSTS = (*(f"10.0.{each}.7" for each in range(6)), *(f"203.0.113.{each}" for each in range(4)))
PRIVATE = ["10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "203.0.113.0/24"]
PORT, HOST, TRAFFIC, LOAD = 1, 2, 3, 4  # what is not normal


def make_profile(most_bytes: int = 50_000_000) -> dict[str, Any]:
    """Return a security profile of ten behaviors."""
    counts = (
        ("num-established", "aws:num-established-tcp-connections", 50, None),
        ("bytes-out-5-minutes", "aws:all-bytes-out", 10_000_000, 300),
        ("bytes-out-hour", "aws:all-bytes-out", most_bytes, 3600),
        ("bytes-in-hour", "aws:all-bytes-in", 500_000_000, 3600),
        ("packets-out-15-minutes", "aws:all-packets-out", 1_000_000, 900),
    )
    behaviors = [
        _make_behavior("tcp-ports", "aws:listening-tcp-ports", "in-port-set", {"ports": list(PORTS)}),
        _make_behavior("udp-ports", "aws:listening-udp-ports", "in-port-set", {"ports": [*UDP, 546]}),
        _make_behavior("destinations", "aws:destination-ip-addresses", "in-cidr-set", {"cidrs": PRIVATE}),
        *(_make_behavior(name, metric, "less-than-equals", {"count": most}, duration)
          for name, metric, most, duration in counts),
        _make_behavior("cpu-usage", "cpu_usage", "less-than-equals", {"number": 75}),
        _make_behavior("memory-free", "memory_free", "greater-than", {"number": 100}),
    ]  # fmt: skip
    return {"securityProfileName": "fleet", "behaviors": behaviors}


def make_percentile_profile() -> dict[str, Any]:
    """Return a security profile of one behavior, which compares each thing with all."""
    criteria = {
        "comparisonOperator": "less-than-equals",
        "durationSeconds": 300,
        "statisticalThreshold": {"statistic": "p99"},
    }
    behavior = {"name": "packets-in", "metric": "aws:all-packets-in", "criteria": criteria}
    return {"securityProfileName": "percentile", "behaviors": [behavior]}


def make_document(*profiles: dict[str, Any], since: float = 0.0) -> str:
    """Return a rules document, for all things."""
    attachments = [{"profile": profile, "targets": ["all"]} for profile in profiles]
    return json.dumps({"attachments": attachments, "since": since})


def make_records(things: int, rounds: int, seed: int = 5) -> Iterator[str]:
    """Yield the records of a fleet in the order of their times, each a line of JSON."""
    chance = random.Random(seed)  # noqa: S311 - the same at each run
    phase = sorted(chance.random() * SPREAD for _ in range(things))
    silent = {number for number in range(things) if chance.random() < SILENT}
    odd = [0] * things
    for turn in range(rounds):
        is_after = turn >= rounds - 2
        for number in range(things):
            odd[number] = _next_oddity(odd[number], chance)
            if number in silent and is_after:
                continue
            if number in silent and turn == rounds - 3:
                odd[number] = PORT
            time = BEGIN + turn * INTERVAL + phase[number] + is_after * GAP
            report = _make_report(int(time), odd[number], chance)
            yield make_record(f"thing-{number:07d}", time, json.dumps(report).encode())


def make_record(thing: str, time: float, payload: bytes) -> str:
    """Return a record as the rule of AWS IoT hands it on."""
    encoded = base64.b64encode(payload).decode()
    return json.dumps({"payload": encoded, "thing": thing, "t": round(time * 1000)})


def write_records(path: Path, things: int, rounds: int) -> int:
    """Write a fleet's records into a file, and return how many there are."""
    number = 0
    with path.open("w") as file:
        for number, record in enumerate(make_records(things, rounds), 1):
            file.write(f"{record}\n")
    return number


def _next_oddity(odd: int, chance: random.Random) -> int:
    if odd:
        return 0 if chance.random() < BACK else odd
    return chance.choice((PORT, HOST, TRAFFIC, LOAD)) if chance.random() < ODD else 0


def _make_report(report_id: int, odd: int, chance: random.Random) -> dict[str, Any]:
    ports = [*PORTS, 4444] if odd == PORT else PORTS
    hosts = [*HOSTS, "198.51.100.9"] if odd == HOST else HOSTS
    connections = [
        {"remote_addr": f"{host}:{8883 + index}", "local_port": 40000 + index, "local_interface": "eth0"}
        for index, host in enumerate(hosts)
    ]
    sent = chance.randrange(20_000_000, 30_000_000) if odd == TRAFFIC else chance.randrange(10**6)
    return {
        "header": {"report_id": report_id, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {
                "ports": [{"port": port, "interface": "eth0"} for port in ports],
                "total": len(ports),
            },
            "listening_udp_ports": {"ports": [{"port": port} for port in UDP], "total": len(UDP)},
            "tcp_connections": {"established_connections": {"connections": connections, "total": len(connections)}},
            "network_stats": {
                "bytes_in": chance.randrange(10**6),
                "bytes_out": sent,
                "packets_in": chance.randrange(10**4),
                "packets_out": chance.randrange(10**4),
            },
        },
        "custom_metrics": {
            "cpu_usage": [{"number": 99.5 if odd == LOAD else chance.randrange(70)}],
            "memory_free": [{"number": 512.5}],
        },
    }


def _make_behavior(
    name: str, metric: str, comparison: str, value: dict[str, Any], duration: int | None = None
) -> dict[str, Any]:
    criteria = {"comparisonOperator": comparison, "value": value, **({"durationSeconds": duration} if duration else {})}
    return {"name": name, "metric": metric, "criteria": criteria}
