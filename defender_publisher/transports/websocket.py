"""MQTT over WebSocket: the device signs with AWS credentials, and shows no certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from defender_daemon.config import Authentication
from defender_publisher.diagnosis import NO_AWS_CREDENTIALS
from defender_publisher.endpoint import region_of
from defender_publisher.errors import Problem, TransportError
from defender_publisher.transport import Link, Transport, Watcher
from defender_publisher.transports import link_to, open_mqtt

if TYPE_CHECKING:
    from defender_publisher.settings import Settings


class WebSocket:
    """The method "websocket"."""

    port = 443
    unneeded = frozenset({"belong together", "valid today", "issued for this thing"})

    def broken_rules(self, authentication: Authentication) -> Iterator[str]:
        """Yield what keeps the request from being signed for AWS IoT."""
        endpoint = authentication.endpoint
        if not endpoint:
            yield "agent.authentication.endpoint is missing; it is needed with the method websocket"
            return
        region = region_of(endpoint)
        if region is None:
            yield (
                "agent.authentication.endpoint must be AWS's own name (...-ats.iot.REGION.amazonaws.com) with the "
                f"method websocket, because the request is signed for its region; got {endpoint!r}"
            )
        elif authentication.region not in (None, region):
            yield f"agent.authentication.region must be the endpoint's region {region}, got {authentication.region!r}"
        if authentication.port not in (None, self.port):
            yield f"agent.authentication.port must be 443 with the method websocket, got {authentication.port}"

    def files(self, authentication: Authentication) -> Mapping[str, str | None]:
        """Return the authorities alone."""
        return {"root_ca": authentication.root_ca}

    def content_problems(self, authentication: Authentication) -> Iterator[Problem]:
        """Yield nothing: what signs is in no file of ours."""
        yield from ()

    def find_credentials(self, authentication: Authentication) -> str:
        """Return where the SDK finds the AWS credentials that sign; raises TransportError where it finds none."""
        from AWSIoTPythonSDK.core.protocol.connection.cores import SigV4Core  # here, because only the doctor asks

        finder = SigV4Core()
        if not finder._hasCredentialsNecessaryForWebsocket(finder._checkIAMCredentials()):
            raise TransportError(*NO_AWS_CREDENTIALS)
        place = "the environment" if "aws_access_key_id" in finder._checkKeyInEnv() else "~/.aws/credentials"
        return f"no certificate is needed with websocket; AWS credentials are in {place}"

    def link(self, settings: Settings) -> Link:
        """Return the link that shows no certificate."""
        return msgspec.structs.replace(link_to(settings, self.port), websocket=True)

    def tls_context(self, authentication: Authentication) -> ssl.SSLContext:
        """Return a context that trusts the authorities given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authentication.root_ca)
        return context

    def open_transport(self, settings: Settings, watcher: Watcher | None) -> Transport:
        """Return the MQTT transport by WebSocket."""
        return open_mqtt(settings, self.link(settings), watcher)


METHOD = WebSocket()
