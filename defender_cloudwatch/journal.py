"""The journal: reads systemd's log from a cursor on, with the journal's own times."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import msgspec

from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.errors import CloudWatchError
from defender_cloudwatch.lines import as_text
from defender_daemon.text import valid

PATIENCE = 30.0  # seconds for journalctl
MOST_LINES = 5_000  # that are read at a time
MOST_BYTES = 2 << 20  # that are read at a time, and one entry more
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
    command = ["journalctl", "--all", "--output=json", f"--output-fields={FIELDS}", "--no-pager", "--quiet"]
    command += [f"--unit={unit}" for unit in units]
    # --all: or a message above 4 KB would come as nothing
    # without a cursor the last entry says where "now" is; nothing of it is sent
    command += ["--lines=1"] if cursor is None else [f"--after-cursor={cursor}"]
    found = list(_entries(_run(command, most)))
    if not found:
        return None
    events = [] if cursor is None else [event for _, event in found if event.message]
    return Entries(events, found[-1][0])


def _run(command: list[str], most: int) -> list[bytes]:
    """Return the first lines that a command prints; it is ended when these are enough, or when it takes too long."""
    import subprocess  # here, because whoever sends no journal does without

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
        lines, is_all = _some_lines(process.stdout, most)
        if not is_all:
            process.kill()
        said = process.stderr.read(LARGEST_COMPLAINT) if is_all and process.stderr else b""
        process.wait()
        timer.cancel()
    if process.returncode and not lines:
        raise JournalError(_explain(process.returncode, said))
    return lines


def _some_lines(stream: IO[bytes], most: int) -> tuple[list[bytes], bool]:
    """Return the first lines of a stream, and whether these are all."""
    lines: list[bytes] = []
    size = 0
    while len(lines) < most and size < MOST_BYTES:
        line = stream.readline(LONGEST_LINE)
        if not line:
            return lines, True
        lines.append(line)
        size += len(line)
    return lines, False


def _explain(status: int, said: bytes) -> str:
    if status < 0:
        return f"journalctl did not answer within {PATIENCE:.0f} s"
    words = said.decode("utf-8", "replace").strip().splitlines()
    return f"journalctl failed: {words[-1] if words else f'exit status {status}'}"


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[str, LogEvent]]:
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=dict[str, Any])
            time = int(entry["__REALTIME_TIMESTAMP"]) // 1000
            yield str(entry["__CURSOR"]), LogEvent(time, _text(entry))
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            continue  # no entry, or one of more than LONGEST_LINE


def _text(entry: dict[str, Any]) -> str:
    """Return an entry as `journalctl -o short` shows it, without the time and the host."""
    message, name, pid = (_value(entry.get(field)) for field in ("MESSAGE", "SYSLOG_IDENTIFIER", "_PID"))
    pid = f"[{pid}]" if pid else ""
    return f"{name}{pid}: {message}" if name and message else message


def _value(found: Any) -> str:
    """Return a field's text: what is not UTF-8 comes as a list of bytes, and what an entry has twice as one of both."""
    if isinstance(found, list):
        if all(isinstance(each, int) for each in found):
            return as_text(bytes(found))
        return " ".join(map(_value, found))
    return "" if found is None else valid(str(found)).replace("\0", "\\x00")
