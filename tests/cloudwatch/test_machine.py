"""What of a machine is counted: whole disks, and interfaces that lead somewhere."""

from __future__ import annotations

from defender_cloudwatch.machine import counting_interfaces, whole_disks


def test_partitions_are_not_counted_beside_their_disks() -> None:
    names = ["sda", "sda1", "sda12", "sdaa", "mmcblk0", "mmcblk0p2", "nvme0n1", "nvme0n1p1", "dm-1", "dm-10", "disk0"]
    assert ["sda", "sdaa", "mmcblk0", "nvme0n1", "dm-1", "dm-10", "disk0"] == list(whole_disks(names))


def test_the_loopback_interface_alone_is_left_out() -> None:
    assert ["lowpan0", "eth0"] == list(counting_interfaces(["lo", "lo0", "lowpan0", "eth0"]))
