"""A log file is read line by line, each once, whatever is done to it meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_cloudwatch import follower as follower_module
from defender_cloudwatch.follower import CHUNK, LONGEST_LINE, RESTS, Batch, Follower, Place
from defender_cloudwatch.logfile import Rotated, UnusableFile


def drain(follower: Follower) -> list[bytes]:
    """Read and finish everything that there is now."""
    lines: list[bytes] = []
    while (batch := follower.read()) is not None:
        lines += lines_in(batch)
        follower.done()
    return lines


def lines_in(batch: Batch) -> list[bytes]:
    return [line.rstrip(b"\r") for line in batch.data.split(b"\n") if line.strip()]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\n")
    return path


def test_lines_are_read_once(log: Path) -> None:
    follower = Follower(str(log))
    assert [b"one", b"two"] == drain(follower)
    append(log, "three\r\n\n")
    assert [b"three"] == drain(follower)
    assert [] == drain(follower)


def test_what_is_not_done_is_read_again(log: Path) -> None:
    follower = Follower(str(log))
    first, again = follower.read(), follower.read()
    assert first == again


def test_a_line_that_is_not_ended_waits_for_its_end(log: Path) -> None:
    follower = Follower(str(log))
    append(log, "thr")
    assert [b"one", b"two"] == drain(follower)
    append(log, "ee\n")
    assert [b"three"] == drain(follower)


def rename(log: Path) -> None:
    log.rename(f"{log}.1")


def copytruncate(log: Path) -> None:
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)


@pytest.mark.parametrize("rotate", [rename, copytruncate])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(
    log: Path, rotate: Callable[[Path], None], restarted: bool
) -> None:
    follower = Follower(str(log))
    batch = follower.read(room=4)
    assert batch is not None
    assert [b"one"] == lines_in(batch)
    follower.done()
    place = batch.place
    if rotate is copytruncate and not restarted:
        assert [b"two"] == drain(follower)  # where the file rests before it is cut
    rotate(log)
    append(log, "three\n")
    if restarted:
        follower = Follower(str(log), place)
    expected = [b"three"] if rotate is copytruncate and not restarted else [b"two", b"three"]
    assert expected == drain(follower)
    assert follower.lost is None


def test_the_last_line_of_a_rotated_file_needs_no_end(log: Path) -> None:
    follower = Follower(str(log))
    append(log, "cut off")
    drain(follower)
    rename(log)
    append(log, "new\n")
    assert [b"cut off", b"new"] == drain(follower)


def test_a_file_that_was_renamed_and_is_still_written_is_read_on(log: Path) -> None:
    follower = Follower(str(log))
    with log.open("a") as writer:
        drain(follower)
        rename(log)
        writer.write("late\n")
        writer.flush()
        assert [b"late"] == drain(follower)


def test_a_file_that_was_cut_and_has_grown_beyond_the_place_is_read_from_its_beginning(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    log.write_text("ONE\nTWO\nTHREE\n")
    assert [b"ONE", b"TWO", b"THREE"] == drain(follower)


def test_an_inode_that_is_used_again_is_another_file(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    place = Place(8, follower._head[1], 8)
    log.write_text("ONE\nTWO\nTHREE\n")  # the same inode
    again = Follower(str(log), place)
    assert [b"ONE", b"TWO", b"THREE"] == drain(again)


def test_a_file_that_is_gone_with_what_was_not_read_is_said(log: Path) -> None:
    follower = Follower(str(log))
    batch = follower.read(room=4)
    assert batch is not None
    log.unlink()
    append(log, "new\n")
    again = Follower(str(log), batch.place)
    assert again.lost == f"{log}: the file that was read up to byte 4 is gone; its rest was not sent"
    assert [b"new"] == drain(again)


def test_a_first_start_begins_at_the_end_where_that_is_wanted(log: Path) -> None:
    follower = Follower(str(log), from_start=False)
    assert [] == drain(follower)
    append(log, "three\n")
    assert [b"three"] == drain(follower)
    rename(log)
    append(log, "four\n")
    assert [b"four"] == drain(follower)


def test_a_line_of_three_megabytes_comes_in_pieces(log: Path) -> None:
    log.write_bytes(b"x" * (3 * CHUNK) + b"\nend\n")
    lines = drain(Follower(str(log)))
    assert b"x" * (3 * CHUNK) + b"end" == b"".join(lines)
    assert max(map(len, lines)) <= LONGEST_LINE


def test_a_line_that_is_too_long_is_cut_between_two_characters(log: Path) -> None:
    text = ("x" + "\u20ac" * CHUNK).encode()
    log.write_bytes(text + b"\nend\n")
    lines = drain(Follower(str(log)))
    assert text + b"end" == b"".join(lines)
    assert [line.decode() for line in lines]


def test_a_line_that_fits_into_an_event_stays_whole_whatever_is_read_at_a_time(log: Path) -> None:
    log.write_bytes(b"x" * 900_000 + b"\nend\n")
    batch = Follower(str(log)).read(room=1_000)
    assert batch is not None
    assert [900_000] == [len(line) for line in lines_in(batch)]


def test_bytes_that_are_no_text_are_lines_as_well(log: Path) -> None:
    log.write_bytes(b"caf\xe9 \x00\n")
    assert [b"caf\xe9 \x00"] == drain(Follower(str(log)))


def test_a_fifo_and_a_directory_are_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(UnusableFile, match="is not a regular file"):
            Follower(str(tmp_path / name)).read()


def test_a_file_that_may_not_be_read_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnusableFile, match=f"{log} cannot be read: Permission denied"):
        Follower(str(log)).read()


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path / "later.log"))
    assert [] == drain(follower)
    append(tmp_path / "later.log", "now\n")
    assert [b"now"] == drain(follower)


def test_several_rotations_while_nobody_looked_lose_nothing(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    for number in range(1, 5):
        rotate_by_name(log, number)
    assert [b"new 1", b"new 2", b"new 3", b"new 4"] == drain(follower)
    assert follower.lost is None


def rotate_by_name(log: Path, number: int) -> None:
    """Rotate for the so-many-th time, each a second after the last, and begin anew."""
    for older in range(number, 0, -1):
        if (rotated := Path(f"{log}.{older}")).exists():
            rotated.rename(f"{log}.{older + 1}")
    log.rename(f"{log}.1")
    log.write_text(f"new {number}\n")
    os.utime(log, ns=(number * 10**9 + 2 * 10**18, number * 10**9 + 2 * 10**18))


def test_a_log_in_which_nothing_was_yet_is_found_again_however_often_it_was_rotated(log: Path) -> None:
    log.write_text("")
    follower = Follower(str(log))
    assert [] == drain(follower)
    place = follower.place
    follower.close()
    append(log, "first\n")
    for number in (1, 2):
        rotate_by_name(log, number)
    again = Follower(str(log), place)
    assert [b"first", b"new 1", b"new 2"] == drain(again)
    assert again.lost is None


def test_a_rotation_while_the_next_file_is_being_opened_loses_nothing(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, open_log, meanwhile = Follower(str(log)), follower_module.open_log, [2, 3]
    drain(follower)
    rotate_by_name(log, 1)

    def open_later(name: str) -> int | None:
        if meanwhile:
            rotate_by_name(log, meanwhile.pop(0))
        return open_log(name)

    monkeypatch.setattr(follower_module, "open_log", open_later)
    assert [b"new 1", b"new 2", b"new 3"] == drain(follower)


def test_what_is_written_right_before_a_rotation_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower, pread, late = Follower(str(log)), os.pread, ["late\n"]
    drain(follower)

    def read_and_rotate(file: int, size: int, offset: int) -> bytes:
        data = pread(file, size, offset)
        if not data and late:
            append(log, late.pop())
            rotate_by_name(log, 1)
        return data

    monkeypatch.setattr(os, "pread", read_and_rotate)
    assert [b"late", b"new 1"] == drain(follower) + drain(follower)


def test_a_rotated_file_that_was_compressed_unread_is_said(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    log.rename(f"{log}.2")
    for name, text, time in ((f"{log}.1.gz", "...", 2), (str(log), "new\n", 3)):
        Path(name).write_text(text)
        os.utime(name, ns=(time * 10**18, time * 10**18))
    assert [b"new"] == drain(follower)
    assert follower.lost == f"{log}.1.gz was compressed before it could be read; its lines were not sent"


def test_a_file_that_comes_after_the_first_start_is_read_from_its_beginning(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path / "later.log"), from_start=False)
    assert [] == drain(follower)
    append(tmp_path / "later.log", "first\n")
    assert [b"first"] == drain(follower)


def test_the_place_is_known_before_anything_was_read(log: Path) -> None:
    follower = Follower(str(log), from_start=False)
    assert follower.place is None
    follower.read()
    place = follower.place
    assert place is not None
    append(log, "three\n")
    assert [b"three"] == drain(Follower(str(log), place))


def test_a_file_of_which_nothing_was_read_is_found_again_under_its_new_name(log: Path) -> None:
    follower = Follower(str(log))
    follower.read()
    place = follower.place
    rename(log)
    append(log, "three\n")
    assert [b"one", b"two", b"three"] == drain(Follower(str(log), place))


def test_an_empty_file_is_known_by_its_inode_because_any_file_begins_so(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    follower = Follower(str(log))
    follower.read()
    assert Place(0, f"inode {log.stat().st_ino}", 0) == follower.place
    append(log, "one\n")
    assert follower.place is not None
    assert 4 == follower.place.size


def create(log: Path) -> None:
    """Rotate as logrotate's `create` does: the writer has the renamed file until it opens its log again."""
    rename(log)
    log.touch()


