"""Detect answers reports until a signal, at its own broker or at another."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from demo.authority import Authority, Files
from tests.detect.receive.test_receiver import (
    HOST,
    MOSQUITTO,
    Mosquitto,
    Thing,
    credentials_of,
    report,
)
from tests.detect.test_script import Program, arguments_for, needs_amqtt
from tests.ports import unused_port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("detect", ["localhost", HOST])


@pytest.fixture
def files(authority: Authority, server: Files) -> list[str]:
    return arguments_for(authority, server)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.wait()
        program.process.stderr.close()


@needs_amqtt
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_its_own_broker_and_ends_with_0_when_told_to(number, programs, authority, files):
    program = Program("--embedded-broker", "--port", "0", "--debug", *files)
    programs.append(program)
    endpoint = program.ready()
    assert endpoint.host == HOST
    thing = Thing(endpoint, credentials_of(authority, authority.issue("thing")), "thing").listen()
    assert thing.ask(report(3))[1]["reportId"] == 3
    assert thing.ask(report(4))[1]["statusDetails"]["ErrorCode"] == "Throttled"
    program.wait_for(rf"DEBUG thing: report 3 of {len(report(3))} bytes accepted$")
    program.wait_for(rf"WARNING thing: report 4 of {len(report(4))} bytes rejected: Throttled: ")
    assert program.end(number) == 0
    thing.leave()


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_it_answers_at_mosquitto_and_comes_back_to_it(programs, authority, server, files, tmp_path):
    mosquitto = Mosquitto(tmp_path, authority, server)
    try:
        program = Program("--endpoint", HOST, "--port", str(mosquitto.endpoint.port), *files)
        programs.append(program)
        assert program.ready() == mosquitto.endpoint
        mosquitto.stop()
        program.wait_for("WARNING connection to .* lost")
        mosquitto.start()
        program.ready()
        thing = Thing(mosquitto.endpoint, credentials_of(authority, authority.issue("thing")), "thing").listen()
        assert thing.ask(report(3))[1]["status"] == "ACCEPTED"
        assert program.end() == 0
        thing.leave()
    finally:
        mosquitto.stop()


def test_it_ends_with_0_while_there_is_no_broker(programs, files):
    program = Program("--endpoint", HOST, "--port", str(unused_port()), *files)
    programs.append(program)
    program.wait_for("WARNING no connection to .*: .*Connection refused; trying again")
    assert program.end() == 0


def test_it_ends_with_0_while_a_server_says_nothing(programs, files):
    with socket.create_server((HOST, 0)) as silent:
        program = Program("--endpoint", HOST, "--port", str(silent.getsockname()[1]), *files)
        programs.append(program)
        silent.accept()[0].recv(1)
        assert program.end() == 0
