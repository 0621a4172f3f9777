"""A bundle: the tar of the four files that make a device a thing, or of the four that let it become one, as deploy.py
writes them.

It is read into memory before anything in it is believed, so that no header can ask for more than there is.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from configuration import CONFIG
from credentials import CLAIM_CERTIFICATE, CLAIM_KEY, ROOTS
from etc import MODES
from files import LARGEST, read_file
from problem import Problem

LARGEST_BUNDLE = 4 * LARGEST + 64 * 1024  # bytes: four files of the largest size, and what a tar puts around them


BUNDLE, CLAIM = "bundle", "claim"  # kinds
FILES = {BUNDLE: tuple(MODES), CLAIM: (ROOTS, CLAIM_CERTIFICATE, CLAIM_KEY, CONFIG)}
OTHER = {BUNDLE: f" ({CLAIM_KEY} is a claim's, which --claim takes)", CLAIM: " (a thing's bundle is for --bundle)"}


def read_bundle(bundle: Path, kind: str = BUNDLE) -> dict[str, bytes]:
    """Return the four files of a bundle or of a claim; raises Problem for a tar that holds anything else."""
    content = read_file(bundle, LARGEST_BUNDLE)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            files: dict[str, bytes] = {}
            for member in tar:
                name = member.name[2:] if member.name.startswith("./") else member.name
                refuse_member(bundle, member, name, name in files, kind)
                part = tar.extractfile(member)
                files[name] = part.read(LARGEST) if part else b""
    except RecursionError as error:
        raise Problem(f"{bundle} is no {kind}: it has headers upon headers") from error
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:  # all that damaged headers end in
        raise Problem(f"{bundle} is no {kind}: {error}") from error
    missing = sorted(set(FILES[kind]) - set(files))
    if missing:
        raise Problem(f"{bundle} is no {kind}: {', '.join(missing)} is missing in it")
    return files


def refuse_member(bundle: Path, member: tarfile.TarInfo, name: str, twice: bool, kind: str) -> None:
    """Raise Problem for a member that is not one of the four plain files, each once and none too large."""
    if name not in FILES[kind]:
        other = OTHER[kind] if name in {each for files in FILES.values() for each in files} else ""
        raise Problem(f"{bundle} is no {kind}: it holds {name!r}; a {kind} holds {', '.join(FILES[kind])}{other}")
    if not member.isreg() or member.issparse():
        raise Problem(f"{bundle} is no {kind}: {name} in it is not a plain file")
    if twice:
        raise Problem(f"{bundle} is no {kind}: it holds {name} twice")
    if member.size > LARGEST:
        raise Problem(f"{bundle} is no {kind}: {name} in it has {member.size} bytes, more than {LARGEST}")
