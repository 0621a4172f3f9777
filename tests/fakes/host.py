"""The /proc of a host with one interface, whose counters the test sets; and a component's configuration to see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from defender_publisher.snapshot import Counters

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
  eth0: {0.bytes_in} {0.packets_in} 0 0 0 0 0 0 {0.bytes_out} {0.packets_out} 0 0 0 0 0 0
"""  # noqa: E501 - as the kernel writes it
SHORT = {"bytes_in": "bi", "bytes_out": "bo", "packets_in": "pi", "packets_out": "po"}
COUNTERS_ONLY = dict.fromkeys(("listening_tcp_ports", "listening_udp_ports", "tcp_connections"), False)
ONE = {"one": {"type": "number", "command": ["echo", "1"]}}  # a first report has no growth, and must not be empty


class Host:
    """A host's /proc in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "proc"
        for each in ("net", "1/net", "sys/kernel/random"):
            (self.path / each).mkdir(parents=True)
        (self.path / "sys" / "kernel" / "random" / "boot_id").write_text("a0c5\n")
        self.count(Counters(1000, 500, 10, 5))

    @property
    def parameters(self) -> dict[str, Any]:
        """What configures a component to see this host, and nothing else of it."""
        return {"ProcDestinationPath": str(self.path), "metrics": COUNTERS_ONLY, "custom_metrics": ONE}

    def count(self, counters: Counters) -> None:
        """Let the interface have counted so much."""
        new = self.path / "new"
        new.write_text(DEV.format(counters))
        new.replace(self.path / "1" / "net" / "dev")


def growth_of(payload: bytes) -> Counters | None:
    """Return the growth that a report with short names holds, None if it holds none."""
    stats = json.loads(payload).get("met", {}).get("ns")
    return None if stats is None else Counters(**{long: stats[short] for long, short in SHORT.items()})
