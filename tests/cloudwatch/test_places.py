"""Places survive a restart; a file that cannot be read or written costs neither the program nor what it knows."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Callable

import pytest

from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.places import FILE, KEPT_FOR, Pending, Places, Standing

PENDING = Pending("/group", "stream", LogEvent(5, "caf\xe9 \u20ac"), {"offset": 9})


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    Places(tmp_path).put("a", Standing({"offset": 3}, PENDING))
    assert Standing({"offset": 3}, PENDING) == Places(tmp_path).of("a")
    assert Standing() == Places(tmp_path).of("b")
    assert 0o600 == (tmp_path / FILE).stat().st_mode & 0o777


def damage(path: Path) -> None:
    path.write_bytes(b'{"version": 1, "sou')


def empty(path: Path) -> None:
    path.write_bytes(b"")


def bytes_of_nothing(path: Path) -> None:
    path.write_bytes(b"\xff\0" * 100)


def nest(path: Path) -> None:
    path.write_text("[" * 100_000)


def retype(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "sources": {"a": []}}))


def half_pending(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "sources": {"a": {"place": 1, "pending": {"group": "g"}}}}))


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    (path.parent / "secret").write_text("{}")
    path.symlink_to(path.parent / "secret")


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize("harm", [damage, empty, bytes_of_nothing, nest, retype, half_pending, link, fifo, directory])
def test_a_file_that_is_damaged_is_put_aside_and_said(
    tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    harm(tmp_path / FILE)
    with caplog.at_level(logging.WARNING):
        places = Places(tmp_path)
    assert "cannot be read" in caplog.text
    assert Standing() == places.of("a")
    places.put("a", Standing(1))
    assert Standing(1) == Places(tmp_path).of("a")
    if harm is link:
        assert "{}" == (tmp_path / "secret").read_text()


def test_a_place_that_cannot_be_written_is_not_taken_for_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(tmp_path)
    places.put("a", Standing(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            places.put("a", Standing(2))
    assert Standing(1) == places.of("a") == Places(tmp_path).of("a")
    places.put("a", Standing(3))
    assert Standing(3) == Places(tmp_path).of("a")


def test_without_a_directory_places_are_kept_in_memory() -> None:
    places = Places(None)
    places.put("a", Standing(1))
    assert Standing(1) == places.of("a")


def test_a_file_that_is_gone_for_a_month_is_forgotten_at_a_start(tmp_path: Path) -> None:
    places, old, new = Places(tmp_path), (time.time() - KEPT_FOR - 60) * 1000, time.time() * 1000
    (tmp_path / "there.log").touch()
    for name, last in (("gone", old), ("there", old), ("recent", new), ("unknown", 0)):
        places.put(f"file {tmp_path}/{name}.log", Standing({"at": None, "sent": 0, "time": int(last)}))
    places.put("journal", Standing({"at": "c1", "sent": 0, "time": int(old)}))
    again = Places(tmp_path)
    assert Standing() == again.of(f"file {tmp_path}/gone.log")
    kept = [f"file {tmp_path}/{name}.log" for name in ("there", "recent", "unknown")]
    assert Standing() not in [again.of(name) for name in (*kept, "journal")]
