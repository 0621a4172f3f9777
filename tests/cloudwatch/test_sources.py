"""Patterns find logs, each with a stream of its own; there is a limit, and the program's own log is never one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch import sources as module
from defender_cloudwatch.entries import FileEntry
from defender_cloudwatch.lines import Choice
from defender_cloudwatch.sources import Files, FileSource


def entry(pattern: object, **others: Any) -> FileEntry:
    given: dict[str, Any] = {"group": "g", "stream": None, "choice": Choice(), "start": None, "from_start": True}
    return FileEntry(pattern=str(pattern), **{**given, **others})


def files(*entries: FileEntry, own: Path | None = None, seen: bool = False) -> Files:
    return Files(entries, None if own is None else str(own), lambda name: None, lambda pattern: seen)


def read(source: FileSource) -> list[str]:
    found = source.read()
    source.done()
    return [] if found is None else [each.message for each in found.events]


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Some logs, and what is none."""
    found = [tmp_path / f"{number}.log" for number in range(8)]
    for each in found:
        each.write_text(f"{each.name}\n")
    (tmp_path / "directory.log").mkdir()
    (tmp_path / "old.log.gz").write_text("")
    return found


def test_a_pattern_finds_regular_files_and_new_ones_at_each_look(tmp_path: Path, logs: list[Path]) -> None:
    found = files(entry(tmp_path / "*.log*"))
    assert [f"file {each}" for each in logs] == [each.name for each in found.look()]
    (tmp_path / "new.log").write_text("first\n")
    assert ["first"] == read(found.look()[-1])


def test_beyond_the_limit_no_more_files_are_followed_and_that_is_said(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten thousand matches are no different: each pattern's are cut at the limit before anything is opened."""
    monkeypatch.setattr(module, "MOST_FILES", 5)
    found = files(entry(tmp_path / "*.log"))
    with caplog.at_level(logging.WARNING):
        assert 5 == len(found.look()) == len(found.look())
    assert f"{tmp_path}/*.log matches too many files: 5 are followed, the others are not" in caplog.text
    for each in logs[:3]:
        each.unlink()
    for source in found.look():
        while read(source):
            pass
    assert [str(each) for each in logs[3:]] == [each.name.partition(" ")[2] for each in (found.look(), found.look())[1]]


def test_a_file_that_is_gone_is_let_go_of_once_it_was_read_to_its_end(tmp_path: Path, logs: list[Path]) -> None:
    found = files(entry(tmp_path / "0*"))
    (source,) = found.look()
    assert ["0.log"] == read(source)
    with logs[0].open("a") as log:
        log.write("last\n")
    logs[0].unlink()
    assert [source] == found.look()
    assert ["last"] == read(source)
    assert [] == read(source)
    found.look()
    assert [] == found.look()


def test_the_own_log_and_its_older_ones_are_never_followed(tmp_path: Path, logs: list[Path]) -> None:
    (tmp_path / "1.log.1").write_text("x\n")
    (tmp_path / "link.log").symlink_to(logs[1])
    found = [each.name for each in files(entry(tmp_path / "*.log*"), own=logs[1]).look()]
    assert {f"file {each}" for each in logs if each != logs[1]} == set(found)


def test_two_logs_of_one_name_have_their_paths_as_streams(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.log").touch()
    (tmp_path / "b" / "other:x.log").touch()
    streams = {each.target.stream for each in files(entry(tmp_path / "*" / "*.log")).look()}
    assert {f"{tmp_path}/a/app.log", f"{tmp_path}/b/app.log", "other-x.log"} == streams


def test_a_name_that_is_no_text_makes_a_stream_that_is(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.log").touch()
    assert ["caf\ufffd.log"] == [each.target.stream for each in files(entry(tmp_path / "*.log")).look()]


def test_patterns_choose_and_join(tmp_path: Path) -> None:
    import re

    (tmp_path / "a.log").write_text("2026 start\n  at a\n2026 next\n2026 secret\n")
    chosen = Choice([], [re.compile("secret")])
    (source,) = files(entry(tmp_path / "a.log", start=re.compile(r"^\d{4}"), choice=chosen)).look()
    assert ["2026 start\n  at a", "2026 next"] == read(source)
