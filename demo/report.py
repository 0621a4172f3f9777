"""A report, as the demo shows it and as it records it for a replay."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from demo.programs import say

SHOWN = 20  # entries of a list in the report that is shown


def show_report(report: dict[str, Any]) -> None:
    """Print what a report holds, so that it can be compared with what `ss -tuan` shows."""
    metrics = report["metrics"]
    connections = metrics["tcp_connections"]["established_connections"]
    say(f"that report, {report['header']['report_id']}, held (compare with `ss -tuan`):")
    for block in ("listening_tcp_ports", "listening_udp_ports"):
        ports = [f"{each['port']} on {each.get('interface', '?')}" for each in metrics[block]["ports"]]
        say(f"  {block}: {shortened(ports)}")
    remote = [f"{each.get('local_port')} to {each['remote_addr']}" for each in connections["connections"]]
    say(f"  tcp_connections: {shortened(remote)}")
    say(f"  network_stats: {metrics.get('network_stats')}")
    say(f"  custom_metrics: {report.get('custom_metrics')}")


def shortened(entries: list[str]) -> str:
    """Return a list's first entries on one line."""
    more = f", and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return (", ".join(entries[:SHOWN]) or "none") + more


def record_report(path: Path, thing: str, report: dict[str, Any]) -> None:
    """Append a report to a file that `amazon-defender-detect --replay` reads."""
    with path.open("a") as file:
        file.write(json.dumps({"thingName": thing, "timestamp": round(time.time() * 1000), "report": report}) + "\n")
