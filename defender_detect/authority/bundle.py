"""A bundle: the tar that makes a device a thing, as `installers/install-*.bash --bundle` and deploy.py have it.

A test holds it together with what the installers read.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from defender_daemon.files import open_regular
from defender_detect.authority.directory import PRIVATE, PUBLIC, explained, read, write

CONFIG, CERTIFICATE, KEY, ROOTS = "amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"
LONG_AGO = 315532800  # 1980-01-01: no tar finds the date implausible, whatever a device's clock says
AGENT = {"publish_interval": 300, "metrics_collection_interval": 30}  # as in configs/amazon-defender-publisher-fleet
METRICS = {
    "listening_tcp_ports": True,
    "listening_udp_ports": True,
    "tcp_connections": True,
    "network_stats": {"exclude_interfaces": ["lo", "lo0"]},
}
CUSTOM_METRICS: dict[str, object] = {"cpu_usage": {}}
PROVISIONING = {"rotation_template": "amazon-defender-rotate"}  # what the built-in broker answers to


def compose_config(thing: str, endpoint: str, port: int, renews: bool = False) -> bytes:
    """Return a publisher's configuration for a Detect of one's own, with paths relative to it.

    `renews`: it gets its further certificates over the air.
    """
    authentication = {
        "endpoint": endpoint,
        "port": port,
        "certificate": CERTIFICATE,
        "private_key": KEY,
        "root_ca": ROOTS,
    }
    agent = {**AGENT, "thing_name": thing, "authentication": authentication}
    if renews:
        agent["provisioning"] = PROVISIONING
    config = {"agent": agent, "metrics": METRICS, "custom_metrics": CUSTOM_METRICS}
    return (json.dumps(config, indent=2) + "\n").encode()


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Return a tar of plain files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), LONG_AGO, PRIVATE if name == KEY else PUBLIC
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_bundle(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a bundle, which its owner alone can read: whoever called sudo, where it was by sudo."""
    write(path, pack(contents), PRIVATE)
    caller, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and caller.isdecimal() and group.isdecimal():
        # A link that somebody has put there meanwhile is refused.
        with explained(path), open(path, "rb", opener=open_regular) as file:
            os.fchown(file.fileno(), int(caller), int(group))


def is_there(path: Path) -> bool:
    """Tell whether there is a file already, which a bundle would replace."""
    return read(path) is not None
