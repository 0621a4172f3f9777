"""The health: whether metrics and logs go where they should, from the status file and the daemon's lock."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from defender_cloudwatch.config import Settings
from defender_cloudwatch.service import LOCK
from defender_cloudwatch.status import WRITTEN_AGAIN_AFTER, Channel, Status, config_hash, read_status
from defender_daemon import files
from defender_daemon.certificate import AS_OWNER, file_problems
from defender_daemon.errors import Problem
from defender_daemon.health import (
    HEALTHY,
    LATE,
    NOT_RUNNING,
    PATIENCE,
    configuration_lines,
    error_line,
    first_line,
    is_running,
    problem_lines,
    span,
)

DOCTOR = "amazon-defender-cloudwatch doctor"


class Health(msgspec.Struct, frozen=True):
    """Whether the daemon does its work: "healthy", "late" (metrics or logs failed for two intervals) or "not running".

    `metrics_ago` and `logs_ago` are seconds since a turn worked, None if none did or there are none to send. The
    others are as in the publisher's health.
    """

    health: str
    metrics_ago: float | None
    logs_ago: float | None
    config_changed: bool
    state_directory: str
    status: Status | None
    problem: Problem | None = None


def examine(settings: Settings) -> Health:
    """Return the health of the daemon with these settings' state directory; raises StatusError if it is unreadable."""
    directory = settings.state_directory
    status = read_status(directory)
    running = is_running(directory / LOCK)
    channels = [] if status is None else [each for each in (status.metrics, status.logs) if each is not None]
    in_time = status is not None and all(_is_in_time(each) for each in channels)
    return Health(
        health=NOT_RUNNING if not running else HEALTHY if in_time else LATE,
        metrics_ago=_ago(status.metrics, running) if status is not None else None,
        logs_ago=_ago(status.logs, running) if status is not None else None,
        config_changed=status is not None and status.config_hash != config_hash(settings),
        state_directory=str(directory),
        status=status,
        problem=_problem(settings, running),
    )


def describe(health: Health) -> Iterator[str]:
    """Yield the lines that tell a person how the daemon does."""
    status = health.status
    if status is None:
        yield f"{health.health}: no daemon has written a status into {health.state_directory}"
        yield from problem_lines(health.health, health.problem, DOCTOR)
        return
    yield first_line(health.health, f"amazon-defender-cloudwatch {status.version} for {status.thing_name}", status)
    yield f"metrics        {_channel(status.metrics, health.metrics_ago, 'values')}"
    followed = f"; {status.sources} followed" if status.sources is not None else ""
    yield f"logs           {_channel(status.logs, health.logs_ago, 'events')}{followed}"
    yield error_line(status.last_error)
    yield from problem_lines(health.health, health.problem, DOCTOR)
    yield from configuration_lines(status, health.health != NOT_RUNNING and health.config_changed)


def _channel(channel: Channel | None, ago: float | None, unit: str) -> str:
    if channel is None:
        return "none are configured"
    last = "never worked" if ago is None else f"worked {span(ago)} ago"
    rejected = f", {channel.rejected} rejected" if channel.rejected else ""
    return f"{last}, every {channel.interval} s; {channel.sent} {unit} sent{rejected}; {channel.failed} turns failed"


def _is_in_time(channel: Channel) -> bool:
    ago = _ago(channel, running=True)
    return ago is not None and ago <= PATIENCE * max(float(channel.interval), WRITTEN_AGAIN_AFTER)


def _ago(channel: Channel | None, running: bool) -> float | None:
    """Return the seconds since a turn worked, by the clock that nobody sets where that can be done."""
    if channel is None or channel.worked is None or channel.monotonic is None:
        return None
    if running:
        return max(time.monotonic() - channel.monotonic, 0.0)
    return max(time.time() - channel.worked, 0.0)


def _problem(settings: Settings, running: bool) -> Problem | None:
    """Return the first thing that keeps a daemon from running, or one that runs from writing what it knows."""
    missing = [] if running else list(device_files(settings))
    found = next((each for each in missing if each.advice != AS_OWNER), None)  # whoever asks may have fewer rights
    return found or files.writing_problem(str(settings.state_directory))


def device_files(settings: Settings) -> Iterator[Problem]:
    """Yield what keeps the certificate and its key from being read, where they are used."""
    authentication = settings.agent.authentication
    if authentication.credentials is None:
        return
    for key in ("certificate", "private_key"):
        path = getattr(authentication, key)
        if path:
            yield from file_problems(key, path)
