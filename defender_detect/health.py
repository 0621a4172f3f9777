"""Detect's health: what its status file, its lock, what it keeps and its certificates together say."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from defender_daemon import files
from defender_daemon.certificate import validity
from defender_daemon.dates import date_text
from defender_daemon.errors import Problem
from defender_daemon.health import (
    HEALTHY,
    LATE,
    NOT_RUNNING,
    configuration_lines,
    error_line,
    first_line,
    is_running,
    problem_lines,
    span,
)
from defender_daemon.rungs import DAY
from defender_daemon.text import printable
from defender_detect.arguments import PROGRAM
from defender_detect.config import Config
from defender_detect.errors import DetectError
from defender_detect.metrics import FORGOTTEN_AFTER
from defender_detect.receive.endpoint import Endpoint
from defender_detect.status import LOOKED_EVERY, Status, config_hash, read_status
from defender_detect.store.schema import DATABASE
from defender_detect.store.store import LOCK_FILE
from defender_detect.store.summaries import Summaries

DOCTOR = f"{PROGRAM} doctor"
PATIENCE = 2  # intervals in which no thing at all reported, after which something is wrong
SHORTEST_INTERVAL = 300.0  # seconds; AWS's between two reports of a thing
SILENT_AFTER = 3  # intervals without a report, after which a thing is called silent
HANGS_AFTER = 4 * LOOKED_EVERY  # seconds without a look of the main loop
MOST_NAMED = 5  # silent things


class LastReport(msgspec.Struct, frozen=True):
    """The last report of all, and when it came (seconds since the epoch)."""

    thing: str
    report_id: int | None
    time: float


class Kept(NamedTuple):
    """What the store says: things that reported within two days, those that are silent, and how many alarms are on."""

    things: int
    silent: list[str]
    last: LastReport | None
    alarms: int


class Certificates(msgspec.Struct, frozen=True):
    """Until when the certificates of Detect and of its authority are valid (seconds since the epoch)."""

    detect: float | None
    authority: float | None


class Health(msgspec.Struct, frozen=True):
    """Whether Detect does its work: "healthy", "late" (not connected, or nobody reports any more) or "not running".

    `silent` are things that reported within two days and not for three intervals, the longest silent first; `problem`
    is what keeps Detect from its work, as far as one can see from here. Sizes are in bytes.
    """

    health: str
    state_directory: str
    config_changed: bool
    status: Status | None
    things: int
    silent: list[str]
    last_report: LastReport | None
    alarms: int
    certificates: Certificates
    kept: int
    free: int
    problem: Problem | None = None


def examine(config: Config, now: float | None = None) -> Health:
    """Return the health of the Detect that runs with a configuration; raises DetectError or StatusError."""
    now = time.time() if now is None else now
    if config.agent.state_directory is None:
        raise DetectError("agent.state_directory is missing, without which nobody can see Detect's health")
    directory = Path(config.agent.state_directory)
    status, running = read_status(directory), is_running(directory / LOCK_FILE)
    interval = max(config.agent.minimum_interval, SHORTEST_INTERVAL)
    kept = _read_kept(directory, now, SILENT_AFTER * interval)
    in_time = not kept.things or (kept.last is not None and now - kept.last.time <= PATIENCE * interval)
    health = NOT_RUNNING if not running else HEALTHY if in_time and _is_well(status, now) else LATE
    return Health(
        health, str(directory), status is not None and status.config_hash != config_hash(config), status,
        kept.things, kept.silent, kept.last, kept.alarms, certificates_of(config), *_sizes(directory),
        files.writing_problem(str(directory)),
    )  # fmt: skip


def describe(health: Health, config: Config) -> Iterator[str]:
    """Yield the lines that tell a person of Detect's health."""
    status, now, alive = health.status, time.time(), health.health != NOT_RUNNING
    if status is None:
        yield f"{health.health}: no Detect has written a status into {health.state_directory}"
        yield from problem_lines(health.health, health.problem, DOCTOR)
        return
    doctor = f"{DOCTOR} {shlex.quote(status.config_file)}" if status.config_file else DOCTOR
    yield first_line(health.health, f"{PROGRAM} {status.version}", status)
    if alive:
        yield f"broker         {_broker(status, now)}"
    yield f"last report    {_last_report(health, now)}"
    yield f"things         {_things(health, config)}"
    yield f"alarms         {health.alarms or 'none'} {'are' if health.alarms != 1 else 'is'} on"
    yield f"alerts         {_waiting(status)}"
    yield f"profiles       {status.profiles} with {counted(status.behaviors, 'behavior')}"
    yield f"certificates   {_certificates(health.certificates, now)}"
    yield f"disk           {megabytes(health.kept)} kept in {health.state_directory}, {megabytes(health.free)} free"
    yield error_line(status.last_error)
    yield from problem_lines(health.health, health.problem, doctor)
    yield from configuration_lines(status, alive and health.config_changed)


