"""A log file is opened if it is one, known by its beginning, and rotated files are found in the order of their ends."""

from __future__ import annotations

import os
from pathlib import Path

from defender_cloudwatch.logfile import digest_of, head_of, is_same, newest_beside, open_log, rotated


def test_a_file_that_is_not_there_is_not_opened(tmp_path: Path) -> None:
    assert open_log(str(tmp_path / "app.log")) is None


def test_a_file_is_known_by_its_beginning_and_while_it_is_empty_by_its_inode(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    file = open_log(str(log))
    assert file is not None
    assert (0, f"inode {log.stat().st_ino}") == head_of(file)
    log.write_text("one\n")
    assert (4, digest_of(file, 4)) == head_of(file)
    log.rename(f"{log}.1")
    log.write_text("one\n")
    assert is_same(f"{log}.1", file)
    assert not is_same(str(log), file)
    os.close(file)


def test_rotated_files_come_in_the_order_in_which_they_were_finished(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    times = {"app.log": 9, "app.log.2": 1, "app.log-20261201": 3, "app.log.1.gz": 2, "app.log.old": 2}
    for name, time in times.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    assert ["app.log.2", "app.log.1.gz", "app.log-20261201"] == [Path(each.name).name for each in rotated(str(log))]
    assert ["app.log-20261201", "app.log.old"] == [Path(name).name for name in newest_beside(str(log), 2)]
