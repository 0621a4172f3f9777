"""The journal: reads systemd's log from a cursor on, with the journal's own times."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.errors import CloudWatchError

PATIENCE = 30.0  # seconds for journalctl
MOST_LINES = 5_000  # that are read at a time
FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_PID,PRIORITY"
LONGEST_LINE = 4 << 20  # bytes of an entry; the journal takes messages of 768 KB, and a byte becomes up to five
LARGEST_COMPLAINT = 4_096  # bytes


class JournalError(CloudWatchError):
    """The journal cannot be read; says why."""


class Entries(NamedTuple):
    """Entries of the journal as events, and the cursor after them."""

    events: list[LogEvent]
    cursor: str


def read(cursor: str | None, units: Sequence[str] = (), most: int = MOST_LINES) -> Entries | None:
    """Return at most so many entries after a cursor, or None where there are none; without a cursor those from now on.

    Raises JournalError.
    """
    command = ["journalctl", "--output=json", f"--output-fields={FIELDS}", "--no-pager", "--quiet"]
    command += [f"--unit={unit}" for unit in units]
    # without a cursor the last entry says where "now" is; nothing of it is sent
    command += ["--lines=1"] if cursor is None else [f"--after-cursor={cursor}"]
    found = list(_entries(_run(command, most)))
    if not found:
        return None
    events = [] if cursor is None else [event for _, event in found]
    return Entries(events, found[-1][0])


def _run(command: list[str], most: int) -> list[bytes]:
    """Return the first lines that a command prints; it is ended when these are enough, or when it takes too long."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise JournalError("journalctl is not installed: leave logs.logs_collected.journal out") from error
    except OSError as error:
        raise JournalError(f"journalctl cannot be run: {error.strerror}") from error
    with process:
        timer = threading.Timer(PATIENCE, process.kill)
        timer.daemon = True
        timer.start()
        assert process.stdout is not None
        lines = list(itertools.islice(iter(partial(process.stdout.readline, LONGEST_LINE), b""), most))
        if len(lines) == most:
            process.kill()
            return lines
        said = process.stderr.read(LARGEST_COMPLAINT) if process.stderr else b""
        timer.cancel()
    if process.returncode and not lines:
        words = said.decode("utf-8", "replace").strip().splitlines()
        raise JournalError(f"journalctl failed: {words[-1] if words else f'exit status {process.returncode}'}")
    return lines


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[str, LogEvent]]:
    for line in lines:
        try:
            entry = json.loads(line)
            time = int(entry["__REALTIME_TIMESTAMP"]) // 1000
            yield str(entry["__CURSOR"]), LogEvent(time, _text(entry))
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut; its entry comes again after the last good cursor


def _text(entry: dict[str, Any]) -> str:
    """Return an entry as `journalctl -o short` shows it, without the time and the host."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):  # what is not UTF-8 comes as its bytes
        message = bytes(message).decode("utf-8", "backslashreplace")
    name = entry.get("SYSLOG_IDENTIFIER")
    pid = f"[{entry['_PID']}]" if entry.get("_PID") else ""
    return f"{name}{pid}: {message or ''}" if name else str(message or "")
