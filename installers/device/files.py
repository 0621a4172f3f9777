"""Files: plain ones of ordinary size are read, and each is written in one step."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from problem import Problem

LARGEST = 1_000_000  # bytes of a file that is taken over; a thousand times what keys and configurations have


def read_file(path: Path) -> bytes:
    """Return what is in a plain file of ordinary size."""
    if path.exists() and not path.is_file():
        raise Problem(f"{path} must be a file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Problem(f"{path} has more than {LARGEST} bytes; that is neither a key nor a certificate")
    return content


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step: it has its mode from the beginning, and is the old one or the new one after a crash."""
    temporary = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
