"""The transports: the ways to Device Defender, each a module named as `agent.authentication.method` names it.

A new one takes a module with a METHOD, the name in the `method` of `defender_daemon.config`, and a test.
"""

from __future__ import annotations

import importlib
import ssl
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from defender_daemon.config import Authentication
from defender_publisher.errors import Problem
from defender_publisher.transport import Link, Transport, Watcher

if TYPE_CHECKING:  # which ask here what a method needs
    from defender_publisher.mqtt import MqttTransport
    from defender_publisher.session import Companion
    from defender_publisher.settings import Settings


class Method(Protocol):
    """What one way to Device Defender needs of the configuration and of the device, and how it is opened."""

    @property
    def port(self) -> int:
        """The port where none is given."""

    @property
    def unneeded(self) -> frozenset[str]:
        """The doctor's checks that this way does without, by their names."""

    def broken_rules(self, authentication: Authentication) -> Iterator[str]:
        """Yield a sentence for every key that is missing, or that does not go with the others."""

    def files(self, authentication: Authentication) -> Mapping[str, str | None]:
        """Return the paths of the files that must be readable, by their keys."""

    def content_problems(self, authentication: Authentication) -> Iterator[Problem]:
        """Yield what is wrong with the content of readable files."""

    def find_credentials(self, authentication: Authentication) -> str:
        """Return where the credentials are; raises DefenderError where there are none."""

    def link(self, settings: Settings) -> Link:
        """Return whom to connect to, and as whom."""

    def tls_context(self, authentication: Authentication) -> ssl.SSLContext:
        """Return the context that the transport's own TLS has, for the doctor to try."""

    def open_transport(self, settings: Settings, watcher: Watcher | None) -> Transport:
        """Return the transport, not yet connected; raises ConfigError where it cannot be opened on this device."""


def open_transport(settings: Settings, watcher: Watcher | None = None) -> Transport:
    """Return the way that reports take, not yet connected; raises ConfigError where there is none on this device."""
    if settings.agent.dry_run:
        from defender_publisher.transports.console import Console

        return Console(sys.stdout, settings.agent.format)
    return method_of(settings.agent.authentication).open_transport(settings, watcher)


def method_of(authentication: Authentication) -> Method:
    """Return the method that the configuration names; its module is loaded where it is used."""
    return cast(Method, importlib.import_module(f"{__name__}.{authentication.method}").METHOD)


def link_to(settings: Settings, default_port: int) -> Link:
    """Return the link to the broker that the configuration names, without what the device shows it."""
    authentication = settings.agent.authentication
    return Link(
        host=str(authentication.endpoint),
        port=int(authentication.port or default_port),
        client_id=str(settings.agent.client_id),
        topic=settings.topic,
        root_ca=str(authentication.root_ca),
    )


def open_mqtt(settings: Settings, link: Link, watcher: Watcher | None = None) -> MqttTransport:
    """Return the transport by the SDK, not yet connected; raises ConfigError for an old SDK."""
    import AWSIoTPythonSDK  # here, with what needs it, because who checks a configuration does without

    from defender_daemon.backoff import Backoff
    from defender_publisher.mqtt import MqttTransport
    from defender_publisher.sdk import check_sdk
    from defender_publisher.session import Session
    from defender_publisher.tcp import open_socket

    check_sdk(AWSIoTPythonSDK.__version__)
    agent = settings.agent
    make_socket = partial(open_socket, link.host, link.port, agent.proxy)
    companion = _wish_listener(settings)
    return MqttTransport(
        link,
        lambda: Session(link, make_socket, companion),
        agent.format,
        answered=agent.topic is None,
        backoff=Backoff(agent.publish_interval),
        watcher=watcher,
    )


def _wish_listener(settings: Settings) -> Companion | None:
    """Return what hears that another certificate is wished for, where the device can get one."""
    given = settings.agent.provisioning
    if given is None or given.rotation_template is None:
        return None
    from defender_publisher.provisioning.wish import WishListener  # here, because most do without

    return WishListener(settings.thing_name, str(settings.agent.state_directory))
