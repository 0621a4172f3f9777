"""The list of devices that may provision themselves: their serials, one a line, or a table from a spreadsheet."""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device_defender.metrics import is_name
from device_defender.wording import shown
from infrastructure.errors import DeployError

LONGEST = 128  # characters of a serial, as of a thing's name
AGAIN = "again"
_SERIAL = re.compile(r"[!-~]+")
# 1.00001E+11: what is left of a long number. Not 100000007654e321, of which a Raspberry Pi in sixty has one like it.
_ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+\d+|\d[.,]\d+[eE]\d+")
_COMMENT = re.compile(r"(^|\s)#.*")
_DELIMITERS = (",", ";", "\t")
_HEADINGS = {
    "serial": ("serial", "serialnumber", "serialno", "sn"),
    "thing": ("thing", "thingname", "name"),
    AGAIN: (AGAIN,),
}
# What a heading has in it otherwise: Device Serial, hw_serial, Serial # (S/N), Seriennummer, numero de serie. There is
# no digit in it, or in any other cell of its line.
_PARTS = {"serial": ("serial", "serie"), "thing": ("thing",), AGAIN: ()}
_MOST_PROBLEMS = 20  # that are told at once: a file of another kind is wrong in each line
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # Excel's "Unicode text"


@dataclass(frozen=True)
class Serial:
    """A device that may provision itself."""

    serial: str
    thing: str = ""  # what it must be called; "" for the serial, or the configuration's prefix and the serial
    again: str = ""  # `again` and what follows it: it may register once more although it has a thing

    @property
    def key(self) -> str:
        """What serials are compared by: things' names are made of them in lower case."""
        return self.serial.lower()


@dataclass(frozen=True)
class SerialList:
    """The serials of a file, in its order."""

    source: Path
    serials: tuple[Serial, ...]
    notes: tuple[str, ...] = ()  # what was passed over


def read_serials(path: Path) -> SerialList:
    """Read a list of serials; raise DeployError with everything that is wrong with it.

    A line is `SERIAL [THING] [again ...]`, in columns that spaces, commas, semicolons or tabulators separate. Blank
    lines, comments and the second one of two equal lines are passed over.
    """
    lines, headed = _split(path, _read_text(path))
    found: dict[str, tuple[int, Serial]] = {}
    problems: list[str] = []
    notes: list[str] = []
    for line, cells in lines:
        serial = _parse(cells)
        first, before = found.setdefault(serial.key, (line, serial))
        if problem := _find_problem(cells, serial):
            problems.append(f"{path} line {line}: {problem}")
        elif before != serial:
            problems.append(f"{path} line {line}: {_contradiction(serial, before, first)}")
        elif first != line:
            notes.append(f"{path} line {line}: {shown(serial.serial)} is on line {first}, too, and taken once")
    if problems:
        more = [f"and {len(problems) - _MOST_PROBLEMS} more lines"] if len(problems) > _MOST_PROBLEMS else []
        raise DeployError("\n".join([*problems[:_MOST_PROBLEMS], *more]))
    if not found:
        raise DeployError(f"{path} names no serial: write one per line, 10000000abcdef01 for instance")
    if not headed:
        _refuse_heading(path, lines)
    _refuse_shared_names(path, found)
    return SerialList(path, tuple(serial for _, serial in found.values()), tuple(notes))


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DeployError(f"there is no {path}: write one serial per line into it") from error
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DeployError(f"{path} line {line}: must be text in UTF-8; export it as CSV UTF-8") from error


