"""The support bundle: one tar with all that helps to help, and nothing that must not leave the device."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

from defender_publisher.doctor.case import Case
from defender_publisher.errors import DefenderError
from defender_publisher.support.evidence import SERVICE, collect

FILE_MODE = 0o600  # logs and reports are nobody else's business
COMPRESSED = (".gz", ".tgz")


class BundleError(DefenderError):
    """The bundle cannot be written where it should be."""


def write(bundle: Path, case: Case) -> Iterator[str]:
    """Write the bundle, replacing one of this name, and yield lines that tell what is in it; raises BundleError."""
    with _replacing(bundle) as file:
        yield "running the doctor's checks ..."
        files = collect(case)
        _write_tar(file, files, "w:gz" if bundle.suffix in COMPRESSED else "w")
    yield f"{bundle} holds, without keys, passwords and the arguments of commands:"
    yield from (f"{len(content):9,} bytes  {name}" for name, content in files.items())
    yield f"{bundle.stat().st_size:9,} bytes in all; review it before you share it"


@contextlib.contextmanager
def _replacing(bundle: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the bundle's name when all went well; nobody else may read it at any time."""
    if bundle.is_dir():
        raise BundleError(f"{bundle} is a directory; name a file in it, {bundle / 'support.tar.gz'} for instance")
    temporary = bundle.with_name(f".{bundle.name}.{secrets.token_hex(4)}")
    try:
        file = os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")
    except OSError as error:
        raise BundleError(f"{bundle} cannot be written: {error.strerror}; choose another place") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, bundle)
    except OSError as error:
        raise BundleError(f"{bundle} cannot be written: {error.strerror}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_tar(file: IO[bytes], files: Mapping[str, bytes], mode: Literal["w", "w:gz"]) -> None:
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{SERVICE}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), FILE_MODE, int(time.time())
            tar.addfile(entry, io.BytesIO(content))
