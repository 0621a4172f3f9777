"""A kit: one file that makes a device one thing, with the release, the packages and the thing's bundle in it.

Of a fleet's claim it makes each device that it is run on a thing of that fleet.

    scp fleet/install-rpi-0001.bash pi:
    ssh -t pi sudo bash install-rpi-0001.bash

It is a bash script with a tar at its end. Run as root it looks at the tar's checksum before anything of it is unpacked,
into a directory that only root can enter, and goes when it is done.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from release import archive, lock, wheelhouse
from release.archive import Member

ROOT = Path(__file__).resolve().parent.parent
BEGINNING = Path(__file__).with_name("kit.bash")  # what a kit begins with
PARTS = (  # of the repository that a device needs
    "amazon-defender-publisher", "amazon-defender-cloudwatch", "defender_start.py", "device_defender",
    "defender_daemon", "defender_publisher", "defender_cloudwatch", "requirements.txt", "configs", "installers",
    "LICENSE",
)  # fmt: skip
SOURCE, WHEELS, BUNDLE = "source", "wheelhouse", "bundle.tar"  # where they are in the tar
CLAIM_KEY = "claim-private.key"  # which no thing's bundle holds
LONGEST_BUNDLE = 4_065_536  # bytes; the installers take no larger one
THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


class KitError(Exception):
    """A kit cannot be made; says why."""


def write_kit(bundle: Path, wheels: Path, target: Path | None = None, root: Path = ROOT) -> Path:
    """Write a kit beside a bundle, or to `target`, and return where; `wheels` is what `ensure_wheels` returns.

    Raises KitError for what is no thing's bundle, and archive.ReleaseError where this is no checkout.
    """
    thing = bundle.stem
    if not THING.fullmatch(thing) or bundle.suffix != ".tar":
        raise KitError(f"{bundle} must have the name of a thing and end in .tar, as deploy.py writes it")
    path = target or bundle.with_name(f"install-{thing}.bash")
    write_private(path, compose(thing, read_bundle(bundle), wheels, root))
    return path


def compose(thing: str, bundle: bytes, wheels: Path, root: Path) -> bytes:
    """Return what is in a kit: the same for the same commit, wheels and bundle."""
    members = [Member(f"{SOURCE}/{each.name}", each.content, each.executable) for each in read_source(root)]
    members += [Member(f"{WHEELS}/{each.name}", each.content) for each in archive.members_of(wheels.glob("*.whl"))]
    tar = archive.pack("kit", [*members, Member(BUNDLE, bundle)], archive.commit_time(root))
    claim = is_claim(bundle)
    values = {
        "THING": thing,
        "WHAT": "a thing of its fleet" if claim else f"the thing {thing}",
        "OPTION": "--claim" if claim else "--bundle",
        "VERSION": archive.read_version(root),
        "SHA256": hashlib.sha256(tar).hexdigest(),
        "LENGTH": str(len(tar)),
    }
    text = BEGINNING.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text.encode() + tar


def read_source(root: Path) -> Iterator[Member]:
    """Yield the files of the repository that a device needs."""
    yield from archive.read_tracked(root, PARTS)


def read_bundle(path: Path) -> bytes:
    """Return a bundle; raises KitError for what cannot be one."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BUNDLE + 1)
    except OSError as error:
        raise KitError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LONGEST_BUNDLE or content[257:262] != b"ustar":
        raise KitError(f"{path} is no bundle of a thing")
    return content


def is_claim(bundle: bytes) -> bool:
    """Whether a bundle is a fleet's claim; what cannot be read is for the installer to refuse."""
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as tar:
            return CLAIM_KEY in tar.getnames()
    except tarfile.TarError:
        return False


def ensure_wheels(directory: Path = ROOT / "dist") -> Path:
    """Return the directory of the wheels that the locks name, which is filled where it is not there yet."""
    content = b"".join(path.read_bytes() for path in (lock.PACKAGES, lock.RETAGGED))
    wheels = directory / f"wheels-{hashlib.sha256(content).hexdigest()[:12]}"
    if not wheels.is_dir():
        part = wheels.with_name(f"{wheels.name}.{os.getpid()}")
        part.mkdir(parents=True)
        wheelhouse.build_own(lock.LOCKS, part)
        lost = list(wheelhouse.fetch_others(lock.LOCKS, part))
        if lost:
            raise wheelhouse.WheelError("\n".join(lost))
        part.rename(wheels)
    return wheels


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in one step: it holds a private key."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    part.replace(path)


def how_to_use(kit: Path) -> str:
    """Return the commands that use a kit."""
    return f"scp {kit} DEVICE: && ssh -t DEVICE sudo bash {kit.name}"


def main(bundles: list[str]) -> int:
    """Write a kit for each bundle (`make kit BUNDLES="fleet/*.tar"`); return the exit status."""
    if not bundles:
        print('name the bundles: make kit BUNDLES="fleet/*.tar"', file=sys.stderr)
        return 2
    whole = " ".join(bundles)  # of a directory with a blank in its name make takes the parts for words
    try:
        wheels = ensure_wheels()
        for bundle in [whole] if Path(whole).is_file() else bundles:
            kit = write_kit(Path(bundle), wheels)
            print(f"{kit}: {kit.stat().st_size / 1e6:.1f} MB; {how_to_use(kit)}")
    except (KitError, archive.ReleaseError, wheelhouse.WheelError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
