"""The machine as a whole: memory, disks, load, files and users."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import machine
from defender_publisher.errors import CollectError
from tests.publisher.collectors.test_host import needs_linux
from tests.waiting import wait_until


def write_memory(directory, **kib):
    (directory / "meminfo").write_text("".join(f"{name}: {value} kB\n" for name, value in kib.items()))
    (directory / "vmstat").write_text("pswpin 0\npswpout 0\n")


@needs_linux
def test_memory_usage_is_what_is_not_available_on_the_host(tmp_path):
    write_memory(
        tmp_path, MemTotal=1000, MemFree=100, MemAvailable=400, Buffers=1, Cached=1, Active=1, Inactive=1, Shmem=1
    )
    assert 60.0 == machine.memory_usage(str(tmp_path))


@needs_linux
def test_swap_usage_is_what_is_used_on_the_host(tmp_path):
    write_memory(tmp_path, SwapTotal=1000, SwapFree=750)
    assert 25.0 == machine.swap_usage(str(tmp_path))


@needs_linux
def test_a_machine_without_swap_has_no_swap_usage(tmp_path):
    write_memory(tmp_path, SwapTotal=0, SwapFree=0)
    with pytest.raises(CollectError, match="this machine has no swap space"):
        machine.swap_usage(str(tmp_path))


def test_disk_usage_is_that_of_the_paths_disk(tmp_path):
    disk = shutil.disk_usage(tmp_path)
    assert abs(100 * disk.used / (disk.used + disk.free) - machine.disk_usage(str(tmp_path))) < 1


def test_disk_usage_of_a_path_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        machine.disk_usage("/no/such/path")


def test_load_average_is_over_1_5_and_15_minutes():
    before, load, after = os.getloadavg(), machine.load_average(), os.getloadavg()
    assert load in [[round(average, 2) for average in averages] for averages in (before, after)]


@needs_linux
def test_uptime_is_in_whole_seconds_of_the_host(tmp_path):
    (tmp_path / "uptime").write_text("350735.47 234388.90\n")
    assert 350735 == machine.uptime(str(tmp_path))


def test_uptime_without_proc_is_reckoned_from_the_boot_time(tmp_path):
    booted = int(time.time()) - 1000
    (tmp_path / "stat").write_text(f"btime {booted}\n")
    assert 1000 <= machine.uptime(str(tmp_path)) <= time.time() - booted


@needs_linux
def test_open_file_count_is_the_first_of_file_nr(tmp_path):
    (tmp_path / "sys" / "fs").mkdir(parents=True)
    (tmp_path / "sys" / "fs" / "file-nr").write_text("1312\t0\t9223372036854775807\n")
    assert 1312 == machine.open_file_count(str(tmp_path))


@needs_linux
def test_files_that_are_opened_are_counted():
    def more_with_500() -> int:
        before = machine.open_file_count()
        with contextlib.ExitStack() as files:
            for _ in range(500):
                files.enter_context(open(os.devnull))
            return machine.open_file_count() - before

    assert wait_until(lambda: more_with_500() > 250)  # others may close as many in the same moment


@pytest.mark.parametrize("text", ["", "many\n"])
def test_what_holds_no_number_is_an_error(tmp_path, text):
    (tmp_path / "uptime").write_text(text)
    with pytest.raises(CollectError, match="uptime holds no number"):
        machine.uptime(str(tmp_path))


def test_open_files_nobody_counts_are_unknown(tmp_path):
    with pytest.raises(CollectError, match="does not say how many files are open"):
        machine.open_file_count(str(tmp_path))


User = namedtuple("User", "name terminal")


def test_users_are_each_once_sorted(monkeypatch, tmp_path):
    users = [User("pi", "tty1"), User("alice", "pts/0"), User("pi", "pts/1")]
    monkeypatch.setattr(psutil, "users", lambda: users)
    assert ["alice", "pi"] == machine.logged_in_users([str(tmp_path)])


def test_nobody_logged_in_is_an_empty_list(monkeypatch, tmp_path):
    monkeypatch.setattr(psutil, "users", list)
    assert [] == machine.logged_in_users([str(tmp_path)])


@needs_linux
def test_users_are_unknown_where_logins_are_not_recorded():
    with pytest.raises(CollectError, match=r"no record of logins \(no /no/such/utmp\)"):
        machine.logged_in_users(["/no/such/utmp"])