def as_json(found: Sequence[Health], asked: int) -> list[str]:
    """Return the lines of the health as one JSON object, where several Detects were asked about as an array of them."""
    encoded = msgspec.json.encode(found[0] if asked == 1 else found)
    return msgspec.json.format(encoded).decode().splitlines()


def certificates_of(config: Config) -> Certificates:
    """Return until when the configuration's certificates are valid."""

    def end(path: str | None) -> float | None:
        found = validity(path) if path is not None else None
        return None if found is None else found[1]

    return Certificates(end(config.agent.authentication.certificate), end(config.agent.authentication.root_ca))


def named(things: list[str]) -> str:
    """Return the names of a few things, and how many there are besides."""
    more = len(things) - MOST_NAMED
    return ", ".join(map(printable, things[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """Return how many there are of something."""
    return f"{number} {noun}{'s'[: number != 1]}"


def megabytes(size: int) -> str:
    """Return a size in the unit that people have a feeling for."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _is_well(status: Status | None, now: float) -> bool:
    return status is not None and status.connection.connected and now - status.looked < HANGS_AFTER


def _read_kept(directory: Path, now: float, silent_after: float) -> Kept:
    if not (directory / DATABASE).exists():
        return Kept(0, [], None, 0)
    reader, forgotten = Summaries(directory), now - FORGOTTEN_AFTER
    counts, last = reader.count(math.nextafter(forgotten, math.inf)), reader.last_report()
    newest = None if last is None else LastReport(*last)
    silent = reader.silent(forgotten, now - silent_after)
    return Kept(counts.things - counts.silent, silent, newest, sum(reader.alarmed().values()))


def _sizes(directory: Path) -> tuple[int, int]:
    """Return how much is kept, and how much more the disk has room for."""
    kept = sum(each.stat().st_size for each in directory.glob("*") if each.is_file()) if directory.is_dir() else 0
    return kept, shutil.disk_usage(files.existing(directory)).free


def _broker(status: Status, now: float) -> str:
    connection = status.connection
    which = "the built-in one on" if connection.built_in else "that of"
    state = "heard" if connection.connected else "NOT heard"
    return f"{which} {Endpoint(connection.host, connection.port)}, {state} for {span(now - connection.since)}"


def _last_report(health: Health, now: float) -> str:
    report = health.last_report
    return "none yet" if report is None else f"of {printable(report.thing)}, {span(now - report.time)} ago"


def _things(health: Health, config: Config) -> str:
    interval = max(config.agent.minimum_interval, SHORTEST_INTERVAL)
    silent = f"; silent for over {SILENT_AFTER * interval / 60:.0f} minutes: {named(health.silent)}"
    return f"{health.things} reported within two days" + (silent if health.silent else "")


def _waiting(status: Status) -> str:
    waiting = [f"{number} for {name}" for name, number in status.waiting.items()]
    return f"waiting: {', '.join(waiting)}" if waiting else "none waits"


def _certificates(certificates: Certificates, now: float) -> str:
    ends = {"Detect's": certificates.detect, "the authority's": certificates.authority}
    known = [f"{whose} {_left(end, now)}" for whose, end in ends.items() if end is not None]
    return ", ".join(known) or "not known"


def _left(end: float, now: float) -> str:
    return f"for {int((end - now) // DAY)} days more" if end > now else f"ended on {date_text(end)[:10]}"
