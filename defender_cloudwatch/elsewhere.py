"""Other systems' numbers, by psutil."""

from __future__ import annotations

import psutil

from defender_cloudwatch.machine import Counters, Level, Machine, counting_interfaces, whole_disks


def machine() -> Machine:
    """Return what measures this machine."""
    return Machine(
        cpu=lambda: float(psutil.cpu_percent(None)), memory=memory, swap=swap, disks=disks, interfaces=interfaces
    )


def memory() -> Level:
    """Return how much memory is used that cannot be had at once."""
    found = psutil.virtual_memory()
    return Level(found.total - found.available, found.available, found.total)


def swap() -> Level:
    """Return how much swap is used."""
    found = psutil.swap_memory()
    return Level(found.used, found.free, found.total)


def disks() -> Counters:
    """Return bytes read and written, and how many times, of each disk."""
    found = psutil.disk_io_counters(perdisk=True) or {}
    return {
        name: (each.read_bytes, each.write_bytes, each.read_count, each.write_count)
        for name, each in ((name, found[name]) for name in whole_disks(found))
    }


def interfaces() -> Counters:
    """Return bytes and packets received and sent, of each interface."""
    found = psutil.net_io_counters(pernic=True)
    return {
        name: (each.bytes_recv, each.bytes_sent, each.packets_recv, each.packets_sent)
        for name, each in ((name, found[name]) for name in counting_interfaces(found))
    }
