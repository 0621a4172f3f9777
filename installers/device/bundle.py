"""A bundle: the tar of the four files that make a device a thing, as deploy.py writes it.

It is read into memory before anything in it is believed, so that no header can ask for more than there is.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from etc import MODES
from files import LARGEST, read_file
from problem import Problem

LARGEST_BUNDLE = 4 * LARGEST + 64 * 1024  # bytes: four files of the largest size, and what a tar puts around them


def read_bundle(bundle: Path) -> dict[str, bytes]:
    """Return the four files of a bundle; raises Problem for a tar that holds anything else."""
    content = read_file(bundle, LARGEST_BUNDLE)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            files: dict[str, bytes] = {}
            for member in tar:
                name = member.name[2:] if member.name.startswith("./") else member.name
                refuse_member(bundle, member, name, name in files)
                part = tar.extractfile(member)
                files[name] = part.read(LARGEST) if part else b""
    except RecursionError as error:
        raise Problem(f"{bundle} is no bundle: it has headers upon headers") from error
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:  # all that damaged headers end in
        raise Problem(f"{bundle} is no bundle: {error}") from error
    missing = sorted(set(MODES) - set(files))
    if missing:
        raise Problem(f"{bundle} is no bundle: {', '.join(missing)} is missing in it")
    return files


def refuse_member(bundle: Path, member: tarfile.TarInfo, name: str, twice: bool) -> None:
    """Raise Problem for a member that is not one of the four plain files, each once and none too large."""
    if name not in MODES:
        raise Problem(f"{bundle} is no bundle: it holds {name!r}; a bundle holds {', '.join(MODES)}")
    if not member.isreg() or member.issparse():
        raise Problem(f"{bundle} is no bundle: {name} in it is not a plain file")
    if twice:
        raise Problem(f"{bundle} is no bundle: it holds {name} twice")
    if member.size > LARGEST:
        raise Problem(f"{bundle} is no bundle: {name} in it has {member.size} bytes, more than {LARGEST}")
