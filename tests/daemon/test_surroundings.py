"""The surroundings are told in lines, and name neither the device nor its addresses."""

from __future__ import annotations

import socket
import sys

import pytest

from defender_daemon import surroundings as module
from defender_daemon.surroundings import surroundings

PACKAGES = ("msgspec", "cbor2")


def told() -> dict[str, str]:
    lines = [line.partition(": ") for line in surroundings(PACKAGES) if not line.startswith(("package: ", "limit: "))]
    return {name: value for name, _, value in lines}


def test_python_system_and_packages_are_told() -> None:
    lines = list(surroundings(PACKAGES))
    assert f"python: {sys.version} at {sys.executable}" == lines[0]
    for package in PACKAGES:
        assert any(line.startswith(f"package: {package} ") for line in lines)
    assert all("\n" not in line.partition("python: ")[0] for line in lines)


def test_a_package_without_metadata_is_no_reason_to_end() -> None:
    assert "package: no-such-package without metadata" in list(surroundings(("no-such-package",)))


def test_a_container_and_the_service_manager_are_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONTAINER_FILES", ("/", "/no/such/file"))
    monkeypatch.setenv("container", "podman")
    monkeypatch.setenv("INVOCATION_ID", "1")
    assert "/, container=podman" == told()["container"]
    assert told()["service manager"].endswith(", started by it")
    monkeypatch.setattr(module, "CONTAINER_FILES", ())
    monkeypatch.delenv("container")
    monkeypatch.delenv("INVOCATION_ID")
    assert "no sign of one" == told()["container"]
    assert not told()["service manager"].endswith(", started by it")


def test_nothing_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host")
    assert "secret-host" not in "\n".join(surroundings(PACKAGES))
