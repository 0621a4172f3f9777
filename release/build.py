"""Build a release into dist/ (`make dist`): the release tar, the wheelhouse, and their checksums."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from release import archive, wheelhouse

ROOT = Path(__file__).resolve().parent.parent
NAME = "amazon-defender-publisher"
CHECKSUMS = "SHA256SUMS"  # as sha256sum and shasum -a 256 check it


def main(directory: Path = ROOT / "dist") -> int:
    """Build everything anew; return the exit status."""
    try:
        version, time = archive.read_version(ROOT), archive.commit_time(ROOT)
        for file in archive.changed_files(ROOT):
            print(f"{file} is not as it was committed, and is in the release as it was")
        files = {f"{NAME}-{version}.tar.gz": build_archive(ROOT, version)}
        files[f"{NAME}-{version}-wheelhouse.tar"] = build_wheelhouse(ROOT / "installers", version, time)
    except (archive.ReleaseError, wheelhouse.WheelError) as error:
        print(error, file=sys.stderr)
        return 1
    write(directory, files)
    return 0


def build_archive(root: Path, version: str) -> bytes:
    """Return the release tar, compressed: the last commit."""
    return archive.compress(archive.archive_commit(root, f"{NAME}-{version}"))


def build_wheelhouse(locks: Path, version: str, time: int) -> bytes:
    """Return a tar of the wheels of this machine and of the usual devices, which are compressed in themselves."""
    with tempfile.TemporaryDirectory() as directory:
        wheels = Path(directory)
        wheelhouse.build_own(locks, wheels)
        for line in wheelhouse.fetch_others(locks, wheels):
            print(line)
        return archive.pack(f"{NAME}-{version}-wheelhouse", archive.members_of(wheels.glob("*.whl")), time)


def write(directory: Path, files: dict[str, bytes]) -> None:
    """Write the files and their checksums, and say where."""
    directory.mkdir(exist_ok=True)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (directory / CHECKSUMS).write_text(sums)
    for name, content in files.items():
        (directory / name).write_bytes(content)
        print(f"{directory / name}: {len(content) / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
