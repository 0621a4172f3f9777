"""The status as metrics, in a file that Prometheus's node_exporter collects (`--collector.textfile.directory`).

So no port is opened. The format is Prometheus's text format, 0.0.4.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from defender_daemon import files
from defender_publisher.status import Status

PREFIX = "amazon_defender_publisher"
MODE = 0o644  # node_exporter is another user
OUTCOMES = ("accepted", "rejected", "failed")

log = logging.getLogger(__name__)


class TextFile:
    """Writes the metrics of a status, whole or not at all; that it cannot be written is said once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = b""
        self._failed = False

    def write(self, status: Status) -> None:
        """Replace the file, if anything changed."""
        content = "".join(f"{line}\n" for line in make_lines(status)).encode()
        if content == self._written:
            return
        try:
            files.replace(self._path, content, mode=MODE)
        except OSError as error:
            if not self._failed:
                log.warning("agent.textfile: %s cannot be written: %s", self._path, error.strerror)
            self._failed = True
            return
        self._written, self._failed = content, False


def make_lines(status: Status) -> Iterator[str]:
    """Yield the lines; what is not known, such as the time of a report that has not been, has none."""
    thing = f'thing="{escaped(status.thing_name)}"'
    yield from _heading("info", "gauge", "The publisher that runs, 1.")
    yield f'{PREFIX}_info{{{thing},version="{escaped(status.version)}"}} 1'
    yield from _heading("start_time_seconds", "gauge", "When it was started.")
    yield f"{PREFIX}_start_time_seconds{{{thing}}} {status.since:.0f}"
    yield from _heading("connected", "gauge", "Whether there is a connection to the broker.")
    yield f"{PREFIX}_connected{{{thing}}} {int(status.connection.connected)}"
    yield from _heading("interval_seconds", "gauge", "How often it reports.")
    yield f"{PREFIX}_interval_seconds{{{thing}}} {status.interval}"
    yield from _heading("reports_total", "counter", "Reports since the start, by what became of them.")
    for outcome in OUTCOMES:
        yield f'{PREFIX}_reports_total{{{thing},outcome="{outcome}"}} {getattr(status.counts, outcome)}'
    yield from _heading("reconnects_total", "counter", "How often the connection was made again.")
    yield f"{PREFIX}_reconnects_total{{{thing}}} {status.counts.reconnects}"
    if status.last_accepted is not None:
        yield from _heading("last_accepted_time_seconds", "gauge", "When a report was last accepted.")
        yield f"{PREFIX}_last_accepted_time_seconds{{{thing}}} {status.last_accepted.time:.0f}"


def escaped(text: str) -> str:
    """Return a text as a label's value."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _heading(name: str, kind: str, says: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {says}"
    yield f"# TYPE {PREFIX}_{name} {kind}"
