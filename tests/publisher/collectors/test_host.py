"""The host, as psutil sees it through the host's /proc."""

from __future__ import annotations

import sys

import psutil
import pytest

from defender_publisher.collectors import host
from defender_publisher.errors import CollectError
from defender_publisher.metrics import Where
from tests.publisher.collectors.test_builtins import start

LINUX = sys.platform.startswith("linux")


needs_linux = pytest.mark.skipif(not LINUX, reason="there is no /proc")


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
