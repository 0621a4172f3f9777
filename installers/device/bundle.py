"""A bundle: the tar of the four files that make a device a thing, as deploy.py writes it."""

from __future__ import annotations

import tarfile
from pathlib import Path

from etc import MODES
from files import LARGEST
from problem import Problem


def read_bundle(bundle: Path) -> dict[str, bytes]:
    """Return the four files of a bundle; raises Problem for a tar that holds anything else."""
    try:
        with tarfile.open(bundle, "r:") as tar:
            files: dict[str, bytes] = {}
            for member in tar:
                name = member.name[2:] if member.name.startswith("./") else member.name
                refuse_member(bundle, member, name, name in files)
                content = tar.extractfile(member)
                files[name] = content.read(LARGEST) if content else b""
    except tarfile.TarError as error:
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
