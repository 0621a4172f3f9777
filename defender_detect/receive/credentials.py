"""Who Detect is and whom it trusts: the files of mutual TLS, and the TLS contexts made of them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from defender_detect.errors import CredentialsError

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Credentials:
    """The authorities to trust, an own certificate and its private key, all PEM files."""

    root_ca: Path
    certificate: Path
    private_key: Path

    def client_context(self) -> ssl.SSLContext:
        """Make the context of a client, which checks the broker's certificate and host name."""
        return self._make_context(ssl.Purpose.SERVER_AUTH)

    def server_context(self) -> ssl.SSLContext:
        """Make the context of a broker, which lets nobody in without a certificate."""
        context = self._make_context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET  # a session that is resumed is not verified again
        context.num_tickets = 0
        return context

    def read_certificate(self) -> bytes:
        """Return the own certificate in DER, the form a peer's certificate has."""
        pem = self.certificate.read_text()
        return ssl.PEM_cert_to_DER_cert(pem[pem.index(BEGIN) : pem.index(END) + len(END)])

    def _make_context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        check_readable(self.root_ca, "the root CA file")
        check_readable(self.certificate, "the certificate")
        check_readable(self.private_key, "the private key")
        context = create_context(purpose, self.root_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_certificate(context, self.certificate, self.private_key)
        return context


def check_readable(path: Path, what: str) -> None:
    """Refuse a file that cannot be read, by its name: ssl's own errors do not say which one it was."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise CredentialsError(f"{what} {path} cannot be read: {error.strerror}") from error


def create_context(purpose: ssl.Purpose, root_ca: Path) -> ssl.SSLContext:
    """Make a context that trusts the authorities in a file, and no others."""
    try:
        return ssl.create_default_context(purpose, cafile=str(root_ca))
    except ssl.SSLError as error:
        raise CredentialsError(f"the root CA file {root_ca} must hold PEM certificates, it does not") from error


def load_certificate(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    """Give a context its own certificate and private key."""

    def refuse() -> NoReturn:  # otherwise OpenSSL asks on the terminal
        raise CredentialsError(f"the private key {private_key} must not be encrypted, a daemon can type no pass phrase")

    try:
        context.load_cert_chain(str(certificate), str(private_key), password=refuse)
    except ssl.SSLError as error:
        reason = (error.reason or "no PEM").replace("_", " ").lower()
        files = f"the certificate {certificate} and the private key {private_key}"
        raise CredentialsError(f"{files} must be PEM files that belong together, they do not: {reason}") from error
