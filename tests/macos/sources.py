"""Sources to install from, in which a test has changed something."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.macos.mac import NAME, ROOT

PARTS = ("device_defender", "defender_daemon", "defender_publisher", "configs", "installers")
BREAKS = "if len(sys.argv) == 2 and not sys.argv[1].startswith('-'):"  # as a daemon, and only then


def copy_source(directory: Path) -> Path:
    """Return a copy of what is installed, in which a test can change something."""
    directory.mkdir()
    for name in (NAME, "defender_start.py", "requirements.txt", "LICENSE"):
        shutil.copy2(ROOT / name, directory / name)
    for name in PARTS:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def changed_source(directory: Path, *lines: str) -> Path:
    """Return a copy of what is installed, whose script does something more when it begins."""
    source = copy_source(directory)
    script = source / NAME
    text = script.read_text()
    begins = 'if __name__ == "__main__":\n'
    assert begins in text
    script.write_text(text.replace(begins, begins + "".join(f"    {line}\n" for line in lines)))
    return source
