"""The demo's settings: configurations like those of a device and of Detect, and what is normal for this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.authority import Files
from demo.programs import ROOT

THING = "this-machine"
INTERVAL = 5  # seconds between two reports; AWS takes one per 300
PROFILE, BEHAVIOR = "demo", "listening-tcp-ports"


def read_normal_ports() -> set[int]:
    """Return the TCP ports that listen now, as the publisher sees them."""
    command = [sys.executable, str(ROOT / "amazon-defender-publisher"), "--dry-run"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {entry["port"] for entry in report["metrics"]["listening_tcp_ports"]["ports"]}


def write_profile(path: Path, normal: Iterable[int]) -> Path:
    """Write a security profile: it is normal that these ports listen, and no other."""
    criteria = {"comparisonOperator": "in-port-set", "value": {"ports": sorted(normal)}}
    return write(
        path,
        {
            "securityProfileName": PROFILE,
            "securityProfileDescription": "The TCP ports that listened on this machine when the demo began.",
            "behaviors": [{"name": BEHAVIOR, "metric": "aws:listening-tcp-ports", "criteria": criteria}],
            "additionalMetricsToRetainV2": [{"metric": "aws:num-listening-tcp-ports"}, {"metric": "cpu_usage"}],
        },
    )


def write_detect(path: Path, port: int, authority: Path, files: Files, profile: Path) -> Path:
    """Write Detect's configuration: the built-in broker, one profile, and short intervals."""
    agent = {
        "authentication": authentication(port, authority, files),
        "embedded_broker": True,
        "minimum_interval": INTERVAL,
        "state_directory": "detect",
    }
    return write(path, {"agent": agent, "detect": {"profiles": [str(profile)]}})


def write_publisher(path: Path, port: int, authority: Path, files: Files) -> Path:
    """Write the publisher's configuration, with short intervals."""
    agent = {
        "thing_name": THING,
        "authentication": {"endpoint": "localhost", **authentication(port, authority, files)},
        "publish_interval": INTERVAL,
        "allow_short_interval": True,
        "state_directory": "state",
        "debug": True,
    }
    schema = str(ROOT / "configs" / "schema.json")
    custom: dict[str, object] = {"cpu_usage": {}, "memory_usage": {}, "uptime": {}}
    return write(path, {"$schema": schema, "agent": agent, "custom_metrics": custom})


def authentication(port: int, authority: Path, files: Files) -> dict[str, Any]:
    """Return what both configurations say about the connection."""
    return {
        "port": port,
        "root_ca": str(authority),
        "certificate": str(files.certificate),
        "private_key": str(files.private_key),
    }


def write(path: Path, content: object) -> Path:
    """Write JSON for people."""
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
