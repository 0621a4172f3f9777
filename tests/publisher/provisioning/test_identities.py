"""One link says which pair is in force; what is not ours is not touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from defender_publisher.errors import ConfigError
from defender_publisher.provisioning.identities import Identities, Slot
from demo.authority import Authority


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


@pytest.fixture
def identities(etc: Path) -> Identities:
    made = Identities(etc, etc / "certificate.pem", etc / "private.key")
    made.prepare()
    return made


def put_pair(identities: Identities, slot: Slot, authority: Authority) -> bytes:
    files = authority.issue("rpi-0001")
    identities.put_key(slot, files.private_key.read_bytes())
    identities.put_certificate(slot, files.certificate.read_bytes())
    return files.private_key.read_bytes()


def test_the_configured_paths_lead_to_whatever_is_in_force(
    identities: Identities, etc: Path, authority: Authority
) -> None:
    keys = {slot: put_pair(identities, slot, authority) for slot in ("a", "b")}
    for slot, spare in (("a", "b"), ("b", "a")):
        identities.turn(slot)
        identities.show()
        assert (slot, spare, True) == (identities.in_force, identities.spare, identities.linked)
        assert keys[slot] == (etc / "private.key").read_bytes()
    assert "identity/private.key" == os.readlink(etc / "private.key")


@pytest.mark.parametrize(
    ("noted", "since"), [(b"1000\n", 1000.0), (b"1001\n", None), (b"nan", None), (b"", None), (None, None)]
)
def test_since_when_a_pair_is_in_force_is_known_as_far_as_it_can_be(
    identities: Identities, authority: Authority, noted: bytes | None, since: float | None
) -> None:
    put_pair(identities, "a", authority)
    identities.turn("a")
    identities.note_taken("a", 12.0)
    assert identities.taken(1000.0) is None, "the configured paths lead elsewhere"
    identities.show()
    path = identities.certificate("a").with_name("taken")
    path.unlink() if noted is None else path.write_bytes(noted)
    assert since == identities.taken(1000.0)
    identities.clear("a")
    assert not path.exists()


def test_paths_in_another_directory_lead_there_too(etc: Path, tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "real" / "ssl").mkdir(parents=True)
    (tmp_path / "ssl").symlink_to("real/ssl")
    identities = Identities(etc, tmp_path / "ssl" / "cert.pem", tmp_path / "ssl" / "cert.key")
    identities.prepare()
    key = put_pair(identities, "a", authority)
    identities.turn("a")
    identities.show()
    assert key == (tmp_path / "ssl" / "cert.key").read_bytes()


def test_a_key_is_its_owners_alone_and_in_its_directory_is_nothing_else(identities: Identities) -> None:
    old = os.umask(0)
    try:
        identities.put_key("a", b"secret")
    finally:
        os.umask(old)
    assert 0o600 == identities.key("a").stat().st_mode & 0o777
    assert ["private.key"] == [path.name for path in identities.key("a").parent.iterdir()]


@pytest.mark.parametrize("target", ["elsewhere", "/etc/identities/a", "identities/a/"])
def test_a_link_of_somebody_elses_is_said_and_left_alone(identities: Identities, etc: Path, target: str) -> None:
    (etc / "identity").symlink_to(target)
    with pytest.raises(ConfigError, match="identity must lead to identities/a or identities/b, but leads to "):
        _ = identities.in_force


def test_a_pair_is_one_only_if_the_key_is_the_certificates(identities: Identities, authority: Authority) -> None:
    put_pair(identities, "a", authority)
    assert identities.has_pair("a")
    identities.put_key("a", authority.issue("rpi-0002").private_key.read_bytes())
    assert not identities.has_pair("a")
    assert not identities.has_pair("b")
