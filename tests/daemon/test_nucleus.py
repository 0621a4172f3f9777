"""A Greengrass nucleus is found by its files, with the thing that it is and whether it serves."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from defender_daemon.nucleus import CLASSIC, LITE, Nucleus, find_nucleus, system_of

EFFECTIVE = """---
services:
  aws.greengrass.Nucleus:
    componentType: "NUCLEUS"
    configuration:
      awsRegion: "eu-west-1"
      thingName: "not this one"
system:
  certificateFilePath: "/greengrass/v2/thingCert.crt"
  rootpath: "/greengrass/v2"
  thingName: "core-1"
"""
LITE_CONFIG = """---
# made by hand
system:
  privateKeyPath: "/etc/greengrass/private.pem.key"
  rootPath: "/var/lib/greengrass/" #[Modify here]
  thingName: 'core-2' # of the workshop
services:
  aws.greengrass.NucleusLite:
    componentType: "NUCLEUS"
"""


def write(path: Path, text: str = "") -> None:
    """Write a file with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def enable(root: Path, unit: str) -> None:
    """Let a unit be started with the machine."""
    write(root / "etc" / "systemd" / "system" / "multi-user.target.wants" / unit)


def test_a_machine_without_greengrass_has_none(tmp_path: Path) -> None:
    assert find_nucleus(tmp_path) is None


def test_the_classic_nucleus_is_known_by_its_effective_configuration(tmp_path: Path) -> None:
    write(tmp_path / "greengrass" / "v2" / "config" / "effectiveConfig.yaml", EFFECTIVE)
    found = Nucleus(CLASSIC, "/greengrass/v2/config/effectiveConfig.yaml", "core-1", serves=False)
    assert found == find_nucleus(tmp_path)
    enable(tmp_path, "greengrass.service")
    assert found._replace(serves=True) == find_nucleus(tmp_path)


def test_the_root_of_the_classic_nucleus_is_that_of_its_unit(tmp_path: Path) -> None:
    unit = "[Service]\nExecStart=/bin/sh /srv/gg/v2/alts/current/distro/bin/loader\n"
    write(tmp_path / "etc" / "systemd" / "system" / "greengrass.service", unit)
    write(tmp_path / "srv" / "gg" / "v2" / "config" / "effectiveConfig.yaml", EFFECTIVE)
    assert Nucleus(CLASSIC, "/srv/gg/v2/config/effectiveConfig.yaml", "core-1", serves=False) == find_nucleus(tmp_path)


@pytest.mark.parametrize(
    "sign",
    [
        "etc/systemd/system/multi-user.target.wants/greengrass-lite.target",
        "usr/lib/systemd/system/greengrass-lite.target.wants/ggl.core.iotcored.service",
        "sys/fs/cgroup/system.slice/ggl.core.iotcored.service/cgroup.procs",
        "run/greengrass/gg_config/socket",
    ],
)
def test_nucleus_lite_serves_where_it_is_enabled_or_runs(tmp_path: Path, sign: str) -> None:
    write(tmp_path / "etc" / "greengrass" / "config.yaml", LITE_CONFIG)
    assert Nucleus(LITE, "/etc/greengrass/config.yaml", "core-2", serves=False) == find_nucleus(tmp_path)
    write(tmp_path / sign)
    assert Nucleus(LITE, "/etc/greengrass/config.yaml", "core-2", serves=True) == find_nucleus(tmp_path)


def test_a_later_file_of_nucleus_lite_counts(tmp_path: Path) -> None:
    write(tmp_path / "etc" / "greengrass" / "config.yaml", LITE_CONFIG)
    write(tmp_path / "etc" / "greengrass" / "config.d" / "10-mine.yaml", "system:\n  thingName: core-3\n")
    write(tmp_path / "etc" / "greengrass" / "config.d" / "20-empty.yaml", 'system:\n  thingName: ""\n')
    found = find_nucleus(tmp_path)
    assert found is not None
    assert "core-3" == found.thing_name


def test_a_name_that_provisioning_gave_is_in_the_database_of_nucleus_lite(tmp_path: Path) -> None:
    """The tables are those of the design of ggconfigd; values are JSON."""
    write(tmp_path / "etc" / "greengrass" / "config.yaml", LITE_CONFIG.replace("'core-2'", '""'))
    own = tmp_path / "var" / "lib" / "greengrass"
    own.mkdir(parents=True)
    database = sqlite3.connect(own / "config.db")
    database.executescript(
        """CREATE TABLE keyTable('keyid' INTEGER PRIMARY KEY AUTOINCREMENT, 'keyvalue' TEXT NOT NULL COLLATE NOCASE);
        CREATE TABLE relationTable('keyid' INT UNIQUE NOT NULL, 'parentid' INT NOT NULL);
        CREATE TABLE valueTable('keyid' INT UNIQUE NOT NULL, 'value' TEXT NOT NULL, 'timeStamp' TEXT);
        INSERT INTO keyTable VALUES (1, 'system'), (2, 'thingName'), (3, 'other'), (4, 'thingName');
        INSERT INTO relationTable VALUES (2, 1), (4, 3);
        INSERT INTO valueTable VALUES (2, '"core-4"', ''), (4, '"not this one"', '');"""
    )
    database.close()
    found = find_nucleus(tmp_path)
    assert found is not None
    assert "core-4" == found.thing_name
    (own / "config.db").write_text("no database")
    found = find_nucleus(tmp_path)
    assert found is not None
    assert found.thing_name is None


def test_one_that_serves_comes_before_one_that_was_left_behind(tmp_path: Path) -> None:
    write(tmp_path / "greengrass" / "v2" / "config" / "effectiveConfig.yaml", EFFECTIVE)
    write(tmp_path / "etc" / "greengrass" / "config.yaml", LITE_CONFIG)
    enable(tmp_path, "greengrass-lite.target")
    found = find_nucleus(tmp_path)
    assert found is not None
    assert (LITE, "core-2") == (found.kind, found.thing_name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('system:\n  thingName: "a b#c" # x\n', "a b#c"),
        ("system:\n    thingName:   core # the name\n", "core"),
        ('"system":\n  "thingName": "core"\n', "core"),
        ("system:\n\n  # thingName: old\n  thingName: new\n", "new"),
        ("system:\r\n  thingName: core\r\n", "core"),
        ("system:\n  thingName: one\n  thingName: two\n", "two"),
        ("system:\n  thingName: {{thing_name}}\n", "{{thing_name}}"),
        ("system:\n  thingName:\nservices:\n  thingName: other\n", None),
        ("system: {thingName: flow}\n", None),
        ("\x00\xff{[", None),
        ("", None),
    ],
)
def test_the_name_is_that_of_the_section_system(text: str, name: str | None) -> None:
    assert name == system_of(text).get("thingName")


@pytest.mark.parametrize("kind", ["directory", "link to itself", "no UTF-8", "pipe"])
def test_a_configuration_that_cannot_be_read_has_no_name_and_is_no_error(tmp_path: Path, kind: str) -> None:
    enable(tmp_path, "greengrass.service")
    path = tmp_path / "greengrass" / "v2" / "config" / "effectiveConfig.yaml"
    path.parent.mkdir(parents=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "no UTF-8":
        path.write_bytes(b"\xff\xfesystem:\n")
    else:
        path.symlink_to(path)
    found = find_nucleus(tmp_path)
    assert found is not None
    assert (None, True) == (found.thing_name, found.serves)
