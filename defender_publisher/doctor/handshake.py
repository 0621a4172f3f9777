"""The handshake: TLS with a broker as the SDK speaks it, and what the broker's side of it shows."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from defender_publisher.config import Authentication
from defender_publisher.dates import seconds_of

ALPN_PORT, ALPN_PROTOCOL = 443, "x-amzn-mqtt-ca"  # how AWS IoT tells MQTT with a certificate from HTTPS
ALERT_WITHIN = 1.0  # seconds; under TLS 1.3 a client hears only after its handshake that its certificate is refused


class Server(NamedTuple):
    """The TLS version agreed upon, and until when the server's certificate is valid (seconds since the epoch)."""

    version: str
    ends: float


def greet(line: socket.socket, authentication: Authentication) -> Server:
    """Speak TLS on a connected socket, which is closed afterwards.

    Raises OSError: ssl.SSLCertVerificationError when we do not trust the server, another ssl.SSLError or
    ConnectionResetError when it does not take our certificate.
    """
    context = context_of(authentication)
    with context.wrap_socket(line, server_hostname=str(authentication.endpoint)) as secure:
        certificate = secure.getpeercert() or {}
        server = Server(str(secure.version()), seconds_of(str(certificate["notAfter"])))
        _hear_alert(secure)
    return server


def context_of(authentication: Authentication) -> ssl.SSLContext:
    """Return the context that the SDK makes: on 443 with a certificate it trusts the system's authorities as well."""
    mutual, root_ca = authentication.method == "certificate", authentication.root_ca
    if not mutual:
        return _trusting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), root_ca)
    alpn = authentication.port == ALPN_PORT
    context = _trusting(ssl.create_default_context() if alpn else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), root_ca)
    context.load_cert_chain(str(authentication.certificate), authentication.private_key)
    if alpn:
        context.set_alpn_protocols([ALPN_PROTOCOL])
    return context


def _trusting(context: ssl.SSLContext, root_ca: str | None) -> ssl.SSLContext:
    context.load_verify_locations(root_ca)
    return context


def _hear_alert(secure: ssl.SSLSocket) -> None:
    secure.settimeout(ALERT_WITHIN)
    try:
        if not secure.recv(1):  # a server has nothing to say before CONNECT, so this is its end
            raise ConnectionResetError
    except socket.timeout:  # noqa: UP041 - its own class before Python 3.10
        return
