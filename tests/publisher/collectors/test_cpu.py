"""The share of time in which the processors were busy."""

from __future__ import annotations

import os

import psutil
import pytest

from defender_publisher.collectors import cpu
from defender_publisher.errors import CollectError
from tests.publisher.collectors.test_builtins import busy_wait
from tests.publisher.collectors.test_host import needs_linux

TICKS = os.sysconf("SC_CLK_TCK")


CPU = {"user": 10.0, "nice": 0.0, "system": 5.0, "idle": 100.0, "iowait": 1.0, "guest": 2.0, "guest_nice": 0.0}


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ({"user": 1.0, "idle": 3.0}, 25.0),
        ({"user": 1.0, "system": 1.0, "idle": 1.0}, 66.67),
        ({"idle": 4.0}, 0.0),
        ({"user": 4.0}, 100.0),
        ({"iowait": 3.0, "user": 1.0}, 25.0),
        ({"user": 2.0, "guest": 2.0, "idle": 2.0}, 50.0),
        ({"nice": 2.0, "guest_nice": 2.0, "idle": 2.0}, 50.0),
        ({"iowait": -1.0, "user": 1.0, "idle": 1.0}, 50.0),
    ],
)
def test_cpu_usage_is_the_share_of_time_that_was_not_idle(spent, expected):
    after = {name: seconds + spent.get(name, 0.0) for name, seconds in CPU.items()}
    assert expected == cpu.busy_percentage(CPU, after)


@pytest.mark.parametrize("spent", [{}, {"guest": 1.0}, {"idle": -1.0}])
def test_cpu_usage_is_unknown_and_not_zero_while_no_time_has_passed(spent):
    with pytest.raises(CollectError, match="no processor time has passed"):
        cpu.busy_percentage(CPU, {name: seconds + spent.get(name, 0.0) for name, seconds in CPU.items()})


def write_cpu_times(directory, user, idle):
    (directory / "stat").write_text(f"cpu  {user * TICKS} 0 0 {idle * TICKS} 0 0 0 0 0 0\ncpu0 1 1 1 1\n")


@needs_linux
def test_cpu_usage_covers_the_time_since_it_was_made_and_then_since_it_was_last_asked(tmp_path):
    write_cpu_times(tmp_path, user=100, idle=100)
    usage = cpu.CpuUsage(str(tmp_path))
    write_cpu_times(tmp_path, user=101, idle=109)
    assert 10.0 == usage()
    write_cpu_times(tmp_path, user=104, idle=110)
    assert 75.0 == usage()
    with pytest.raises(CollectError, match="no processor time has passed"):
        usage()
    write_cpu_times(tmp_path, user=104, idle=112)
    assert 0.0 == usage()


@needs_linux
def test_cpu_usage_that_could_not_start_begins_at_the_next_look(tmp_path, caplog):
    usage = cpu.CpuUsage(str(tmp_path))
    assert ["WARNING"] == [record.levelname for record in caplog.records]
    write_cpu_times(tmp_path, user=100, idle=100)
    with pytest.raises(CollectError, match="no earlier reading"):
        usage()
    write_cpu_times(tmp_path, user=101, idle=101)
    assert 50.0 == usage()


def test_this_process_keeps_a_processor_busy():
    usage = cpu.CpuUsage()
    busy_wait(0.3)
    assert 0.5 * 100 / psutil.cpu_count() < usage() <= 100
