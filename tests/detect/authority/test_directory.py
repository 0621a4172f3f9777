"""The directory's files are replaced whole, and are on the disk before anything builds on them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from defender_detect.authority.directory import Directory, read, write
from defender_detect.errors import AuthorityError


def test_a_file_and_its_name_are_on_the_disk_when_it_is_written(tmp_path, monkeypatch):
    events = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda each: events.append(stat.S_IFMT(os.fstat(each).st_mode)))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("replace") or replace(*paths))
    write(tmp_path / "key", b"secret", 0o600)
    assert events == [stat.S_IFREG, "replace", stat.S_IFDIR]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_directory_in_a_files_place_is_a_sentence(tmp_path):
    (tmp_path / "key").mkdir()
    with pytest.raises(AuthorityError, match=r"/key: Is a directory$"):
        read(tmp_path / "key")


def test_what_a_kill_left_behind_is_nobody_elses(tmp_path):
    for name in (".detect.key.new", "detect.key", "profiles"):
        (tmp_path / name).touch()
    assert Directory(tmp_path).others() == []
    (tmp_path / "notes.txt").touch()
    assert Directory(Path(tmp_path)).others() == ["notes.txt"]
