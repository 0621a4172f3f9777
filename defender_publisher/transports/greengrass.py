"""Through the nucleus of a Greengrass core: by the core's own connection to AWS IoT, without a key of one's own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from defender_daemon.backoff import Backoff
from defender_daemon.config import Authentication
from defender_publisher.errors import ConfigError, Problem
from defender_publisher.greengrass.session import GreengrassSession, Token, find_way, largest_report
from defender_publisher.mqtt import MqttTransport
from defender_publisher.transport import Link, Transport, Watcher

if TYPE_CHECKING:
    from defender_publisher.settings import Settings

NUCLEUS = "the Greengrass nucleus"


class Greengrass:
    """The method "greengrass", which `--greengrass` sets."""

    port = 0
    unneeded = frozenset(
        {
            "Greengrass nucleus",
            "belong together",
            "valid today",
            "issued for this thing",
            "endpoint",
            "DNS",
            "TCP",
            "TLS",
        }
    )

    def broken_rules(self, authentication: Authentication) -> Iterator[str]:
        """Yield why there is no nucleus to go through."""
        try:
            find_way()
        except ConfigError as error:
            yield from error.problems

    def files(self, authentication: Authentication) -> Mapping[str, str | None]:
        """Return none: certificate and key are the nucleus's."""
        return {}

    def content_problems(self, authentication: Authentication) -> Iterator[Problem]:
        """Yield nothing."""
        yield from ()

    def find_credentials(self, authentication: Authentication) -> str:
        """Return whose credentials are used."""
        return "the core's own, which the nucleus has"

    def link(self, settings: Settings) -> Link:
        """Return the link to the nucleus."""
        return Link(NUCLEUS, 0, settings.thing_name, settings.topic, root_ca="")

    def tls_context(self, authentication: Authentication) -> ssl.SSLContext:
        """Return none: TLS is the nucleus's."""
        raise ConfigError(["the connection to the nucleus is no TLS connection"])

    def open_transport(self, settings: Settings, watcher: Watcher | None) -> Transport:
        """Return the transport through the nucleus."""
        return NucleusTransport(settings, self.link(settings), watcher)


class NucleusTransport(MqttTransport):
    """The transport through the nucleus, which says how large a report may be, and may lose the component's token."""

    def __init__(self, settings: Settings, link: Link, watcher: Watcher | None) -> None:
        self.largest_report = largest_report(link.topic)  # until the nucleus has said which one it is
        self._token, way = Token(), find_way()

        def new_session() -> GreengrassSession:
            return GreengrassSession(link, way, self._token, self._limit)

        agent = settings.agent
        super().__init__(link, new_session, agent.format, backoff=Backoff(agent.publish_interval), watcher=watcher)

    @property
    def needs_restart(self) -> str:  # type: ignore[override]
        """Why only a new start helps, once the nucleus no longer knows the component's token."""
        return self._token.problem

    def _limit(self, size: int) -> None:
        self.largest_report = size


METHOD = Greengrass()
