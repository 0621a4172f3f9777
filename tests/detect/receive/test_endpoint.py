"""An endpoint is listened at as it was named, or not at all."""

from __future__ import annotations

import socket

import pytest

from defender_detect.errors import BrokerError
from defender_detect.receive.endpoint import Endpoint, listen

HOST = "127.0.0.1"


def test_a_taken_port_is_said() -> None:
    with listen(Endpoint(HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen(Endpoint(HOST, port))


def test_no_address_is_no_reason_to_listen_everywhere() -> None:
    with pytest.raises(BrokerError, match="must have an address to listen on"):
        listen(Endpoint("", 0))


def test_an_address_that_is_not_this_machines_is_said() -> None:
    with pytest.raises(BrokerError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listen(Endpoint("192.0.2.1", 0))


@pytest.mark.parametrize(
    ("host", "reachable", "text"),
    [("0.0.0.0", "127.0.0.1", "0.0.0.0:1"), ("::", "::1", "[::]:1"), ("broker", "broker", "broker:1")],
)
def test_a_broker_at_every_address_is_reached_at_loopback(host: str, reachable: str, text: str) -> None:
    endpoint = Endpoint(host, 1)
    assert (Endpoint(reachable, 1), text) == (endpoint.reachable, str(endpoint))


def test_only_the_address_that_was_named_is_listened_at() -> None:
    with listen(Endpoint(HOST, 0)) as listener, pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", listener.getsockname()[1]))
