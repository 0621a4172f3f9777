"""The logs to send, as the configuration names them: files and the journal, with their groups, streams and lines."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from defender_cloudwatch.lines import MATCHED_LENGTH, Choice, Pattern
from defender_cloudwatch.probe import worst_line
from defender_daemon.collected import Journal, LogFile, Logs, LogsCollected
from device_defender.cloudwatch import BRACES, GROUP, RETENTIONS, STREAM, fill_in
from device_defender.wording import did_you_mean, shown

SHOWN = 20  # characters of a line
UNIT = re.compile(r"[\w@:.\\*?\[\]-]+", re.ASCII)


class FileEntry(NamedTuple):
    """An entry of the list of files: what is followed, where it goes, and which lines."""

    pattern: str
    group: str
    stream: str | None
    choice: Choice
    start: Pattern | None
    from_start: bool


class JournalEntry(NamedTuple):
    """The journal: which units, where it goes, and which entries."""

    units: Sequence[str]
    group: str
    stream: str
    choice: Choice


def journal_of(collected: LogsCollected) -> Journal | None:
    """Return how the journal is sent, None if it is not."""
    given = collected.journal if isinstance(collected.journal, Journal) else Journal(collect=collected.journal)
    return given if given.collect else None


def file_entries(logs: Logs, thing_name: str) -> list[FileEntry]:
    """Return the entries of the list of files, with this device's names in groups and streams."""
    return [
        FileEntry(
            pattern=each.file_path,
            group=_filled(each.log_group_name or logs.log_group_name, thing_name),
            stream=None if each.log_stream_name is None else _filled(each.log_stream_name, thing_name),
            choice=_choice(each),
            start=re.compile(each.multi_line_start_pattern) if each.multi_line_start_pattern is not None else None,
            from_start=each.begin == "start",
        )
        for each in logs.logs_collected.files.collect_list
    ]


def journal_entry(logs: Logs, thing_name: str) -> JournalEntry | None:
    """Return the journal's entry, None if it is not sent."""
    found = journal_of(logs.logs_collected)
    if found is None:
        return None
    group = _filled(found.log_group_name or logs.log_group_name, thing_name)
    return JournalEntry(found.units, group, _filled(found.log_stream_name, thing_name), _choice(found))


def log_problems(logs: Logs, thing_name: str, own: str | None) -> Iterator[str]:
    """Yield what is wrong with the logs to send; `own` is this program's own log file."""
    if logs.retention_in_days is not None and logs.retention_in_days not in RETENTIONS:
        days = ", ".join(map(str, RETENTIONS))
        yield f"logs.retention_in_days must be one of {days}, got {logs.retention_in_days}"
    yield from _name_problems("logs.log_group_name", logs.log_group_name, thing_name, GROUP)
    for index, each in enumerate(logs.logs_collected.files.collect_list):
        key = f"logs.logs_collected.files.collect_list[{index}]"
        yield from _place_problems(key, each, thing_name)
        yield from _path_problems(f"{key}.file_path", each.file_path, own)
        yield from _pattern_problems(key, each)
    journal, key = journal_of(logs.logs_collected), "logs.logs_collected.journal"
    if journal is not None:
        yield from _place_problems(key, journal, thing_name)
        yield from _pattern_problems(key, journal)
        wrong = (unit for unit in journal.units if not UNIT.fullmatch(unit))
        yield from (f"{key}.units must name units such as sshd.service, got {shown(unit)}" for unit in wrong)


def _place_problems(key: str, entry: LogFile | Journal, thing_name: str) -> Iterator[str]:
    yield from _name_problems(f"{key}.log_group_name", entry.log_group_name, thing_name, GROUP)
    yield from _name_problems(f"{key}.log_stream_name", entry.log_stream_name, thing_name, STREAM)


def _name_problems(key: str, text: str | None, thing_name: str, shape: re.Pattern[str]) -> Iterator[str]:
    if text is None:
        return
    known = _names(thing_name)
    unknown = [each for each in BRACES.findall(text) if each not in known]
    if unknown:
        braces = ", ".join(f"{{{each}}}" for each in known)
        yield f"{key} must have no braces but {braces}, got {shown(text)}{did_you_mean(unknown[0], known)}"
    elif not shape.fullmatch(_filled(text, thing_name)):
        allowed = "A-Z a-z 0-9 . - _ / #" if shape is GROUP else "any but : and *"
        yield f"{key} must be 1 to 512 characters ({allowed}), got {shown(text)}"


def _path_problems(key: str, path: str, own: str | None) -> Iterator[str]:
    if not os.path.isabs(path) or "\0" in path:
        yield f"{key} must be an absolute path, got {shown(path)}"
    elif own is not None and os.path.realpath(path) == os.path.realpath(own):
        yield f"{key} must not be this program's own log, {own}: each line that is sent would bring another"
    else:
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            return  # not there yet, or a pattern; one that may not be read is said when it is
        if not stat.S_ISREG(mode):
            yield f"{key} must be a regular file, but {path} is a {_kind(mode)}"


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _pattern_problems(key: str, entry: LogFile | Journal) -> Iterator[str]:
    start = entry.multi_line_start_pattern if isinstance(entry, LogFile) else None
    given = {"include_patterns": entry.include_patterns, "exclude_patterns": entry.exclude_patterns}
    for name, patterns in {**given, "multi_line_start_pattern": [] if start is None else [start]}.items():
        for pattern in patterns:
            yield from (f"{key}.{name} {problem}" for problem in _problems_of(pattern))


def _problems_of(pattern: str) -> Iterator[str]:
    try:
        line = worst_line(re.compile(pattern), MATCHED_LENGTH)
    except (re.error, RecursionError, OverflowError) as error:
        yield f"must be regular expressions, but {shown(pattern)} is none: {error}"
    else:
        if line is not None:
            yield (
                f"must be patterns that end in time, but {shown(pattern)} tries for more than a second on a line such "
                f"as {shown(line[:SHOWN])}; repeat nothing that is a repetition itself, as in (a+)+"
            )


def _choice(entry: LogFile | Journal) -> Choice:
    return Choice(list(map(re.compile, entry.include_patterns)), list(map(re.compile, entry.exclude_patterns)))


def _names(thing_name: str) -> dict[str, str]:
    return {"thing_name": thing_name, "instance_id": thing_name, "hostname": socket.gethostname()}


def _filled(text: str, thing_name: str) -> str:
    """Put this device's names into braces."""
    return fill_in(text, _names(thing_name))
