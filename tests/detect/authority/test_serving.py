"""A server keeps its key when its certificate is renewed, and is given another certificate only where it needs one."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography import x509

from defender_detect.authority.certificates import (
    CLIENT,
    SERVER,
    Issuer,
    Validity,
    certify,
    hosts_of,
    is_issued_by,
    new_key,
    pem_of,
    pem_of_key,
    sign_itself,
)
from defender_detect.authority.directory import Directory
from defender_detect.authority.serving import certify_detect, certify_server, detect_certificate, why_to_certify
from defender_detect.errors import AuthorityError
from tests.detect.authority.home import NOW

ENDS = NOW + timedelta(days=3650)


def authority() -> Issuer:
    key = new_key()
    return Issuer(sign_itself("mine", key, Validity(NOW - timedelta(days=1), ENDS)), key)


ISSUER = authority()


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def why(directory: Directory, *hosts: str, issuer: Issuer = ISSUER) -> str:
    return why_to_certify(directory.certificate, directory.key, issuer.certificate, hosts)


def test_detects_certificate_is_a_clients_and_a_servers_and_ends_with_the_authority(directory: Directory) -> None:
    made = certify_detect(directory, ISSUER, ["detect.home", "10.0.0.1"], NOW)
    assert made == detect_certificate(directory)
    assert "CN=amazon-defender-detect" == made.subject.rfc4514_string()
    assert [CLIENT, SERVER] == list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert (["detect.home", "10.0.0.1"], ENDS) == (hosts_of(made), made.not_valid_after_utc)
    assert is_issued_by(made, ISSUER.certificate)
    assert NOW - timedelta(hours=1) < made.not_valid_before_utc < NOW


def test_a_renewal_keeps_the_key_which_only_its_owner_reads(directory: Directory) -> None:
    first = certify_detect(directory, ISSUER, ["a"], NOW)
    key = directory.key.read_bytes()
    second = certify_detect(directory, ISSUER, ["b"], NOW + timedelta(days=1))
    assert (key, first.public_key()) == (directory.key.read_bytes(), second.public_key())
    assert first.serial_number != second.serial_number
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (directory.key, directory.certificate)]
    assert [0o600, 0o644] == modes


def test_a_key_with_a_pass_phrase_is_none_that_a_daemon_can_use(directory: Directory) -> None:
    directory.key.write_bytes(pem_of_key(new_key(), b"secret"))
    with pytest.raises(AuthorityError, match="there is no terminal to type the pass phrase at"):
        certify_detect(directory, ISSUER, [], NOW)
    assert not directory.certificate.exists()


def test_a_certificate_is_needed_where_one_of_the_two_files_is_missing(directory: Directory) -> None:
    assert "made" == why(directory)
    certify_detect(directory, ISSUER, ["a"], NOW)
    assert "" == why(directory, "a")
    for path in (directory.key, directory.certificate):
        content = path.read_bytes()
        path.unlink()
        assert "made" == why(directory, "a")
        path.write_bytes(content)


def test_a_certificate_is_renewed_for_more_hosts_and_not_for_fewer(directory: Directory) -> None:
    certify_detect(directory, ISSUER, ["a", "b", "::1"], NOW)
    assert ["", "", "", "renewed", "renewed"] == [
        why(directory, *hosts) for hosts in ((), ("b", "a"), ("::1",), ("a", "c"), ("A",))
    ]


def test_another_keys_certificate_is_repaired(directory: Directory) -> None:
    certify_detect(directory, ISSUER, ["a"], NOW)
    directory.key.write_bytes(pem_of_key(new_key()))
    assert "repaired" == why(directory, "a") == why(directory, "c")


def test_anothers_certificate_stays_and_is_said(directory: Directory) -> None:
    certify_detect(directory, authority(), ["a"], NOW)
    before = directory.certificate.read_bytes()
    with pytest.raises(AuthorityError, match="is another authority's and not issued by the one here: move it away"):
        why(directory, "a")
    assert before == directory.certificate.read_bytes()


def test_without_detects_certificate_it_says_what_makes_it(directory: Directory) -> None:
    with pytest.raises(AuthorityError) as caught:
        detect_certificate(directory)
    said = f"there is no {directory.certificate}: run amazon-defender-detect init {directory.path}"
    assert said == str(caught.value)


def test_a_server_that_is_none_of_ours_by_its_uses(tmp_path: Path) -> None:
    made = certify_server(tmp_path / "m.pem", tmp_path / "m.key", ISSUER, "mosquitto", ["a"], (SERVER,), NOW)
    assert "CN=mosquitto" == made.subject.rfc4514_string()
    assert [SERVER] == list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    plain = certify(ISSUER, "x", new_key().public_key(), Validity(NOW, ENDS))
    (tmp_path / "m.pem").write_bytes(pem_of(plain))
    assert "repaired" == why_to_certify(tmp_path / "m.pem", tmp_path / "m.key", ISSUER.certificate, [])
