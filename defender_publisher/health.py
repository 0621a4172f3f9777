"""The publisher's health: what the status file and the daemon's lock together say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from defender_daemon import files
from defender_daemon.certificate import AS_OWNER
from defender_daemon.health import (
    HEALTHY,
    LATE,
    NOT_RUNNING,
    PATIENCE,
    configuration_lines,
    error_line,
    first_line,
    is_alive,
    is_running,
    problem_lines,
    span,
)
from defender_publisher.credentials import file_problems, missing_identity
from defender_publisher.endpoint import service_at
from defender_publisher.errors import Problem
from defender_publisher.settings import Settings
from defender_publisher.state import LOCK_FILE
from defender_publisher.status import LastAccepted, Status, config_hash, read_status
from defender_publisher.transports import method_of

DOCTOR = "amazon-defender-publisher doctor"
PATIENCE_AFTER_PROOF = 3  # since one that came too soon after the start, after which two intervals are waited
POLL = 0.25  # seconds between two looks at the status, while somebody waits for a verdict


class Health(msgspec.Struct, frozen=True):
    """Whether the daemon does its work: "healthy", "late" (no report was accepted for two intervals) or "not running".

    `accepted_ago` is in seconds, None if no report was ever accepted; `config_changed` says whether the configuration
    is another one now than the daemon's; `status` is None if there never was a daemon that wrote one. `service` is who
    accepts the reports, and `problem` what keeps a daemon from running, or from keeping its state, as far as one can
    see from here.
    """

    health: str
    accepted_ago: float | None
    config_changed: bool
    state_directory: str
    status: Status | None
    service: str = ""
    problem: Problem | None = None

    @property
    def connected(self) -> bool:
        """Whether the daemon says that it has a connection."""
        return self.status is not None and self.status.connection.connected


def examine(settings: Settings) -> Health:
    """Return the health of the daemon with these settings' state directory; raises StatusError if it is unreadable."""
    directory = str(settings.agent.state_directory)
    status = read_status(directory)
    running = is_running(Path(directory) / LOCK_FILE)
    ago = _accepted_ago(status, running) if status is not None else None
    changed = status is not None and status.config_hash != config_hash(settings)
    health = NOT_RUNNING if not running else HEALTHY if status is not None and _is_in_time(status, ago) else LATE
    service = service_at(method_of(settings.agent.authentication).link(settings).host)
    return Health(health, ago, changed, directory, status, service, _problem(settings, running))


def wait_for_verdict(settings: Settings, seconds: float) -> Health:
    """Return the health once the running daemon's first report has a verdict, or what it is after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found = examine(settings)
        if _has_verdict(found) or time.monotonic() >= deadline:
            return found
        time.sleep(POLL)


def _has_verdict(health: Health) -> bool:
    status = health.status
    if health.health == NOT_RUNNING or status is None or status.last_report is None:
        return False
    return status.last_report.time >= status.since and is_alive(status.pid)


def _is_in_time(status: Status, accepted_ago: float | None) -> bool:
    proven = status.proven
    if proven is not None and _seconds_since(proven) <= PATIENCE_AFTER_PROOF * status.interval:
        return True
    return accepted_ago is not None and accepted_ago <= PATIENCE * status.interval


def _problem(settings: Settings, running: bool) -> Problem | None:
    """Return the first thing that keeps a daemon from running, or one that runs from writing what it knows."""
    to_come = None if running else missing_identity(settings.agent, settings.path)
    if to_come is not None:
        return to_come
    missing = [] if running else file_problems(settings.agent.authentication)
    found = next((each for each in missing if each.advice != AS_OWNER), None)  # whoever asks may have fewer rights
    return found or files.writing_problem(str(settings.agent.state_directory))


def describe(health: Health) -> Iterator[str]:
    """Yield the lines that tell a person how the daemon does."""
    status = health.status
    if status is None:
        yield f"{health.health}: no daemon has written a status into {health.state_directory}"
        yield from problem_lines(health.health, health.problem, DOCTOR)
        return
    now = time.time()
    alive = health.health != NOT_RUNNING
    state = health.health if health.connected or not alive else f"{health.health}, not connected"
    yield first_line(state, f"amazon-defender-publisher {status.version} for {status.thing_name}", status)
    if alive:
        yield f"connection     {_connection(status, now)}"
    yield f"last report    {_last_report(status, now)}"
    yield f"last accepted  {_last_accepted(health)}"
    if alive:
        yield f"next report    {_next_report(status, now)}"
    counts = status.counts
    yield (
        f"reports        {counts.accepted} accepted, {counts.rejected} rejected, {counts.failed} failed; "
        f"{counts.reconnects} reconnects"
    )
    yield error_line(status.last_error)
    yield from problem_lines(health.health, health.problem, DOCTOR)
    yield from configuration_lines(status, alive and health.config_changed)


def _last_accepted(health: Health) -> str:
    assert health.status is not None
    if health.accepted_ago is not None:
        return f"{span(health.accepted_ago)} ago, by {health.service}"
    if health.status.proven is not None:
        return "none yet; the last one came too soon after one from before the start, which proves the connection"
    return "none yet"


def _connection(status: Status, now: float) -> str:
    connection = status.connection
    state = "to" if connection.connected else "NONE to"
    port = f":{connection.port}" if connection.port else ""
    return f"{state} {connection.host}{port} for {span(now - connection.since)}"


def _last_report(status: Status, now: float) -> str:
    report = status.last_report
    if report is None:
        return "none since the start"
    after = f" after {report.seconds:.3f} s" if report.seconds is not None else ""
    return f"{report.report_id} {report.verdict}{after}, {span(now - report.time)} ago"


def _next_report(status: Status, now: float) -> str:
    if status.next_report is None:
        return "as soon as there is a connection"
    return f"in {span(status.next_report - now)}"


def _accepted_ago(status: Status, running: bool) -> float | None:
    """Return the seconds since the last accepted report, by the clock that nobody sets where that can be done."""
    accepted = status.last_accepted
    if accepted is None:
        return None
    if running:
        return _seconds_since(accepted)
    return max(time.time() - accepted.time, 0.0)


def _seconds_since(report: LastAccepted) -> float:
    if report.monotonic is not None:
        return max(time.monotonic() - report.monotonic, 0.0)
    return max(time.time() - report.time, 0.0)