def test_a_renamed_file_is_read_on_until_something_is_in_the_new_one(log: Path) -> None:
    follower = Follower(str(log))
    with log.open("a", buffering=1) as writer:
        drain(follower)
        create(log)
        for _ in range(2 * RESTS):
            assert [] == drain(follower)
        writer.write("late\n")
        assert [b"late"] == drain(follower)
        writer.write("last\n")
    append(log, "new\n")
    assert [b"last", b"new"] == drain(follower)
    assert [] == drain(follower)
    assert follower.lost is None


def test_a_line_that_is_not_ended_when_its_file_is_renamed_may_still_be(log: Path) -> None:
    follower = Follower(str(log))
    with log.open("a", buffering=1) as writer:
        drain(follower)
        writer.write("la")
        writer.flush()
        create(log)
        assert [] == drain(follower)
        writer.write("te\n")
        assert [b"late"] == drain(follower)


@pytest.mark.parametrize("written", ["one\ntwo\n", ""])
def test_a_start_before_the_first_line_of_the_new_file_reads_the_renamed_one_on(log: Path, written: str) -> None:
    log.write_text(written)
    follower = Follower(str(log))
    with log.open("a", buffering=1) as writer:
        drain(follower)
        create(log)
        assert [] == drain(follower)
        again = Follower(str(log), follower.place)
        assert [] == drain(again)
        writer.write("late\n")
        assert [b"late"] == drain(again)
        writer.write("last\n")
    append(log, "new\n")
    assert [b"last", b"new"] == drain(Follower(str(log), again.place))
    assert again.lost is None


