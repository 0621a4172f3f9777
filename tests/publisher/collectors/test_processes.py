"""The programs that run on the host."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import namedtuple

from defender_publisher.collectors import processes
from tests.publisher.collectors.test_host import needs_linux

Memory = namedtuple("Memory", "rss vms")


def test_a_process_that_is_started_is_counted_and_named(tmp_path):
    name = f"marked-{os.getpid()}"  # others may run this test, too
    program = shutil.copy(shutil.which("sleep"), tmp_path / name)
    before = processes.process_names()
    with subprocess.Popen([program, "60"]) as process:
        during, count = processes.process_names(), processes.process_count()
        process.kill()
    assert (name in before, name in during) == (False, True)
    assert sorted(set(during)) == during
    assert count >= len(during)


def test_kernel_threads_and_zombies_are_no_programs():
    seen = [
        {"name": "sshd", "memory_info": Memory(1, 2)},
        {"name": "cron", "memory_info": Memory(1, 2)},
        {"name": "sshd", "memory_info": Memory(1, 2)},
        {"name": "kworker/1:2-events", "memory_info": Memory(0, 0)},
        {"name": "kernel_task", "memory_info": None},
        {"name": None, "memory_info": Memory(1, 2)},
    ]
    assert ["cron", "kernel_task", "sshd"] == processes.names_of(seen)


@needs_linux
def test_processes_are_those_of_the_host(tmp_path):
    for name in ("1", "2", "300", "self", "net"):
        (tmp_path / name).mkdir()
    assert 3 == processes.process_count(str(tmp_path))
