"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from defender_daemon.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """A service manager's socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "notify"))
    sock.settimeout(60)
    return sock


def notifier(manager: socket.socket, **environment: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname(), **environment})


def test_each_thing_is_said_as_systemd_wants_it(manager: socket.socket) -> None:
    notify = notifier(manager, WATCHDOG_USEC="30000000")
    notify.ready()
    notify.status("connected, report 7 accepted")
    notify.alive()
    notify.stopping()
    said = [manager.recv(1000).decode() for _ in range(4)]
    assert ["READY=1", "STATUS=connected, report 7 accepted", "WATCHDOG=1", "STOPPING=1"] == said


def test_a_reload_carries_the_monotonic_time(manager: socket.socket) -> None:
    notifier(manager).reloading()
    first, second = manager.recv(1000).decode().splitlines()
    assert "RELOADING=1" == first
    assert second.startswith("MONOTONIC_USEC=")


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"defender-test-{os.getpid()}"
        sock.bind("\0" + name)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert b"READY=1" == sock.recv(100)


def test_the_watchdog_is_fed_only_where_one_waits_for_this_process(manager: socket.socket) -> None:
    manager.settimeout(0.1)
    for environment in ({}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}):
        notify = notifier(manager, **environment)
        assert notify.watchdog_interval is None
        notify.alive()
        with pytest.raises(socket.timeout):
            manager.recv(100)
    assert 30.0 == notifier(manager, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())).watchdog_interval


def test_without_a_service_manager_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
