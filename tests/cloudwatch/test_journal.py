"""The journal is read from a cursor on, by a journalctl on PATH."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from defender_cloudwatch import journal
from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.journal import JournalError, read

JOURNALCTL = """#!{python}
import json, sys
entries = json.load(open({entries!r}))
open({asked!r}, "a").write(json.dumps(sys.argv[1:]) + chr(10))
after = [each.partition("=")[2] for each in sys.argv if each.startswith("--after-cursor=")]
if "--lines=1" in sys.argv:
    entries = entries[-1:]
if after:
    entries = [each for each in entries if each["__CURSOR"] > after[0]]
for each in entries:
    if "--all" not in sys.argv and len(str(each.get("MESSAGE"))) > 4096:
        each["MESSAGE"] = None  # as journalctl does
    print(json.dumps(each), flush=True)
"""


def entry(number: int, message: Any, **fields: Any) -> dict[str, Any]:
    return {"__CURSOR": f"c{number}", "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number * 1000), **fields,
            "MESSAGE": message}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a journalctl on PATH that has these entries."""

    def write(*entries: dict[str, Any], script: str = JOURNALCTL) -> None:
        (tmp_path / "entries").write_text(json.dumps(entries))
        program = tmp_path / "journalctl"
        asked, kept = str(tmp_path / "asked"), str(tmp_path / "entries")
        program.write_text(script.format(python=sys.executable, entries=kept, asked=asked))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return write


def test_a_first_start_begins_now(write: Callable[..., None]) -> None:
    write(entry(1, "old"), entry(2, "last"))
    assert ([], "c2") == read(None)


def test_entries_after_the_cursor_come_with_their_own_times(write: Callable[..., None]) -> None:
    write(entry(1, "old"), entry(2, "new", SYSLOG_IDENTIFIER="sshd", _PID="7"), entry(3, "bare"))
    events = [LogEvent(1_700_000_000_002, "sshd[7]: new"), LogEvent(1_700_000_000_003, "bare")]
    assert (events, "c3") == read("c1")
    assert None is read("c3")


def test_a_message_that_is_not_utf_8_comes_as_a_list_of_bytes(write: Callable[..., None]) -> None:
    write(entry(1, list(b"caf\xe9 \0")))
    found = read("c0")
    assert found is not None
    assert ["caf\\xe9 \\x00"] == [event.message for event in found.events]


def test_a_field_that_an_entry_has_twice_is_shown_whole(write: Callable[..., None]) -> None:
    write(entry(1, ["one", "two"]), entry(2, None), entry(3, "x", SYSLOG_IDENTIFIER=["a", "b"]))
    found = read("c0")
    assert found is not None
    assert ["one two", "a b: x"] == [event.message for event in found.events]
    assert "c3" == found.cursor


def test_a_long_message_is_read_whole(write: Callable[..., None]) -> None:
    write(entry(1, "x" * 100_000))
    found = read("c0")
    assert found is not None
    assert 100_000 == len(found.events[0].message)


def test_no_more_is_read_at_a_time_than_is_wanted(write: Callable[..., None]) -> None:
    write(*(entry(number, "x") for number in range(1, 9)))
    found = read("c0", most=3)
    assert found is not None
    assert (3, "c3") == (len(found.events), found.cursor)


def test_no_more_bytes_are_kept_than_fit(write: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_BYTES", 1_000)
    write(*(entry(number, "x" * 600) for number in range(1, 9)))
    found = read("c0")
    assert found is not None
    assert "c2" == found.cursor


def test_units_are_asked_for(write: Callable[..., None], tmp_path: Path) -> None:
    write(entry(1, "x"))
    read("c0", ["sshd.service", "cron.service"])
    asked = json.loads((tmp_path / "asked").read_text())
    assert {"--unit=sshd.service", "--unit=cron.service", "--after-cursor=c0"} <= set(asked)


def test_a_line_that_is_no_entry_is_passed_over(write: Callable[..., None]) -> None:
    write(entry(1, "x"), script="#!{python}\nprint('nonsense')\nprint(open({entries!r}).read()[1:-1])\n# {asked}")
    found = read("c0")
    assert found is not None
    assert ["x"] == [event.message for event in found.events]


def test_a_failure_is_said_in_its_own_words(write: Callable[..., None]) -> None:
    write(script="#!{python}\nimport sys\nsys.exit('No journal files were opened')\n# {entries} {asked}")
    with pytest.raises(JournalError, match="^journalctl failed: No journal files were opened$"):
        read("c0")


def test_journalctl_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JournalError, match="journalctl is not installed: leave logs.logs_collected.journal out"):
        read(None)


def test_one_that_never_ends_is_ended(write: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PATIENCE", 0.5)
    write(script="#!{python}\nimport time\ntime.sleep(600)\n# {entries} {asked}")
    with pytest.raises(JournalError, match="did not answer within"):
        read("c0")
