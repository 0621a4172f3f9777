"""The health: what the status file and the daemon's lock together say, for a person and for a program."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import msgspec

from defender_publisher.settings import Settings
from defender_publisher.state import publisher_runs
from defender_publisher.status import Status, StatusError, config_hash, read_status

HEALTHY, LATE, NOT_RUNNING = "healthy", "late", "not running"
PATIENCE = 2  # intervals since the last accepted report, after which something is wrong


class Health(msgspec.Struct, frozen=True):
    """Whether the daemon does its work: "healthy", "late" (no report was accepted for two intervals) or "not running".

    `accepted_ago` is in seconds, None if no report was ever accepted; `config_changed` says whether the configuration
    is another one now than the daemon's; `status` is None if there never was a daemon that wrote one.
    """

    health: str
    accepted_ago: float | None
    config_changed: bool
    state_directory: str
    status: Status | None


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
    late = status is None or ago is None or ago > PATIENCE * status.interval
    return Health(NOT_RUNNING if not running else LATE if late else HEALTHY, ago, changed, directory, status)


def as_json(health: Health) -> list[str]:
    """Return the lines of the health as one JSON object, for a program."""
    return msgspec.json.format(msgspec.json.encode(health)).decode().splitlines()


def describe(health: Health) -> Iterator[str]:
    """Yield the lines that tell a person how the daemon does."""
    status = health.status
    if status is None:
        yield f"{health.health}: no daemon has written a status into {health.state_directory}"
        return
    now = time.time()
    alive = health.health != NOT_RUNNING
    yield _first_line(health, status, now)
    if alive:
        yield f"connection     {_connection(status, now)}"
    yield f"last report    {_last_report(status, now)}"
    yield f"last accepted  {_span(health.accepted_ago) + ' ago' if health.accepted_ago is not None else 'none yet'}"
    if alive:
        yield f"next report    {_next_report(status, now)}"
    counts = status.counts
    yield (
        f"reports        {counts.accepted} accepted, {counts.rejected} rejected, {counts.failed} failed; "
        f"{counts.reconnects} reconnects"
    )
    yield f"last error     {_last_error(status, now)}"
    yield f"configuration  {status.config_file or 'the command line'}"
    if alive and health.config_changed:
        yield f"               has changed since; kill -HUP {status.pid} lets the daemon read it again"


def _first_line(health: Health, status: Status, now: float) -> str:
    who = f"amazon-defender-publisher {status.version} for {status.thing_name}"
    if health.health == NOT_RUNNING:
        return f"not running: {who}; it was started {_span(now - status.since)} ago, and has ended"
    return f"{health.health}: {who}, process {status.pid}, running for {_span(now - status.since)}"


def _connection(status: Status, now: float) -> str:
    connection = status.connection
    state = "to" if connection.connected else "NONE to"
    return f"{state} {connection.host}:{connection.port} for {_span(now - connection.since)}"


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
    if running and accepted.monotonic is not None:
        return max(time.monotonic() - accepted.monotonic, 0.0)
    return max(time.time() - accepted.time, 0.0)


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(max(seconds, 0.0))))