def _split(path: Path, text: str) -> tuple[list[tuple[int, list[str]]], bool]:
    """Return the cells of each line that has any, with serial, thing and `again` in this order.

    And whether the first line said which they are, which is then not among them.
    """
    lines = [(number, _COMMENT.sub("", line).strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line.strip(" \t,;")]
    if not lines:
        return [], False
    delimiter = next((each for each in _DELIMITERS if each in lines[0][1]), "")
    rows = [(number, _cells_of(path, number, line, delimiter)) for number, line in lines]
    columns = _headings(rows[0][1]) if delimiter else _headings_of_words(rows[0][1])
    if not columns:
        return rows, False
    return [(number, [_cell(row, index) for index in columns]) for number, row in rows[1:]], True


def _cells_of(path: Path, number: int, line: str, delimiter: str) -> list[str]:
    try:
        return _cells(line, delimiter)
    except csv.Error as error:
        advice = "check its quotes, and that this is the list of serials"
        raise DeployError(f"{path} line {number}: cannot be read as CSV ({error}): {advice}") from error


def _cells(line: str, delimiter: str) -> list[str]:
    delimiter = delimiter or next((each for each in _DELIMITERS if each in line), "")
    if delimiter:
        return [_plain(cell) for cell in next(csv.reader([line], delimiter=delimiter))]
    first, _, rest = line.partition(" ")
    if not rest or rest.split()[0].lower() == AGAIN:
        return [_plain(first), "", rest.strip()]
    thing, _, again = rest.strip().partition(" ")
    return [_plain(first), thing, again.strip()]


def _plain(cell: str) -> str:
    """Return a cell without what spreadsheets put around it: quotes, and `="..."` to keep a leading zero."""
    cell = cell.strip().strip("\u200b\ufeff\u00a0")
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell.strip('"')


def _headings(row: Sequence[str]) -> list[int]:
    """Return where serial, thing and `again` are by a first line that says so, nothing where it does not."""
    words = [_word(cell) for cell in row]
    found = {what: [words.index(name) for name in names if name in words] for what, names in _HEADINGS.items()}
    if not re.search(r"\d", "".join(row)):
        for what, parts in _PARTS.items():
            found[what] += [index for part in parts for index, word in enumerate(words) if part in word]
    return [(found[what] or [-1])[0] for what in _HEADINGS] if found["serial"] else []


def _headings_of_words(row: Sequence[str]) -> list[int]:
    """Return the same of a first line that nothing but spaces separates, which may be one heading of several words.

    Below a single heading thing and `again` are where they are without any.
    """
    words = [word for cell in row for word in cell.split()]
    known = {name for names in _HEADINGS.values() for name in names}
    if len(words) > 1 and all(_word(word) in known for word in words):
        return _headings(row)
    return [0, 1, 2] if _headings(["".join(words)]) else []


def _word(cell: str) -> str:
    """Return a heading's letters and digits, without case and accents."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", cell).lower())


def _cell(row: Sequence[str], index: int) -> str:
    return row[index] if 0 <= index < len(row) else ""


def _parse(cells: Sequence[str]) -> Serial:
    serial, thing, again = (*cells, "", "", "")[:3]
    if thing.lower().split()[:1] == [AGAIN] and not again:  # a table without a column for things
        thing, again = "", thing
    return Serial(serial, thing, " ".join(again.lower().split()))


def _find_problem(cells: Sequence[str], serial: Serial) -> str | None:
    name = shown(serial.serial)
    if any(cells[3:]):
        return f"has {len(cells)} columns; give the table a first line that calls one of them serial"
    if not serial.serial:
        return f"has no serial, but {shown(serial.thing or serial.again)}"
    if not serial.serial.isascii() or not _SERIAL.fullmatch(serial.serial):
        return f"{name} has characters other than the printable ones of ASCII, or a space"
    if len(serial.serial) > LONGEST:
        return f"{name} has {len(serial.serial)} characters, and may have {LONGEST}"
    if _ROUNDED.fullmatch(serial.serial):
        return f"{name} was rounded by a spreadsheet: format the column as text, and export it again"
    if serial.thing and not is_name(serial.thing):
        return f"the thing's name {shown(serial.thing)} must be 1 to 128 of the characters a-z A-Z 0-9 : _ -"
    if not serial.thing and not is_name(serial.serial):
        return f"{name} cannot be part of a thing's name (a-z A-Z 0-9 : _ -): write the thing's name after it"
    if serial.again and not serial.again.startswith(AGAIN):
        return f"{shown(serial.again)} must be `{AGAIN}`, with a date or a reason after it if you like"
    return None


def _contradiction(serial: Serial, before: Serial, line: int) -> str:
    if serial.serial != before.serial:
        return f"{shown(serial.serial)} differs from {shown(before.serial)} on line {line} only in case"
    return f"{shown(serial.serial)} is on line {line}, too, with another thing or another `{AGAIN}`: leave one of them"


def _refuse_heading(path: Path, lines: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Raise DeployError for a first line that may be a heading: whoever knows the word could register by it."""
    serials = [_parse(cells).serial for _, cells in lines]
    without = [serial for serial in serials if not re.search(r"\d", serial)]
    why = ""
    if without == serials[:1] and len(serials) > 1:
        why = "it is the only one without a digit"
    elif not re.search(r"\d", "".join(lines[0][1])) and any(len(list(filter(None, row))) > 1 for _, row in lines[1:]):
        why = "there is no digit in its line, and more than one column below"
    if why:
        raise DeployError(
            f"{path} line {lines[0][0]}: {shown(serials[0])} may be a heading, because {why}: call the column of the "
            "serials serial; if it is a serial, write a line before it that says serial"
        )


def _refuse_shared_names(path: Path, found: dict[str, tuple[int, Serial]]) -> None:
    """Raise DeployError if two devices are to be the same thing."""
    owners: dict[str, int] = {}
    for line, serial in found.values():
        first = owners.setdefault(serial.thing or serial.key, line)
        if first != line:
            name = shown(serial.thing or serial.serial)
            raise DeployError(f"{path} line {line}: the thing {name} is that of line {first}, too")
