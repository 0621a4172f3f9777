"""The surroundings say on what a program runs, and no name of the device."""

from __future__ import annotations

import platform

import pytest

from defender_daemon.surroundings import surroundings


def test_it_says_what_differs_between_devices_and_which_packages_there_are() -> None:
    said = dict(line.partition(": ")[::2] for line in surroundings(()))
    assert platform.python_version() in said["python"]
    assert {"system", "libc", "openssl", "processors", "container", "service manager"} <= set(said)
    packages = [line for line in surroundings(("msgspec", "no-such-package")) if line.startswith("package: ")]
    assert packages[0].startswith("package: msgspec 0.")
    assert "package: no-such-package without metadata" == packages[1]


def test_a_container_and_a_service_manager_are_known_by_what_they_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("container", "systemd-nspawn")
    monkeypatch.setenv("INVOCATION_ID", "4f2a")
    said = dict(line.partition(": ")[::2] for line in surroundings(()))
    assert "container=systemd-nspawn" in said["container"]
    assert said["service manager"].endswith(", started by it")
