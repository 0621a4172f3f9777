"""MQTT over mutual TLS: the device shows a certificate, on port 8883, or on 443 by ALPN."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from defender_daemon.certificate import pair_problems
from defender_daemon.config import Authentication
from defender_publisher.endpoint import is_aws
from defender_publisher.errors import Problem
from defender_publisher.transport import Link, Transport, Watcher
from defender_publisher.transports import link_to, open_mqtt

if TYPE_CHECKING:
    from defender_publisher.settings import Settings

NEEDED = ("endpoint", "certificate", "private_key")
PORTS = (8883, 443)  # at AWS
ALPN_PORT, ALPN_PROTOCOL = 443, "x-amzn-mqtt-ca"  # how AWS IoT tells MQTT with a certificate from HTTPS


class Certificate:
    """The method "certificate"."""

    port = 8883
    unneeded: frozenset[str] = frozenset()

    def broken_rules(self, authentication: Authentication) -> Iterator[str]:
        """Yield what is missing, and a port that AWS IoT does not have."""
        for key in NEEDED:
            if not getattr(authentication, key):
                yield f"agent.authentication.{key} is missing; it is needed with the method certificate"
        if is_aws(authentication.endpoint or "") and authentication.port not in (None, *PORTS):
            yield f"agent.authentication.port must be 8883 or 443 for AWS IoT, got {authentication.port}"

    def files(self, authentication: Authentication) -> Mapping[str, str | None]:
        """Return the certificate, its key, and the authorities."""
        return {
            "certificate": authentication.certificate,
            "private_key": authentication.private_key,
            "root_ca": authentication.root_ca,
        }

    def content_problems(self, authentication: Authentication) -> Iterator[Problem]:
        """Yield what is wrong with the certificate and its key, as far as both are given."""
        certificate, private_key = authentication.certificate, authentication.private_key
        if certificate and private_key:
            yield from pair_problems(certificate, private_key)

    def find_credentials(self, authentication: Authentication) -> str:
        """Return the two paths."""
        return f"{authentication.certificate}, {authentication.private_key}"

    def link(self, settings: Settings) -> Link:
        """Return the link that shows the certificate."""
        authentication = settings.agent.authentication
        files = {key: str(getattr(authentication, key)) for key in ("certificate", "private_key")}
        return msgspec.structs.replace(link_to(settings, self.port), **files)

    def tls_context(self, authentication: Authentication) -> ssl.SSLContext:
        """Return the context that the SDK makes: on 443 it trusts the system's authorities as well."""
        alpn = authentication.port == ALPN_PORT
        context = ssl.create_default_context() if alpn else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authentication.root_ca)
        context.load_cert_chain(str(authentication.certificate), authentication.private_key)
        if alpn:
            context.set_alpn_protocols([ALPN_PROTOCOL])
        return context

    def open_transport(self, settings: Settings, watcher: Watcher | None) -> Transport:
        """Return the MQTT transport by mutual TLS."""
        return open_mqtt(settings, self.link(settings), watcher)


METHOD = Certificate()
