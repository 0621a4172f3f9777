"""The surroundings: on what this program runs, as lines for somebody who cannot look at the device."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import ssl
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMITS = ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_MEMLOCK")
CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")  # Docker's and Podman's
FIRST_LINES = ("/proc/device-tree/model", "/proc/version", "/proc/loadavg", "/proc/uptime")  # what the kernel says


def surroundings(packages: Iterable[str]) -> Iterator[str]:
    """Yield `name: value` for what differs from one device to another; no address and no name of the device."""
    yield f"python: {sys.version} at {sys.executable}"
    yield f"system: {platform.platform()} {platform.machine()}, {_pretty_name()}"
    yield f"libc: {' '.join(platform.libc_ver()) or 'not known'}"
    yield f"openssl: {ssl.OPENSSL_VERSION}"
    yield f"processors: {os.cpu_count()}; user: {os.geteuid()}"
    yield f"container: {_container()}"
    yield f"service manager: {_service_manager()}"
    for name in packages:
        yield f"package: {name} {_version(name)}"
    for name in LIMITS:
        if hasattr(resource, name):
            yield f"limit: {name} {resource.getrlimit(getattr(resource, name))}"
    for path in FIRST_LINES:
        with contextlib.suppress(OSError):
            yield f"{path}: {Path(path).read_text(errors='replace').strip(chr(0)).strip()}"


def _pretty_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/etc/os-release").read_text(errors="replace").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    return "no /etc/os-release"


def _container() -> str:
    hints = [path for path in CONTAINER_FILES if os.path.exists(path)]
    hints += [f"container={os.environ['container']}"] if "container" in os.environ else []  # noqa: SIM112 - systemd's
    return ", ".join(hints) or "no sign of one"


def _service_manager() -> str:
    running = "systemd" if os.path.isdir("/run/systemd/system") else "not systemd"
    return running + (", started by it" if "INVOCATION_ID" in os.environ else "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "without metadata"
