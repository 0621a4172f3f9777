"""The built-in broker stops when it is told to, without a word, whoever is connected."""

from __future__ import annotations

import socket
import sys

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.receive.credentials import Credentials
from defender_detect.receive.embedded import EmbeddedBroker
from defender_detect.receive.endpoint import Endpoint
from demo.authority import Authority
from tests.detect.receive.test_receiver import HOST, PATIENCE, Thing, credentials_of


@pytest.fixture
def credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("detect", ["localhost", HOST]))


@pytest.fixture
def thing_credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("thing"))


def test_a_broker_that_nobody_is_connected_to_ends_without_a_word(credentials, caplog):
    embedded = EmbeddedBroker(Endpoint(HOST, 0), credentials)
    embedded.start()
    embedded.stop()
    assert "" == caplog.text


def test_a_broker_that_nobody_came_to_stops_without_a_word(credentials, caplog):
    for _ in range(5):
        embedded = EmbeddedBroker(Endpoint(HOST, 0), credentials)
        embedded.start()
        embedded.stop(PATIENCE)
    assert [] == caplog.records


def test_it_stops_though_clients_are_connected(credentials, thing_credentials):
    embedded = EmbeddedBroker(Endpoint(HOST, 0), credentials)
    embedded.start()
    thing = Thing(embedded.endpoint, thing_credentials, "thing")
    context = thing_credentials.client_context()
    with (
        socket.create_connection((HOST, embedded.endpoint.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST),
    ):  # a client that never says anything
        embedded.stop(PATIENCE)
    assert thing.lost.wait(PATIENCE)
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, embedded.endpoint.port)) != 0
