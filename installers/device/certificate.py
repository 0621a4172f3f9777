"""A certificate (X.509, PEM): its ID in AWS IoT and since when it is valid, read without the C library's dates."""

from __future__ import annotations

import argparse
import hashlib
import ssl
from collections.abc import Iterator

from files import read_file
from problem import Problem

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
EXPLICIT_VERSION, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18  # tags of DER
FIRST_OF_UTC = "50"  # a year of two digits is one from 1950 to 2049 (RFC 5280)


def certificate_id(arguments: argparse.Namespace) -> str:
    """Print the certificate's ID in AWS IoT, which is its SHA-256 fingerprint."""
    der = der_of(read_file(arguments.certificate))
    if der is None:
        raise Problem(f"{arguments.certificate} holds no certificate")
    return hashlib.sha256(der).hexdigest()


def is_newer(given: bytes, kept: bytes) -> bool:
    """Whether a certificate is another one than the kept one, and valid since a later moment."""
    ours, theirs = valid_since(kept), valid_since(given)
    return bool(ours and theirs and theirs > ours)


def valid_since(pem: bytes) -> str:
    """Return the moment from which on a certificate is valid, as YYYYMMDDHHMMSS; empty for what is no certificate."""
    der = der_of(pem)
    try:
        (_, certificate), *_ = elements(der or b"")
        (_, inside), *_ = elements(certificate)
        fields = [field for field in elements(inside) if field[0] != EXPLICIT_VERSION]
        (tag, text), *_ = elements(fields[3][1])  # serial number, algorithm, issuer, validity
    except (ValueError, IndexError):
        return ""
    moment = text.decode("ascii", "replace").rstrip("Z")
    if tag == GENERALIZED_TIME:
        return moment
    return ("19" if moment >= FIRST_OF_UTC else "20") + moment if tag == UTC_TIME else ""


def der_of(pem: bytes) -> bytes | None:
    """Return the first certificate in a PEM file as DER, None if there is none."""
    text = pem.decode("ascii", "replace")
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin < 0 or end < 0:
        return None
    try:
        return ssl.PEM_cert_to_DER_cert(text[begin:end] + END)
    except ValueError:
        return None


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each element of DER; raises ValueError or IndexError for what is none."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length - 0x80
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if at + length > len(der):
            raise ValueError("an element that is longer than what it is in")
        yield tag, der[at : at + length]
        at += length
