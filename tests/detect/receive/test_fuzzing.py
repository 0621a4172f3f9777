"""Whatever bytes a client sends, the broker goes on serving the others and logs no fault of its own.

`make fuzz-broker` runs it for FUZZ_SECONDS (120), from FUZZ_SEED if there is one.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_daemon.logs import OneLine
from defender_detect.authority.registrar import Registrar
from defender_detect.authority.wishes import Wishes, write_wishes
from defender_detect.receive.embedded import EmbeddedBroker
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.limits import Limits
from defender_detect.renewal import CREATE, REGISTER, SHADOW, Renewal
from demo.authority import Authority
from tests.detect.authority.asking import request
from tests.detect.receive.raw_client import HOST, PING, RawClient, connect, packet, publish, subscribe, text
from tests.detect.receive.test_receiver import Listening, Thing, credentials_of, report

UNHURRIED = Limits(messages_per_second=1e9, bytes_per_second=1e12, connections=20, handshake=2.0, connect=2.0)
OWN = "$aws/things/evil/defender/metrics/json"
QUESTIONS = [CREATE, REGISTER, f"{SHADOW.format('evil')}/get", f"{SHADOW.format('evil')}/update"]
TOPICS = [
    OWN,
    *QUESTIONS,
    f"{CREATE}/accepted",
    f"{REGISTER}/+",
    "$aws/things/victim/shadow/name/rotation/update",
    "$aws/things/victim/defender/metrics/json",
    "own/topic",
    "a/+",
    "#",
    "",
    "$SYS/x",
    "a\0b",
    "\u202e",
    "/" * 9,
]
ASKED = [  # and with them, spoiled, a request whose signature is wrong
    json.dumps({"certificateSigningRequest": request()}).encode(),
    json.dumps({"certificateOwnershipToken": "AAAA", "parameters": {"ThingName": "evil"}}).encode(),
    json.dumps({"state": {"reported": {"certificateId": "0" * 64}}}).encode(),
    b"[" * 9_000,
    b"",
]
WILLS = [None, (OWN, b"{}"), ("$aws/things/victim/defender/metrics/json", b"{}"), ("", b""), ("a/#", b"x" * 999)]


class Fuzzer:
    """Makes packets up: right ones, right ones with something wrong, and anything."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def session(self) -> Iterator[bytes]:
        """Yield what one connection sends, piece by piece."""
        if self._random.random() < 0.8:
            yield connect("fuzz", keep_alive=60)
        for _ in range(self._random.choice([1, 3, 10, 30])):
            yield self.packet()

    def packet(self) -> bytes:
        """Return a packet, or what is none."""
        kind = self._random.random()
        good = self._good()
        if kind < 0.3:
            return good
        if kind < 0.7:
            return self._spoiled(good)
        if kind < 0.8:
            return packet(self._random.randrange(256), self._random.randbytes(self._random.choice([0, 1, 2, 5, 60])))
        if kind < 0.9:
            return packet(good[0], good[2:], self._random.choice([0, 1, 127, 128, 16_384, 200_000, 2**28 - 1]))
        return self._random.randbytes(self._random.choice([1, 2, 4, 30, 500]))

    def _good(self) -> bytes:
        pick = self._random.choice
        number = self._random.randrange(65_536)
        return pick(
            [
                lambda: connect(
                    pick(["fuzz", "", "x" * 200, "a\nb"]), pick(WILLS), pick([0, 1, 60]), pick([True, False])
                ),
                lambda: connect("fuzz", level=pick([3, 4, 5])),
                lambda: publish(pick(TOPICS), pick([b"", b"{}", report(number + 1), b"\xff"]), pick([0, 1, 2]), number),
                lambda: publish(OWN, report(number + 1)),
                lambda: publish(pick(QUESTIONS), pick(ASKED), pick([0, 1]), number),
                lambda: subscribe(f"{CREATE}/+", f"{REGISTER}/+", packet_id=number),
                lambda: subscribe(
                    *[pick(TOPICS) for _ in range(pick([0, 1, 9]))], packet_id=number, qos=pick([0, 1, 2])
                ),
                lambda: packet(0xA2, number.to_bytes(2, "big") + text(pick(TOPICS))),
                lambda: packet(pick([0x40, 0x50, 0x62, 0x70]), number.to_bytes(2, "big")),
                lambda: PING,
                lambda: b"\xe0\0",
            ]
        )()

    def _spoiled(self, good: bytes) -> bytes:
        spoiled = bytearray(good)
        for _ in range(self._random.choice([1, 1, 2, 5])):
            place = self._random.randrange(len(spoiled) + 1)
            spoiled[place : place + self._random.choice([0, 1, 1, 3])] = self._random.randbytes(
                self._random.choice([0, 1, 1, 2])
            )
        return bytes(spoiled)


