"""A bundle is the same bytes for the same files, its key is its owner's alone, and it names the files beside it."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from defender_detect.authority.bundle import (
    CERTIFICATE,
    CONFIG,
    KEY,
    LONG_AGO,
    PROVISIONING,
    ROOTS,
    compose_config,
    is_there,
    pack,
    write_bundle,
)
from defender_detect.errors import AuthorityError

FILES = {CONFIG: b"{}", CERTIFICATE: b"public", KEY: b"secret", ROOTS: b""}


def members(raw: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {each.name: each for each in tar}


def config(*given: Any, **options: Any) -> Any:
    return json.loads(compose_config(*given, **options))["agent"]


def test_a_bundle_holds_each_file_with_its_content_and_only_the_key_is_private() -> None:
    raw = pack(FILES)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert FILES == {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
    assert {CONFIG: 0o644, CERTIFICATE: 0o644, KEY: 0o600, ROOTS: 0o644} == {
        name: each.mode for name, each in members(raw).items()
    }


def test_the_same_files_make_the_same_bytes_owned_by_root_and_dated_where_no_clock_finds_it_implausible() -> None:
    assert pack(FILES) == pack(FILES)
    assert {(LONG_AGO, 0, 0, True)} == {(each.mtime, each.uid, each.gid, each.isreg()) for each in members(
        pack(FILES)).values()}  # fmt: skip
    assert {} == members(pack({}))


def test_a_configuration_names_the_files_beside_it_and_where_the_broker_is() -> None:
    agent = config("rpi-0001", "detect.home", 18883)
    assert "rpi-0001" == agent["thing_name"]
    assert agent["authentication"] == {
        "endpoint": "detect.home", "port": 18883, "certificate": CERTIFICATE, "private_key": KEY, "root_ca": ROOTS,
    }  # fmt: skip


def test_only_a_thing_that_renews_over_the_air_is_told_how() -> None:
    assert "provisioning" not in config("a", "b", 1)
    assert PROVISIONING == config("a", "b", 1, renews=True)["provisioning"]


def test_a_bundle_is_written_for_its_owner_alone_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    assert not is_there(path)
    path.touch(mode=0o666)
    assert is_there(path)
    write_bundle(path, FILES)
    assert pack(FILES) == path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("user", "sudo", "owners"),
    [
        (0, ("1000", "100"), [(1000, 100)]),
        (0, ("", ""), []),
        (0, ("1000", ""), []),
        (0, ("-1", "100"), []),
        (1000, ("1001", "100"), []),
    ],
    ids=["sudo", "root itself", "half", "no number", "not root"],
)
def test_a_bundle_is_given_to_whoever_called_sudo_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, sudo: tuple[str, str], owners: list[tuple[int, int]]
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "fchown", lambda descriptor, uid, gid: given.append((uid, gid)))
    monkeypatch.setenv("SUDO_UID", sudo[0])
    monkeypatch.setenv("SUDO_GID", sudo[1])
    write_bundle(tmp_path / "a.tar", FILES)
    assert owners == given


def test_where_no_bundle_can_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="no/a.tar: No such file or directory"):
        write_bundle(tmp_path / "no" / "a.tar", FILES)
