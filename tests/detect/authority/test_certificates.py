"""A certificate says whose it is, what it may do and until when, and no more; whether one issued another is told."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from defender_detect.authority.certificates import (
    CLIENT,
    CLOCK_SKEW,
    LONGEST_COMMON_NAME,
    SERVER,
    Issuer,
    Validity,
    certify,
    hosts_of,
    is_authority,
    is_issued_by,
    list_revoked,
    new_key,
    pem_of,
    pem_of_key,
    sign_itself,
)

BEGIN, END = datetime(2026, 12, 1, tzinfo=timezone.utc), datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
VALIDITY = Validity(BEGIN, END)


def authority(name: str = "authority") -> Issuer:
    key = new_key()
    return Issuer(sign_itself(name, key, VALIDITY), key)


ISSUER = authority()


def issued(name: str = "rpi-0001", hosts: tuple[str, ...] = (), unit: str = "") -> x509.Certificate:
    return certify(ISSUER, name, new_key().public_key(), VALIDITY, hosts, unit=unit)


def usage(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "key_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    return {name for name in names if getattr(found, name)}


def test_an_authority_signs_certificates_and_lists_of_things_and_of_no_other_authority() -> None:
    certificate = ISSUER.certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, True, 0) == (constraints.critical, constraints.value.ca, constraints.value.path_length)
    assert {"key_cert_sign", "crl_sign"} == usage(certificate)
    assert isinstance(ISSUER.key.curve, ec.SECP256R1)


def test_what_is_issued_names_its_owner_and_cannot_issue_further() -> None:
    made = issued(unit="over the air")
    assert "CN=rpi-0001,OU=over the air" == made.subject.rfc4514_string()
    assert "CN=rpi-0001" == issued().subject.rfc4514_string()
    assert ({"digital_signature"}, False) == (usage(made), is_authority(made))
    assert [CLIENT] == list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert (BEGIN, END) == (made.not_valid_before_utc, made.not_valid_after_utc)
    assert made.serial_number != issued(unit="over the air").serial_number


def test_a_server_is_for_its_names_and_addresses_in_their_order() -> None:
    made = issued("detect", ("detect.home", "192.168.1.10", "::1"))
    assert ["detect.home", "192.168.1.10", "::1"] == hosts_of(made)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [x509.DNSName, x509.IPAddress, x509.IPAddress] == [type(each) for each in names]
    assert [] == hosts_of(issued())
    both = certify(ISSUER, "detect", new_key().public_key(), VALIDITY, uses=(CLIENT, SERVER))
    assert [CLIENT, SERVER] == list(both.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_whether_an_authority_has_signed_a_certificate_goes_by_its_key_and_not_by_its_name() -> None:
    namesake, made = authority(), issued()
    assert is_issued_by(made, ISSUER.certificate)
    assert is_issued_by(ISSUER.certificate, ISSUER.certificate)
    assert not is_issued_by(made, namesake.certificate)
    assert not is_issued_by(made, authority("another").certificate)
    assert not is_issued_by(ISSUER.certificate, made)


def test_a_certificate_without_constraints_is_no_authority() -> None:
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, ISSUER.key.public_key(), 7, BEGIN, END)
    from cryptography.hazmat.primitives import hashes

    assert not is_authority(builder.sign(ISSUER.key, hashes.SHA256()))
    assert is_authority(ISSUER.certificate)


def test_a_list_of_the_revoked_holds_each_and_ends_with_the_authority() -> None:
    made = list_revoked(ISSUER, [7, 2**159 - 1], BEGIN + timedelta(days=1))
    assert [7, 2**159 - 1] == [each.serial_number for each in made]
    assert END == made.next_update_utc
    assert BEGIN + timedelta(days=1) - CLOCK_SKEW == made.last_update_utc
    assert made.is_signature_valid(ISSUER.key.public_key())
    assert [] == list(list_revoked(ISSUER, [], BEGIN))


def test_the_number_of_a_list_grows_with_the_clock_to_the_millisecond() -> None:
    def number(now: datetime) -> int:
        found = list_revoked(ISSUER, [], now).extensions.get_extension_for_class(x509.CRLNumber)
        return found.value.crl_number

    assert number(BEGIN) < number(BEGIN + timedelta(milliseconds=1)) < number(END)


def test_a_key_is_closed_by_its_pass_phrase_and_open_without() -> None:
    key = new_key()
    closed, plain = pem_of_key(key, "päss".encode()), pem_of_key(key)
    assert b"ENCRYPTED" in closed
    assert b"ENCRYPTED" not in plain
    for pem, phrase in ((closed, "päss".encode()), (plain, None)):
        opened = serialization.load_pem_private_key(pem, phrase)
        assert isinstance(opened, ec.EllipticCurvePrivateKey)
        assert key.private_numbers() == opened.private_numbers()


def test_a_certificate_of_the_longest_name_and_of_anothers_kind_of_key_is_read_again() -> None:
    name, key = "x" * LONGEST_COMMON_NAME, rsa.generate_private_key(65537, 2048).public_key()
    made = x509.load_pem_x509_certificate(pem_of(certify(ISSUER, name, key, VALIDITY)))
    assert (f"CN={name}", key) == (made.subject.rfc4514_string(), made.public_key())
    with pytest.raises(ValueError, match="64"):
        issued(name + "x")
