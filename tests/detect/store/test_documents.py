"""What the API wrote is a file for each, whole or not at all, and what cannot be read or written is a sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from defender_detect.errors import StoreError
from defender_detect.store.documents import DIMENSIONS, METRICS, PROFILES, Documents, Written, kept_in


def written(name: str = "p", **changes: Any) -> Written:
    return Written(**{"name": name, "document": {"a": [1, "k\u00fcche"]}, "created": 1.5, "modified": 2.5, **changes})


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    found = Documents(tmp_path)
    with found.alone():
        return found


def test_before_anything_was_written_there_is_nothing(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    assert [[], [], []] == [each.read() for each in kept]
    assert [] == kept.profiles.changes()
    assert [] == [*tmp_path.iterdir()]  # not even a directory


def test_what_is_written_is_read_by_name_and_only_its_owner_reads_it(documents: Documents, tmp_path: Path) -> None:
    for each in (written("b"), written("a", version=7, targets=["all"]), written("a:1_-")):
        documents.put(each)
    assert [written("a", version=7, targets=["all"]), written("a:1_-"), written("b")] == documents.read()
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / PROFILES).glob("*.json")}
    assert ({0o600}, 0o700) == (modes, stat.S_IMODE((tmp_path / PROFILES).stat().st_mode))


def test_the_last_one_of_a_name_stays_and_one_that_is_deleted_goes(documents: Documents) -> None:
    documents.put(written())
    documents.put(written(version=2))
    assert [written(version=2)] == documents.read()
    for _ in range(2):  # it may be gone already
        documents.delete("p")
    assert [] == documents.read()


def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    for number, each in enumerate(kept):
        with each.alone():
            each.put(written(version=number))
    assert [0, 1, 2] == [each.read()[0].version for each in kept]
    assert {PROFILES, METRICS, DIMENSIONS} == {each.name for each in tmp_path.iterdir()}


def test_what_was_written_by_anybody_is_noticed(documents: Documents, tmp_path: Path) -> None:
    before = documents.changes()
    documents.put(written())
    after = documents.changes()
    assert before != after == documents.changes()
    path = tmp_path / PROFILES / "p.json"
    other = path.with_name("other")  # while the clock stands still, as a coarse one does
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert after != documents.changes()
    documents.delete("p")
    assert before == documents.changes()


def test_a_write_that_fails_leaves_what_was_there(
    documents: Documents, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documents.put(written())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(StoreError) as caught:
                documents.put(written(version=2))
        assert f"{tmp_path / PROFILES / 'p.json'} cannot be written: No space left on device" == str(caught.value)
        assert [written()] == documents.read()  # what was begun is no document


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"name": "p"}', b'{"a":' * 5000, b'{"name": "\\ud800"}']
)
def test_a_file_that_cannot_be_read_is_said_with_what_to_do(
    documents: Documents, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / PROFILES / "p.json"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        documents.read()
    assert str(caught.value).startswith(f"{path} cannot be read, move it away: ")


def test_a_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / PROFILES).write_text("a file")
    documents = Documents(tmp_path)
    with pytest.raises(StoreError, match="written-profiles cannot be written"), documents.alone():
        pytest.fail("it is not to be written")
    with pytest.raises(StoreError, match="p.json cannot be written: Not a directory"):
        documents.put(written())


def test_what_is_written_alone_is_written_by_one_at_a_time(documents: Documents) -> None:
    import fcntl

    with documents.alone():
        lock = documents._directory / ".lock"
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            with open(lock, "a") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, kind | fcntl.LOCK_NB)
    with open(lock, "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
