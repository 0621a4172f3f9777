"""The SDK: opens the MQTT transport by AWSIoTPythonSDK, if it is one that checks whom it connects to."""

from __future__ import annotations

from functools import partial

import AWSIoTPythonSDK

from defender_daemon.backoff import Backoff
from defender_publisher.errors import ConfigError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.session import Companion, Session
from defender_publisher.settings import Settings
from defender_publisher.tcp import open_socket
from defender_publisher.transport import Link, Watcher

OLDEST_SDK = (1, 6, 1)


def open_mqtt(settings: Settings, link: Link, watcher: Watcher | None = None) -> MqttTransport:
    """Return the transport of a link, not yet connected; raises ConfigError for an old SDK."""
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


def check_sdk(version: str) -> None:
    """Raise ConfigError for an SDK that connects to any server, whoever it claims to be."""
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers < OLDEST_SDK:
        raise ConfigError(
            [f"AWSIoTPythonSDK must be at least 1.6.1, which checks the server's name; this is {version}"]
        )
