"""The built-in metrics, on this machine and on machines in a temporary directory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from ipaddress import ip_address

import psutil
import pytest

from defender_publisher.collectors import cpu, host, machine, processes, temperature
from defender_publisher.collectors.temperature import Reading
from defender_publisher.errors import CollectError
from defender_publisher.metrics import Where, find
from device_defender.metrics import BUILT_INS, TYPES

LINUX = sys.platform.startswith("linux")
needs_linux = pytest.mark.skipif(not LINUX, reason="there is no /proc")

TICKS = os.sysconf("SC_CLK_TCK")
ALWAYS = [  # what every machine can measure
    "cpu_usage",
    "memory_usage",
    "disk_usage",
    "load_average",
    "process_count",
    "process_names",
    "uptime",
    "interface_addresses",
]
Memory = namedtuple("Memory", "rss vms")
NOWHERE_ELSE = Where()


def busy_wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def start(name, where=NOWHERE_ELSE):
    metric = find(name)
    assert metric is not None
    return metric.start(where)


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_ins_row_names_a_collector_that_there_is(name):
    assert callable(start(name))


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_has_a_type_of_the_api_and_a_line_for_the_readme(name):
    assert BUILT_INS[name].type in TYPES
    assert re.fullmatch(r"[A-Z][^\n|]{10,100}\.", BUILT_INS[name].description)


@pytest.mark.parametrize("name", ALWAYS)
def test_a_built_in_measures_a_value_of_its_type_on_this_machine(name):
    measure = start(name)
    busy_wait(0.1)
    value = measure()
    if BUILT_INS[name].type == "number":
        assert value >= 0
        assert type(value) in (int, float)
    else:
        assert isinstance(value, list)
        assert {float if BUILT_INS[name].type == "number-list" else str} >= set(map(type, value))


# ---- cpu_usage

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


# ---- memory, swap, disk, load, uptime, open files


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
    (tmp_path / "stat").write_text(f"btime {int(time.time()) - 1000}\n")
    assert 1000 <= machine.uptime(str(tmp_path)) <= 1002


@needs_linux
def test_open_file_count_is_the_first_of_file_nr(tmp_path):
    (tmp_path / "sys" / "fs").mkdir(parents=True)
    (tmp_path / "sys" / "fs" / "file-nr").write_text("1312\t0\t9223372036854775807\n")
    assert 1312 == machine.open_file_count(str(tmp_path))


@needs_linux
def test_files_that_are_opened_are_counted():
    before = machine.open_file_count()
    files = [open(os.devnull) for _ in range(500)]  # noqa: SIM115 - they are to stay open together
    after = machine.open_file_count()
    for file in files:
        file.close()
    assert after - before > 250  # others may have closed some meanwhile


@pytest.mark.parametrize("text", ["", "many\n"])
def test_what_holds_no_number_is_an_error(tmp_path, text):
    (tmp_path / "uptime").write_text(text)
    with pytest.raises(CollectError, match="uptime holds no number"):
        machine.uptime(str(tmp_path))


def test_open_files_nobody_counts_are_unknown(tmp_path):
    with pytest.raises(CollectError, match="does not say how many files are open"):
        machine.open_file_count(str(tmp_path))


# ---- users

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


# ---- processes


def test_a_process_that_is_started_is_counted_and_named(tmp_path):
    program = shutil.copy(shutil.which("sleep"), tmp_path / "marked-process")
    before = processes.process_names()
    with subprocess.Popen([program, "60"]) as process:
        during, count = processes.process_names(), processes.process_count()
        process.kill()
    assert ("marked-process" in before, "marked-process" in during) == (False, True)
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


# ---- temperature


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([Reading("cpu_thermal", 48.3)], "cpu_thermal"),
        ([Reading("cpu-thermal", 48.3)], "cpu-thermal"),
        ([Reading("nvme", 90.0), Reading("coretemp", 40.0), Reading("coretemp", 50.0)], "coretemp"),
        ([Reading("acpitz", 90.0), Reading("k10temp", 50.0)], "k10temp"),
        ([Reading("CPU-therm", 50.0), Reading("GPU-therm", 60.0)], "CPU-therm"),
        ([Reading("x86_pkg_temp", 50.0)], "x86_pkg_temp"),
    ],
)
def test_the_hottest_processor_sensor_counts_whatever_is_hotter(readings, expected):
    found = temperature.hottest_cpu(readings)
    assert (expected, max(reading.celsius for reading in readings if reading.sensor == expected)) == found


@pytest.mark.parametrize("readings", [[], [Reading("nvme", 40.0), Reading("acpitz", 27.8), Reading("BAT0", 30.0)]])
def test_other_sensors_are_not_the_processors(readings):
    assert temperature.hottest_cpu(readings) is None


def write_zone(directory, number, name, text):
    zone = directory / f"thermal_zone{number}"
    zone.mkdir()
    (zone / "type").write_text(name + "\n")
    (zone / "temp").write_text(text + "\n")


@pytest.fixture
def without_sensors(monkeypatch):
    monkeypatch.setattr(psutil, "sensors_temperatures", dict, raising=False)


def test_thermal_zones_help_out_where_there_is_no_sensor(tmp_path, without_sensors):
    write_zone(tmp_path, 0, "cpu-thermal", "47774")
    write_zone(tmp_path, 1, "cpu-thermal", "48312")
    write_zone(tmp_path, 2, "gpu-thermal", "99000")
    write_zone(tmp_path, 3, "cpu-thermal", "broken")
    (tmp_path / "thermal_zone4").mkdir()
    assert 48.31 == temperature.cpu_temperature(str(tmp_path))


def test_zero_degrees_are_a_temperature(tmp_path, without_sensors):
    write_zone(tmp_path, 0, "cpu-thermal", "0")
    assert 0.0 == temperature.cpu_temperature(str(tmp_path))


def test_sensors_come_before_thermal_zones(tmp_path, monkeypatch):
    sensor = namedtuple("sensor", "label current high critical")
    seen = {"k10temp": [sensor("Tctl", 61.125, None, None), sensor("Tdie", 55.0, None, None)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: seen, raising=False)
    write_zone(tmp_path, 0, "cpu-thermal", "99000")
    assert 61.12 == temperature.cpu_temperature(str(tmp_path))


def test_a_machine_without_any_sensor_has_no_temperature(tmp_path, monkeypatch):
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    with pytest.raises(CollectError, match="no sensor of its processor's temperature"):
        temperature.cpu_temperature(str(tmp_path))


# ---- the host's /proc


@needs_linux
def test_psutil_reads_its_own_proc_again_afterwards(tmp_path):
    def read():
        with host.psutil_reading(str(tmp_path)):
            psutil.cpu_times()

    with pytest.raises(FileNotFoundError):
        read()
    assert "/proc" == psutil.PROCFS_PATH


@needs_linux
@pytest.mark.parametrize(
    "name",
    ["cpu_usage", "memory_usage", "swap_usage", "process_count", "process_names", "uptime", "open_file_count"],
)
def test_a_host_that_shows_nothing_is_never_measured_as_zero(name, tmp_path):
    with pytest.raises((CollectError, OSError, psutil.Error)):
        start(name, Where(procfs_path=str(tmp_path)))()


def test_interface_addresses_of_this_machine_are_addresses():
    addresses = start("interface_addresses")()
    assert [] == [address for address in addresses if ip_address(address).is_loopback or "%" in address]
