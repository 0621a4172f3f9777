"""The support bundle: one tar with all that others need to help, and nothing that must not leave the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defender_daemon import evidence
from defender_publisher.doctor.case import Case
from defender_publisher.support.evidence import SERVICE, collect


def write(bundle: Path, case: Case) -> Iterator[str]:
    """Write the bundle, replacing one of this name, and yield lines that tell what is in it; raises BundleError."""
    return evidence.write(bundle, SERVICE, lambda: collect(case))