def test_a_start_finds_the_newest_of_many_rotated_files(log: Path) -> None:
    for number in range(40):
        older = Path(f"{log}-202601{number:02d}")
        older.write_text(f"day {number}\n")
        os.utime(older, (number, number))
    follower = Follower(str(log))
    drain(follower)
    log.rename(f"{log}-20260199")
    append(log, "new\n")
    again = Follower(str(log), follower.place)
    assert [b"new"] == drain(again)
    assert again.lost is None


def test_a_file_that_was_written_and_rotated_is_read_while_nothing_is_in_the_newest(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    rotate_by_name(log, 1)
    rotate_by_name(log, 2)
    log.write_text("")
    assert [b"new 1"] == drain(follower)


def test_a_renamed_file_that_is_compressed_is_read_on_and_let_go_when_it_rests(log: Path) -> None:
    follower = Follower(str(log))
    with log.open("a", buffering=1) as writer:
        drain(follower)
        create(log)
        shutil.copy2(f"{log}.1", f"{log}.1.gz")
        os.unlink(f"{log}.1")
        for number in range(2 * RESTS):
            writer.write(f"late {number}\n")
            assert [f"late {number}".encode()] == drain(follower)
    assert 0 == os.fstat(follower._file or -1).st_nlink
    for _ in range(RESTS + 1):
        assert [] == drain(follower)
    assert log.stat().st_ino == os.fstat(follower._file or -1).st_ino
    append(log, "new\n")
    assert [b"new"] == drain(follower)
    assert follower.lost is None


def test_a_file_that_another_was_renamed_over_is_read_to_its_end(log: Path) -> None:
    follower = Follower(str(log))
    drain(follower)
    append(log, "last\n")
    Path(f"{log}.tmp").write_text("new\n")
    os.replace(f"{log}.tmp", log)
    assert [b"last", b"new"] == drain(follower)
    assert [] == drain(follower)


@pytest.mark.parametrize(("text", "expected"), [("late\n", [b"late", b"new"]), ("", [b"new"])])
def test_a_file_that_changes_while_the_next_one_is_looked_for_is_not_taken_for_it(
    log: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: list[bytes]
) -> None:
    follower, rotated, late = Follower(str(log)), follower_module.rotated, [text]
    drain(follower)
    rename(log)
    append(log, "new\n")

    def write_and_look(path: str) -> list[Rotated]:
        if late:
            append(Path(f"{log}.1"), late.pop())
            os.utime(f"{log}.1", (4e9, 4e9))  # later than it was
        return rotated(path)

    monkeypatch.setattr(follower_module, "rotated", write_and_look)
    assert expected == drain(follower)
    assert [] == drain(follower)
