"""What the tests of deploy.py's parts share: whether they can run at all, and AWS IoT's signature under a request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple

import pytest


def skip_without(*packages: str) -> None:
    """Skip a module where a deployer could not be either; the packages are not imported, since aws_cdk starts Node."""
    if sys.version_info < (3, 10):
        pytest.skip("deploy.py needs Python 3.10 or later, as aws-cdk-lib does", allow_module_level=True)
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        reason = (
            f"{', '.join(missing)} missing: pip install -r infrastructure/requirements.txt -r tests/requirements.txt"
        )
        pytest.skip(reason, allow_module_level=True)


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """Do something with another user's permissions."""
    before = os.geteuid()
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(before)


class Issued(NamedTuple):
    """A certificate as AWS IoT issues it."""

    pem: str
    certificate_id: str


def issue(request: str) -> Issued:
    """Issue a certificate for a request (PEM)."""
    from datetime import datetime, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    csr = x509.load_pem_x509_csr(request.encode())
    assert csr.is_signature_valid
    now, end = datetime.now(timezone.utc), datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    builder = x509.CertificateBuilder().subject_name(csr.subject).issuer_name(x509.Name([]))
    builder = builder.public_key(csr.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(end)
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Issued(pem, certificate.fingerprint(hashes.SHA256()).hex())
