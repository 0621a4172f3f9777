"""The boot id, of this machine and of hosts in a temporary directory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from defender_publisher.collectors.boot import boot_id


def kernel_random(tmp_path):
    directory = tmp_path / "sys" / "kernel" / "random"
    directory.mkdir(parents=True)
    return directory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")
def test_linux_has_its_own_boot_id():
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() == boot_id()


def test_two_looks_see_the_same_boot():
    assert boot_id() is not None
    assert boot_id() == boot_id()


def test_a_host_seen_from_a_container_has_the_hosts_boot_id(tmp_path):
    (kernel_random(tmp_path) / "boot_id").write_text("6f1c7f6e-9b07-4a0c-a0bb-2a9f6ef0c1d3\n")
    assert "6f1c7f6e-9b07-4a0c-a0bb-2a9f6ef0c1d3" == boot_id(str(tmp_path))


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1700000040), (25, 1700000040), (35, 1700000100)])
def test_without_a_boot_id_the_minute_of_the_boot_identifies_it(tmp_path, seconds, expected):
    (tmp_path / "stat").write_text(f"cpu  1 2 3 4 5 6 7 8 9 0\nbtime {1700000040 + seconds}\n")
    assert f"booted-{expected}" == boot_id(str(tmp_path))


@pytest.mark.parametrize("stat", [None, "cpu  1 2 3 4\n", "btime soon\n"])
def test_a_boot_that_nothing_identifies_is_unknown(tmp_path, stat):
    if stat:
        (tmp_path / "stat").write_text(stat)
    assert boot_id(str(tmp_path)) is None


def test_an_empty_boot_id_is_no_boot_id(tmp_path):
    (kernel_random(tmp_path) / "boot_id").write_text("\n")
    assert boot_id(str(tmp_path)) is None
