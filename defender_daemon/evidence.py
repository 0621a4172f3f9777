"""The evidence: what others need to help, in one tar that nobody else may read, with all secrets removed.

What there is to collect is each program's: a table of files, each made by one function of what was found.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from defender_daemon import files
from defender_daemon.errors import DefenderError
from defender_daemon.redaction import without_secrets

FILE_MODE = 0o600  # logs and reports are nobody else's business
COMPRESSED = (".gz", ".tgz")
LOG_LINES = 500
LINES_OF_A_KEY = 100  # lines more are looked at, so that a key in whose middle the log is cut is known as one
LOG_BYTES = 4 * 1024 * 1024  # as much of the log file's end is read at most
JOURNAL_WITHIN = 15.0  # seconds

F = TypeVar("F")


class BundleError(DefenderError):
    """The bundle cannot be written where it should be."""


def write(bundle: Path, service: str, collect: Callable[[], Mapping[str, bytes]]) -> Iterator[str]:
    """Write the bundle, replacing one of this name, and yield lines that tell what is in it; raises BundleError."""
    with _replacing(bundle) as file:
        yield "running the doctor's checks ..."
        content = collect()
        _write_tar(file, service, content, "w:gz" if bundle.suffix in COMPRESSED else "w")
    yield f"{bundle} holds, without keys, passwords and the arguments of commands:"
    yield from (f"{len(each):9,} bytes  {name}" for name, each in content.items())
    yield f"{bundle.stat().st_size:9,} bytes in all; review it before you share it"


def make_files(table: Mapping[str, Callable[[F], Any]], findings: F, known: Iterable[str]) -> dict[str, bytes]:
    """Return the bundle's files by name, without secrets, `known` ones included; one that cannot be had says why."""
    hidden = list(known)
    return {name: _encoded(without_secrets(_made(name, make, findings), hidden)) for name, make in table.items()}


def end_of_log(text: str) -> str:
    """Return the last lines of a log, in which a key is known as one also where the log is cut in its middle."""
    cut = "\n".join(text.splitlines()[-LOG_LINES - LINES_OF_A_KEY :])
    return "\n".join(str(without_secrets(cut)).splitlines()[-LOG_LINES:]) + "\n"


def end_of(path: Path) -> str:
    """Return the end of a log file."""
    return files.read(path, LOG_BYTES).decode("utf-8", "replace")


def journal_of(service: str) -> str:
    """Return what systemd's journal has last of a service; nothing where there is none, or not for this user."""
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        return ""
    lines = str(LOG_LINES + LINES_OF_A_KEY)
    command = [journalctl, "--quiet", "--no-pager", "--unit", service, "--lines", lines]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=JOURNAL_WITHIN
    )
    return done.stdout.decode("utf-8", "replace")


def _made(name: str, make: Callable[[F], Any], findings: F) -> Any:
    try:
        return make(findings)
    except Exception as error:  # noqa: BLE001 - a bundle with a gap is better than none
        reason = f"{type(error).__name__}: {error}"
        return {"not available": reason} if name.endswith(".json") else f"not available: {reason}\n"


def _encoded(content: Any) -> bytes:
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "replace")


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


def _write_tar(file: IO[bytes], service: str, content: Mapping[str, bytes], mode: Literal["w", "w:gz"]) -> None:
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, each in content.items():
            entry = tarfile.TarInfo(f"{service}/{name}")
            entry.size, entry.mode, entry.mtime = len(each), FILE_MODE, int(time.time())
            tar.addfile(entry, io.BytesIO(each))
