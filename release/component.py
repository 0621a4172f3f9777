"""The Greengrass V2 component: a zip for each architecture, and the recipe that names them (`make component`).

https://docs.aws.amazon.com/greengrass/v2/developerguide/component-recipe-reference.html. The zips hold what a device
needs, with its wheels; 32-bit ARM, for which PyPI has none, compiles them on the core.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from release import archive, kit, wheelhouse
from release.archive import Member

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "installers" / "greengrass"
NAME, AUTHOR = "com.github.amazon-defender-publisher", "amazon-defender-publisher"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows: the same commit makes the same zip
NEEDED = ("cbor2", "msgspec", "psutil", "timeloop")  # AWSIoTPythonSDK is not: the nucleus has the connection
LARGEST_RECIPE = 16 * 1024  # bytes; AWS takes no larger one


class Architecture(NamedTuple):
    """An architecture as Greengrass calls it, the words of wheels for it, and the seconds that installing may take."""

    name: str
    wheels: tuple[str, ...]
    timeout: int

    @property
    def zip(self) -> str:
        """The name of its zip, without .zip."""
        return f"amazon-defender-publisher-{self.name}"


ARCHITECTURES = (
    Architecture("amd64", ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux_2_28_x86_64"), 300),
    Architecture("aarch64", ("manylinux2014_aarch64", "manylinux_2_28_aarch64"), 300),
    Architecture("arm", (), 1800),  # which compiles psutil and msgspec for minutes
)


def main(directory: Path = ROOT / "dist" / "greengrass") -> int:
    """Write zips, recipe and the GDK's configuration; return the exit status."""
    try:
        version, wheels = archive.read_version(ROOT), kit.ensure_wheels()
        source = list(kit.read_source(ROOT))
        directory.mkdir(parents=True, exist_ok=True)
        for each in ARCHITECTURES:
            path = directory / f"{each.zip}.zip"
            path.write_bytes(pack([*source, *wheels_for(each, wheels)]))
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        (directory / "recipe.yaml").write_text(recipe(version))
        (directory / "gdk-config.json").write_text(gdk_configuration(version))
    except (archive.ReleaseError, wheelhouse.WheelError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{directory / 'recipe.yaml'}: {NAME} {version}")
    return 0


def pack(members: Iterable[Member]) -> bytes:
    """Return a zip of the members, the same for the same members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in members:
            entry = zipfile.ZipInfo(member.name, DATE)
            entry.external_attr = (0o100755 if member.executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, member.content)
    return content.getvalue()


def wheels_for(architecture: Architecture, wheels: Path) -> Iterator[Member]:
    """Yield the wheels that run on an architecture, and the requirements that they fulfil."""
    fitting = [path for path in sorted(wheels.glob("*.whl")) if _fits(path.name, architecture)]
    yield from (Member(f"wheels/{path.name}", path.read_bytes()) for path in fitting)
    yield Member("wheels/requirements.txt", "".join(requirements(wheels)).encode())
    if architecture.wheels:
        yield Member("wheels/complete", b"")


def requirements(wheels: Path) -> Iterator[str]:
    """Yield a line for each package: a version for the Pythons that the locks have that one for."""
    versions: dict[str, dict[str, str]] = {}
    for path in sorted(wheels.glob("*.whl")):
        name, version, python = path.name.split("-")[:3]
        if name in NEEDED:
            versions.setdefault(name, {}).setdefault(version, python)
    for name, found in versions.items():
        newest = max(found, key=_number)
        for version in found:
            older = version != newest
            condition = f' ; python_version {"<" if older else ">="} "3.10"' if len(found) > 1 else ""
            yield f"{name}=={version}{condition}\n"


def recipe(version: str) -> str:
    """Return the recipe: what `gdk component build` fills in is filled in, but for the bucket."""
    manifest = (SOURCE / "manifest.yaml").read_text()
    text = (SOURCE / "recipe.yaml").read_text() + "".join(
        manifest.replace("{ARCHITECTURE}", each.name).replace("{ZIP}", each.zip).replace("{TIMEOUT}", str(each.timeout))
        for each in ARCHITECTURES
    )
    for word, value in (("{COMPONENT_NAME}", NAME), ("{COMPONENT_VERSION}", version), ("{COMPONENT_AUTHOR}", AUTHOR)):
        text = text.replace(word, value)
    return re.sub(r"\A#.*\n", "", text).replace("COMPONENT_NAME/COMPONENT_VERSION", f"{NAME}/{version}")


def gdk_configuration(version: str) -> str:
    """Return gdk-config.json, by which `gdk component publish` uploads what is here."""
    component = {
        "author": AUTHOR,
        "version": version,
        "build": {"build_system": "custom", "options": {"custom_build_command": ["make", "component"]}},
        "publish": {"bucket": AUTHOR, "region": "eu-west-1"},
    }
    return json.dumps({"component": {NAME: component}, "gdk_version": "1.6.2"}, indent=2) + "\n"


def _fits(wheel: str, architecture: Architecture) -> bool:
    name = wheel.split("-")[0]
    return name in NEEDED and (wheel.endswith("-any.whl") or any(tag in wheel for tag in architecture.wheels))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


if __name__ == "__main__":
    sys.exit(main())