class Lines(logging.Handler):
    """Keeps the lines that a log would have."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(OneLine("%(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def fuzz(authority: Authority, state: Path, seconds: float, most_packets: float, seed: int) -> str:
    """Send what a fuzzer makes up, and check that all is well; return how much it was."""
    detect, evil, victim = (credentials_of(authority, authority.issue(name, hosts)) for name, hosts in PEERS.items())
    write_wishes(state / "wishes.json", Wishes().wanting(["evil"], 1.0))
    renewal = Renewal(state, state / "wishes.json", Registrar(authority.issuer, state))
    alerts: dict[str, frozenset[str]] = {"alerts/defender": frozenset()}
    broker = EmbeddedBroker(Endpoint(HOST, 0), detect, alerts, limits=UNHURRIED, answerer=renewal)
    log, fuzzer, sent, connections = Lines(), Fuzzer(seed), 0, 0
    logging.getLogger().addHandler(log)
    broker.start()
    with Listening(broker.endpoint, detect, minimum_interval=0) as listening:
        listening.wait()
        thing = Thing(broker.endpoint, victim, "victim").listen()
        end = time.monotonic() + seconds
        while time.monotonic() < end and sent < most_packets:
            sent, connections = sent + talk(broker.endpoint, evil, list(fuzzer.session())), connections + 1
            if connections % 100 == 0:
                knock(broker.endpoint, fuzzer.packet())
                assert "accepted" == thing.ask(report(connections))[0]
        assert "accepted" == thing.ask(report(2**30))[0]
        thing.leave()
    broker.stop()
    logging.getLogger().removeHandler(log)
    assert [] == [line for line in log.lines if not line.isprintable()]  # as none is with a traceback
    assert len(log.lines) < 30 + seconds
    return f"{sent} packets in {connections} connections, {len(log.lines)} lines of log, seed {seed}"


PEERS: dict[str, tuple[str, ...]] = {"detect": ("localhost", HOST), "evil": (), "victim": ()}


def talk(endpoint: Endpoint, credentials: object, pieces: list[bytes]) -> int:
    """Send the pieces on one connection until it is closed; return how many were sent."""
    client = RawClient(endpoint, credentials)  # type: ignore[arg-type]
    client.socket.settimeout(PATIENCE)
    sent = 0
    with suppress(OSError, ssl.SSLError):
        for sent, piece in enumerate(pieces, 1):  # noqa: B007
            client.socket.sendall(piece)
    client.socket.close()
    return sent


def knock(endpoint: Endpoint, data: bytes) -> None:
    """Send bytes without TLS."""
    with socket.create_connection((endpoint.host, endpoint.port)) as plain, suppress(OSError):
        plain.sendall(data)


def test_2000_made_up_packets_do_no_harm(authority: Authority, tmp_path: Path) -> None:
    fuzz(authority, tmp_path, 60.0, 2_000, seed=13)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_made_up_packets_do_no_harm_for_long(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))
    figures = fuzz(authority, tmp_path, float(os.environ.get("FUZZ_SECONDS") or 120), float("inf"), seed)
    with capsys.disabled():
        print(f"\n{figures}")
