"""An authority is made once, is continued where a run was killed, and is opened only if it is whole and valid."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from defender_detect.authority.certificates import CLOCK_SKEW, Validity, certify, new_key, pem_of, pem_of_key
from defender_detect.authority.directory import Directory
from defender_detect.authority.issuing import (
    EARLIEST,
    VALIDITY,
    check_clock,
    find_or_make,
    open_issuer,
    read_certificate,
    read_key,
)
from defender_detect.authority.passphrase import Passphrase
from defender_detect.errors import AuthorityError
from tests.detect.authority.home import NO_PHRASE, NOW

SECOND = timedelta(seconds=1)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    (tmp_path / "authority").mkdir()
    return Directory(tmp_path)


def refusal(directory: Directory, now: datetime = NOW, passphrase: Passphrase = NO_PHRASE) -> str:
    with pytest.raises(AuthorityError) as caught:
        open_issuer(directory, passphrase, now)
    return str(caught.value)


def test_an_authority_is_made_once_and_is_the_same_afterwards(directory: Directory) -> None:
    made, is_new = find_or_make(directory, "mine", NOW, NO_PHRASE)
    again, is_new_again = find_or_make(directory, "another name", NOW + timedelta(days=9), NO_PHRASE)
    assert (True, False) == (is_new, is_new_again)
    assert made.certificate == again.certificate == open_issuer(directory, NO_PHRASE, NOW).certificate
    assert "CN=mine" == again.certificate.subject.rfc4514_string()


def test_a_key_that_a_killed_run_left_is_the_authoritys(directory: Directory) -> None:
    key = new_key()
    directory.authority_key.write_bytes(pem_of_key(key))
    issuer, is_new = find_or_make(directory, "mine", NOW, NO_PHRASE)
    assert (True, key.public_key()) == (is_new, issuer.certificate.public_key())
    assert pem_of_key(key) == directory.authority_key.read_bytes()


def test_an_authority_is_valid_from_a_little_earlier_until_its_last_second(directory: Directory) -> None:
    find_or_make(directory, "mine", NOW, NO_PHRASE)
    for now in (NOW - CLOCK_SKEW, NOW + VALIDITY - SECOND):
        open_issuer(directory, NO_PHRASE, now)
    assert "before the authority of" in (said := refusal(directory, NOW - CLOCK_SKEW - SECOND))
    assert "clock says 2026-12-01 11:54 UTC" in said
    assert "began (2026-12-01 11:55 UTC): set it" in said
    ended = refusal(directory, NOW + VALIDITY)
    assert f"ended on {NOW + VALIDITY:%Y-%m-%d}: run init with another directory, and add every thing there" in ended


def test_what_is_missing_is_said_with_what_to_do(directory: Directory) -> None:
    assert f"there is no authority in {directory.path}: run amazon-defender-detect init first" == refusal(directory)
    find_or_make(directory, "mine", NOW, NO_PHRASE)
    directory.authority_key.unlink()
    missing = f"{directory.authority_key} is missing, without which nothing can be issued: restore it from a backup"
    assert refusal(directory).startswith(missing)
    with pytest.raises(AuthorityError, match="is missing, without which"):  # nor is another key made for it
        find_or_make(directory, "mine", NOW, NO_PHRASE)
    assert not directory.authority_key.exists()


def test_anothers_key_and_a_certificate_that_is_no_authoritys_are_said(directory: Directory) -> None:
    issuer, _ = find_or_make(directory, "mine", NOW, NO_PHRASE)
    other = new_key()
    thing = certify(issuer, "a", other.public_key(), Validity(NOW, NOW + VALIDITY))
    directory.authority_key.write_bytes(pem_of_key(other))
    assert "do not belong together: restore the two that init made" in refusal(directory)
    directory.authority_certificate.write_bytes(pem_of(thing))
    assert "must be an authority's certificate, and is another one" in refusal(directory)


def test_a_key_with_a_pass_phrase_is_opened_by_it_alone(directory: Directory, tmp_path: Path) -> None:
    phrase = Passphrase(tmp_path / "phrase")
    (tmp_path / "phrase").write_text("secret")
    find_or_make(directory, "mine", NOW, phrase)
    assert b"ENCRYPTED" in directory.authority_key.read_bytes()
    open_issuer(directory, phrase, NOW)
    (tmp_path / "phrase").write_text("Secret")
    assert refusal(directory, passphrase=phrase).endswith("cannot be used: the pass phrase does not open it")


def test_a_damaged_key_another_kind_and_a_damaged_certificate_are_said(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(AuthorityError, match="x.key must be a key on the curve P-256, as init makes it"):
            read_key(path, key.private_bytes(*plain), NO_PHRASE)
    for damaged in (b"", b"\xff", pem_of_key(new_key())[:-40]):
        with pytest.raises(AuthorityError, match="x.key cannot be used: it is damaged; restore it from a backup"):
            read_key(path, damaged, NO_PHRASE)
    assert read_certificate(tmp_path / "none.pem") is None
    (tmp_path / "x.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(AuthorityError, match=r"x.pem must be a certificate \(PEM\), and is not; restore it"):
        read_certificate(tmp_path / "x.pem")


def test_a_clock_from_before_the_release_is_behind() -> None:
    check_clock(EARLIEST)
    for now in (EARLIEST - SECOND, datetime(1970, 1, 1, tzinfo=timezone.utc)):
        with pytest.raises(AuthorityError, match="and no certificate can begin then: set it"):
            check_clock(now)
