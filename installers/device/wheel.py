"""A wheel of our own: timeloop's says that it is for Python 2, and the same files run on Python 3.

Nothing of it is run for that, as a source distribution's setup.py would be, and by root.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import zipfile
from pathlib import Path

from problem import Problem

OLD, NEW = "py2-none-any", "py3-none-any"
LARGEST = 1_000_000  # bytes of such a wheel, unpacked; timeloop has 8,000
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows: the same wheel is the same file


def retag_wheels(arguments: argparse.Namespace) -> str:
    """Give each wheel in a directory that says Python 2 the name of one for Python 3; print them."""
    found = sorted(arguments.directory.glob(f"*-{OLD}.whl"))
    return " ".join(retag(path).name for path in found)


def retag(path: Path) -> Path:
    """Write a wheel for Python 3 beside one for Python 2, which goes, and return where."""
    new = path.with_name(path.name.replace(OLD, NEW))
    files = read_wheel(path)
    (record,) = [name for name in files if name.endswith(".dist-info/RECORD")]
    (tags,) = [name for name in files if name.endswith(".dist-info/WHEEL")]
    files[tags] = files[tags].replace(f"Tag: {OLD}".encode(), f"Tag: {NEW}".encode())
    del files[record]
    lines = [f"{name},sha256={digest_of(content)},{len(content)}\n" for name, content in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    part = new.with_name(f".{new.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o100644 << 16
            wheel.writestr(entry, content)
    os.replace(part, new)
    path.unlink()
    return new


def read_wheel(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel by their names."""
    try:
        with zipfile.ZipFile(path) as wheel:
            if sum(entry.file_size for entry in wheel.infolist()) > LARGEST:
                raise Problem(f"{path} has more than {LARGEST} bytes")
            return {name: wheel.read(name) for name in wheel.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise Problem(f"{path} is no wheel: {error}") from error


def digest_of(content: bytes) -> str:
    """Return a file's digest as a wheel's RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
