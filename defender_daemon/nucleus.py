"""The Greengrass nucleus of this machine, found by its files: which one it is, whether it serves, and as which thing.

A core's MQTT client ID is its thing name, so that whoever connects to AWS IoT under it disconnects the nucleus. The
installers load this module before there is any package: standard library only.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CLASSIC, LITE = "Greengrass nucleus", "Greengrass nucleus lite"
UNITS = {  # of systemd; the nucleus is enabled, or runs, where one of them is
    CLASSIC: ("greengrass.service",),
    LITE: ("greengrass-lite.target", "ggl.core.iotcored.service"),
}
UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
CONTROL_GROUPS = ("sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice")  # of services that run; v2, v1
CLASSIC_ROOT = "/greengrass/v2"  # unless its unit says another one
LITE_CONFIG, LITE_ROOT = "/etc/greengrass", "/var/lib/greengrass"
LOADER = re.compile(r"(/\S+)/alts/current/distro/bin/loader")  # in the unit of the classic nucleus
LARGEST = 4_000_000  # bytes of a file that is read; an effective configuration of many components has some 100,000
SECTION, KEY = re.compile(r"""["']?([\w.]+)["']?\s*:"""), re.compile(r"""\s+["']?(\w+)["']?\s*:\s*(.*)""")
THING_NAME = """SELECT value FROM valueTable JOIN relationTable USING (keyid) JOIN keyTable AS own USING (keyid)
    JOIN keyTable AS above ON above.keyid = parentid WHERE own.keyvalue = 'thingName' AND above.keyvalue = 'system'"""


class Nucleus(NamedTuple):
    """A nucleus: its kind, the file of its configuration, its thing name if that can be read, and whether it serves."""

    kind: str
    config: str
    thing_name: str | None
    serves: bool  # it runs, or is started with the machine

    def __str__(self) -> str:
        return f"{self.kind} ({self.config})"


def find_nucleus(root: Path = Path("/")) -> Nucleus | None:
    """Return the nucleus of a file system, one that serves before one that only lies there; None if there is none."""
    found = [*_find_classic(root), *_find_lite(root)]
    return next((each for each in found if each.serves), found[0] if found else None)


def _find_classic(root: Path) -> Iterator[Nucleus]:
    serves = _serves(root, CLASSIC)
    units = [_text(root / directory / unit) for directory in UNIT_DIRECTORIES for unit in UNITS[CLASSIC]]
    named = [match[1] for match in map(LOADER.search, units) if match]
    own = named[0] if named else CLASSIC_ROOT
    files = [_below(root, f"{own}/config/{name}") for name in ("effectiveConfig.yaml", "config.yaml")]
    if serves or any(map(_is_there, files)):
        names = [name for name in (system_of(_text(each)).get("thingName") for each in files) if name]
        yield Nucleus(CLASSIC, f"{own}/config/effectiveConfig.yaml", names[0] if names else None, serves)


def _find_lite(root: Path) -> Iterator[Nucleus]:
    serves = _serves(root, LITE) or (root / "run" / "greengrass").is_dir()
    first = _below(root, f"{LITE_CONFIG}/config.yaml")
    more: list[Path] = []
    with contextlib.suppress(OSError):
        more = sorted(_below(root, f"{LITE_CONFIG}/config.d").iterdir())
    if serves or _is_there(first) or more:
        system: dict[str, str] = {}
        for path in (first, *more):  # of which the later one counts, as nucleus lite reads them
            system.update(system_of(_text(path)))
        own = _below(root, system.get("rootPath") or LITE_ROOT)
        yield Nucleus(LITE, f"{LITE_CONFIG}/config.yaml", system.get("thingName") or _provisioned(own), serves)


def system_of(text: str) -> dict[str, str]:
    """Return the strings of the section `system` of a nucleus's configuration, as far as YAML's plain style goes."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line[:1].strip() and not line.startswith("#"):
            match = SECTION.match(line)
            section = match[1] if match else ""
        elif section == "system" and (match := KEY.fullmatch(line)):
            value = _scalar(match[2])
            found.update({match[1]: value} if value else {})
    return found


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] in ('"', "'"):
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _provisioned(own: Path) -> str | None:
    """Return the name that nucleus lite was given when it was provisioned, which is in its database only."""
    path = own / "config.db"
    if not _is_there(path):
        return None
    import sqlite3  # here, because few need it

    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute(THING_NAME).fetchone()
        name = json.loads(row[0]) if row else None
    except (sqlite3.Error, ValueError, TypeError):
        return None
    return name if isinstance(name, str) and name else None


def _serves(root: Path, kind: str) -> bool:
    return any(_is_enabled(root, unit) or _runs(root, unit) for unit in UNITS[kind])


def _is_enabled(root: Path, unit: str) -> bool:
    found = []
    for directory in UNIT_DIRECTORIES:
        with contextlib.suppress(OSError):
            found += list((root / directory).glob(f"*.wants/{unit}"))
    return bool(found)


def _runs(root: Path, unit: str) -> bool:
    return any((root / directory / unit).is_dir() for directory in CONTROL_GROUPS)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # not for this user, who sees that much only
        return True


def _text(path: Path) -> str:
    """Return what a file says, nothing for one that is not there or not to be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
