"""The health: what the status file and the daemon's lock together say, for a person and for a program."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator

import msgspec

from defender_daemon import files
from defender_daemon.certificate import AS_OWNER
from defender_publisher.credentials import file_problems
from defender_publisher.endpoint import service_at
from defender_publisher.errors import Problem
from defender_publisher.settings import Settings
from defender_publisher.state import publisher_runs
from defender_publisher.status import LastAccepted, Status, StatusError, config_hash, read_status
from defender_publisher.transports import method_of

HEALTHY, LATE, NOT_RUNNING = "healthy", "late", "not running"
PATIENCE = 2  # intervals since the last accepted report, after which something is wrong
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
    try:
        running = publisher_runs(directory)
    except PermissionError as error:
        raise StatusError(f"the state directory {directory} cannot be looked into", "try it with sudo") from error
    except OSError as error:
        raise StatusError(f"the lock in {directory} cannot be read: {error.strerror}", "remove it") from error
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
    return status.last_report.time >= status.since and _lives(status.pid)


def _lives(pid: int) -> bool:
    """Whether a process is there: a daemon that has just been started has not yet written a status of its own."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_in_time(status: Status, accepted_ago: float | None) -> bool:
    proven = status.proven
    if proven is not None and _seconds_since(proven) <= PATIENCE_AFTER_PROOF * status.interval:
        return True
    return accepted_ago is not None and accepted_ago <= PATIENCE * status.interval


def _problem(settings: Settings, running: bool) -> Problem | None:
    """Return the first thing that keeps a daemon from running, or one that runs from writing what it knows."""
    missing = [] if running else file_problems(settings.agent.authentication)
    found = next((each for each in missing if each.advice != AS_OWNER), None)  # whoever asks may have fewer rights
    return found or files.writing_problem(str(settings.agent.state_directory))


def as_json(health: Health) -> list[str]:
    """Return the lines of the health as one JSON object, for a program."""
    return msgspec.json.format(msgspec.json.encode(health)).decode().splitlines()


def describe(health: Health) -> Iterator[str]:
    """Yield the lines that tell a person how the daemon does."""
    status = health.status
    if status is None:
        yield f"{health.health}: no daemon has written a status into {health.state_directory}"
        yield from _problem_lines(health)
        return
    now = time.time()
    alive = health.health != NOT_RUNNING
    yield _first_line(health, status, now)
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
    yield f"last error     {_last_error(status, now)}"
    yield from _problem_lines(health)
    yield f"configuration  {status.config_file or 'the command line'}"
    if alive and health.config_changed:
        yield f"               has changed since; kill -HUP {status.pid} lets the daemon read it again"


def _first_line(health: Health, status: Status, now: float) -> str:
    who = f"amazon-defender-publisher {status.version} for {status.thing_name}"
    if health.health == NOT_RUNNING:
        return f"not running: {who}; it was started {_span(now - status.since)} ago, and has ended"
    state = health.health if health.connected else f"{health.health}, not connected"
    return f"{state}: {who}, process {status.pid}, running for {_span(now - status.since)}"


def _problem_lines(health: Health) -> Iterator[str]:
    if health.problem is not None:
        yield f"problem        {health.problem.says}"
        yield f"               {health.problem.advice}"
    if health.problem is not None or health.health != HEALTHY:
        yield "next step      amazon-defender-publisher doctor"


def _last_accepted(health: Health) -> str:
    assert health.status is not None
    if health.accepted_ago is not None:
        return f"{_span(health.accepted_ago)} ago, by {health.service}"
    if health.status.proven is not None:
        return "none yet; the last one came too soon after one from before the start, which proves the connection"
    return "none yet"


def _connection(status: Status, now: float) -> str:
    connection = status.connection
    state = "to" if connection.connected else "NONE to"
    port = f":{connection.port}" if connection.port else ""
    return f"{state} {connection.host}{port} for {_span(now - connection.since)}"


def _last_report(status: Status, now: float) -> str:
    report = status.last_report
    if report is None:
        return "none since the start"
    after = f" after {report.seconds:.3f} s" if report.seconds is not None else ""
    return f"{report.report_id} {report.verdict}{after}, {_span(now - report.time)} ago"


def _next_report(status: Status, now: float) -> str:
    if status.next_report is None:
        return "as soon as there is a connection"
    return f"in {_span(status.next_report - now)}"


def _last_error(status: Status, now: float) -> str:
    error = status.last_error
    if error is None:
        return "none since the start"
    times = f" ({error.count} times)" if error.count > 1 else ""
    return f"{_span(now - error.time)} ago: {error.text}{times}"


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


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(max(seconds, 0.0))))
