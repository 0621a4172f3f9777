"""The zip for Managed Service for Apache Flink: the job, the packages that it needs, and a connector's jar.

https://docs.aws.amazon.com/managed-flink/latest/java/how-python-creating.html. There is no pip there, so packages are
unpacked in the zip, for the Python and the processor that AWS has, in the directory that is its pyFiles. Flink itself
is there; the connector's jar, which no package index has, is given:
`make flink-application JAR=flink-sql-connector-aws-kinesis-streams-....jar`.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from release import archive, lock, wheelhouse
from release.archive import Member
from release.component import pack

ROOT = Path(__file__).resolve().parent.parent
PYTHON, PLATFORM = "3.12", "Linux on x86-64"  # of Flink 2.2 there
PARTS = ("defender_detect", "device_defender", "defender_daemon", "LICENSE")  # of the repository
PACKAGES = "packages"  # the run option pyFiles, by which workers find them
MAIN = b"""\
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
os.chdir(HERE)  # where rules.json is
sys.path.insert(0, os.path.join(HERE, "packages"))

from defender_detect.flink.job import main

if status := main([]):
    raise SystemExit(status)
"""
JAR_CONTENT = "META-INF/MANIFEST.MF"  # what every jar has
KINESIS = "kinesis"  # what the jar's name has in it


class ApplicationError(Exception):
    """The zip cannot be made; says why."""


def main(arguments: list[str], directory: Path = ROOT / "dist" / "flink") -> int:
    """Write application.zip with a jar; return the exit status."""
    if len(arguments) != 1:
        print(
            "name the connector's jar: make flink-application JAR=FILE (docs/how-to/run-on-flink.md)", file=sys.stderr
        )
        return 2
    try:
        jar = read_jar(Path(arguments[0]))
        with tempfile.TemporaryDirectory() as wheels:
            fetch_packages(Path(wheels))
            members = [Member("main.py", MAIN), *read_source(ROOT), *unpack(sorted(Path(wheels).glob("*.whl"))), jar]
    except (ApplicationError, archive.ReleaseError, wheelhouse.WheelError) as error:
        print(error, file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "application.zip"
    path.write_bytes(pack(members))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; ./deploy.py --detect-engine flink deploys it")
    return 0


def read_source(root: Path) -> Iterator[Member]:
    """Yield what of the repository the job needs."""
    for member in archive.read_tracked(root, PARTS):
        if not member.name.startswith("defender_detect/console/"):
            yield Member(f"{PACKAGES}/{member.name}", member.content)


def fetch_packages(directory: Path) -> None:
    """Put the wheels of the lock into a directory; raises WheelError with pip's words."""
    options = ("--require-hashes", "--requirement", str(lock.FLINK))
    done = wheelhouse.fetch(directory, *options, platform=PLATFORM, python=PYTHON)
    if done.returncode:
        raise wheelhouse.WheelError(done.stderr.strip())


def unpack(wheels: Iterable[Path]) -> Iterator[Member]:
    """Yield the files of wheels, each once and with what says which version it is."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            files = [each for each in packed.infolist() if not each.is_dir()]
            yield from (Member(f"{PACKAGES}/{each.filename}", packed.read(each)) for each in files)


def read_jar(path: Path) -> Member:
    """Return the jar as it is in the zip; raises ApplicationError for what is none."""
    try:
        with zipfile.ZipFile(path) as packed:
            packed.getinfo(JAR_CONTENT)
        content = path.read_bytes()
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ApplicationError(
            f"JAR must be a jar of Flink's connector for Kinesis, {path} is none: {error}"
        ) from error
    if path.suffix != ".jar" or KINESIS not in path.name:
        raise ApplicationError(
            f"JAR must be flink-sql-connector-aws-kinesis-streams-VERSION.jar for Flink 2.2, got {path.name}"
        )
    return Member(f"lib/{path.name}", content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
