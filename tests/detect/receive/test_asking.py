"""At the built-in broker a thing renews its certificate as it would at AWS, and a hostile one gets nothing by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.authority import things
from defender_detect.authority.certificates import new_key, pem_of_key
from defender_detect.authority.directory import Directory
from defender_detect.authority.initialization import Wish
from defender_detect.authority.things import Wanted
from defender_detect.config_file import read_config
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.embedded import EmbeddedBroker
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.limits import Limits
from defender_detect.renewal import CREATE, REGISTER, SHADOW
from defender_detect.renewing import make_renewal
from tests.detect.authority.asking import request
from tests.detect.authority.home import NO_PHRASE, make
from tests.detect.authority.test_things import unpack
from tests.detect.receive.raw_client import HOST, RawClient, connect, message_of, publish, subscribe
from tests.detect.receive.test_receiver import report
from tests.ports import unused_port
from tests.waiting import wait_until

FILTERS = (f"{CREATE}/+", f"{REGISTER}/+")


def now() -> datetime:
    return datetime.now(timezone.utc)


class Home:
    """A Detect at home whose things renew their certificates, and its broker."""

    def __init__(self, path: Path) -> None:
        self.path, self.directory = path, Directory(path / "detect")
        self.port = unused_port()
        make(self.directory.path, Wish(["localhost", HOST], self.port, renewal=True), now())
        (self.directory.path / "state").mkdir()
        self.config = read_config(self.directory.config, {})
        self.limits = Limits(messages_per_second=1e6, bytes_per_second=1e9)
        self._came: list[RawClient] = []
        self.start()

    def start(self) -> None:
        credentials = Credentials(self.directory.roots, self.directory.certificate, self.directory.key)
        renewal = make_renewal(self.config)
        self.broker = EmbeddedBroker(Endpoint(HOST, self.port), credentials, limits=self.limits, answerer=renewal)
        self.broker.start()

    def restart(self) -> None:
        self.broker.stop()
        self.start()

    def add(self, thing: str) -> Credentials:
        bundle = self.path / f"{thing}.tar"
        list(things.add(self.directory, Wanted(thing, self.port, bundle, renews=True), now(), NO_PHRASE))
        files = unpack(bundle)
        return self.keep(thing, files["certificate.pem"], files["private.key"])

    def keep(self, name: str, certificate: bytes, key: bytes) -> Credentials:
        paths = self.path / f"{name}.pem", self.path / f"{name}.key"
        for path, content in zip(paths, (certificate, key)):
            path.write_bytes(content)
        return Credentials(self.directory.roots, *paths)

    def client(self, thing: str, credentials: Credentials) -> RawClient:
        self._came.append(RawClient(self.broker.endpoint, credentials).connect(thing))
        return self._came[-1]

    def close(self) -> None:
        """Let everybody leave, for whom the broker would wait, and stop it."""
        for client in self._came:
            client.socket.close()
        self.broker.stop()

    def lets_in(self, credentials: Credentials) -> bool:
        """Tell whether a certificate lets somebody in: CONNECT is answered."""
        client = RawClient(self.broker.endpoint, credentials).send(connect("somebody"))
        answer = client.read()
        client.socket.close()
        return answer is not None

    def kept(self) -> int:
        return sum(each.stat().st_size for each in (self.directory.path / "state").iterdir())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("defender_detect.receive.broker.WATCH", 0.02)  # no test waits for its next look at the clock
    with closing(Home(tmp_path)) as home:
        yield home


def ask(client: RawClient, topic: str, document: Any) -> tuple[str, dict[str, Any]]:
    """Ask at QoS 1; return the reply, after which comes the acknowledgement."""
    client.send(publish(topic, json.dumps(document).encode(), qos=1))
    replies = []
    for first, body in client.packets():
        if first >> 4 == 4:
            break
        if first >> 4 == 3:
            replies.append(message_of(body))
    ((replied, payload),) = replies
    assert replied.startswith(f"{topic}/")
    return replied.rpartition("/")[2], json.loads(payload)


def listen(client: RawClient, *filters: str) -> RawClient:
    client.send(subscribe(*filters))
    assert (0x90, b"\0\x07" + b"\0" * len(filters)) == client.read()
    return client


def renew(home: Home, thing: str, credentials: Credentials, restart: bool = False) -> Credentials:
    """Go the whole way as a device does; return the new pair."""
    key = new_key()
    created = ask(
        listen(home.client(thing, credentials), *FILTERS), CREATE, {"certificateSigningRequest": request(key, "x")}
    )[1]
    renewed = home.keep(f"{thing}-renewed", created["certificatePem"].encode(), pem_of_key(key))
    assert not home.lets_in(renewed)
    if restart:
        home.restart()
    registering = listen(home.client(thing, credentials), *FILTERS)
    document = {"certificateOwnershipToken": created["certificateOwnershipToken"], "parameters": {"ThingName": thing}}
    assert "accepted" == ask(registering, REGISTER, document)[0]
    if restart:
        home.restart()
    assert home.lets_in(renewed)
    assert home.lets_in(credentials)
    shadow = SHADOW.format(thing)
    committing = listen(home.client(thing, renewed), f"{shadow}/update/+")
    document = {"state": {"reported": {"certificateId": created["certificateId"]}}}
    assert "accepted" == ask(committing, f"{shadow}/update", document)[0]
    return renewed


def test_a_thing_renews_its_certificate_and_the_one_before_ends_with_its_connections(home: Home) -> None:
    old = home.add("rpi-0001")
    before = home.client("connected-before", old)
    renewed = renew(home, "rpi-0001", old)
    assert before.is_closed()
    assert [False, True] == [home.lets_in(each) for each in (old, renewed)]
    home.restart()
    assert [False, True] == [home.lets_in(each) for each in (old, renewed)]
    reporting = home.client("rpi-0001", renewed)
    reporting.send(publish("$aws/things/rpi-0001/defender/metrics/json", report(1)))
    assert [] == reporting.heard()  # it is still served


def test_a_broker_that_is_killed_between_the_answers_has_nothing_half_done(home: Home) -> None:
    old = home.add("rpi-0001")
    renewed = renew(home, "rpi-0001", old, restart=True)
    assert [False, True] == [home.lets_in(each) for each in (old, renewed)]


def test_who_is_removed_is_shut_out_with_what_it_got_over_the_air(home: Home) -> None:
    renewed = renew(home, "rpi-0001", home.add("rpi-0001"))
    connected = home.client("rpi-0001", renewed)
    list(things.remove(home.directory, "rpi-0001", now(), NO_PHRASE))
    assert connected.is_closed()
    assert not home.lets_in(renewed)
    again = home.add("rpi-0001")
    assert home.lets_in(again)
    assert home.lets_in(renew(home, "rpi-0001", again))


def test_a_reply_goes_to_the_connection_that_asked_and_to_no_other(home: Home) -> None:
    credentials, others = home.add("rpi-0001"), home.add("rpi-0002")
    asking = listen(home.client("rpi-0001", credentials), *FILTERS)
    listening = [
        listen(home.client("rpi-0001-again", credentials), *FILTERS),
        listen(home.client("rpi-0002", others), *FILTERS, "#", "+/certificates/#"),
    ]
    assert "accepted" == ask(asking, CREATE, {"certificateSigningRequest": request()})[0]
    assert [[], []] == [each.heard() for each in listening]


def test_who_did_not_subscribe_is_acknowledged_and_hears_nothing(home: Home) -> None:
    client = home.client("rpi-0001", home.add("rpi-0001"))
    client.send(publish(CREATE, json.dumps({"certificateSigningRequest": request()}).encode()))
    assert [] == client.heard()


@pytest.mark.parametrize(
    "topic",
    [
        f"{CREATE}/accepted",
        f"{REGISTER}/accepted",
        CREATE.replace("/json", "/cbor"),
        "$aws/certificates/create/json",
        REGISTER.replace("amazon-defender-rotate", "another"),
        "$aws/things/rpi-0002/shadow/name/rotation/get",
        "$aws/things/rpi-0002/shadow/name/rotation/update",
    ],
)
def test_what_is_no_question_of_the_thing_itself_ends_its_connection(home: Home, topic: str) -> None:
    client = home.client("rpi-0001", home.add("rpi-0001"))
    assert client.send(publish(topic, b"{}")).is_closed()


def test_a_thing_may_not_listen_to_another_ones_wish(home: Home) -> None:
    client = home.client("rpi-0001", home.add("rpi-0001"))
    client.send(subscribe("$aws/things/rpi-0002/shadow/name/rotation/#", "$aws/certificates/#", "$aws/#"))
    assert (0x90, b"\0\x07" + b"\x80" * 3) == client.read()


def test_what_is_registered_for_one_is_not_registered_by_another(home: Home) -> None:
    one, other = (listen(home.client(each, home.add(each)), *FILTERS) for each in ("rpi-0001", "rpi-0002"))
    created = ask(one, CREATE, {"certificateSigningRequest": request()})[1]
    document = {"certificateOwnershipToken": created["certificateOwnershipToken"]}
    for named in ({}, {"ThingName": "rpi-0001"}):
        assert "rejected" == ask(other, REGISTER, {**document, "parameters": named})[0]
    assert 0 == home.kept()


@pytest.mark.parametrize("times", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_thing_that_asks_again_and_again_costs_nobody_else_anything(home: Home, times: int) -> None:
    evil, victim = home.client("evil", home.add("evil")), home.client("rpi-0002", home.add("rpi-0002"))
    question = publish(CREATE, json.dumps({"certificateSigningRequest": request()}).encode())
    evil.send(question * times)
    listen(victim, *FILTERS)
    assert "accepted" == ask(victim, CREATE, {"certificateSigningRequest": request()})[0]
    assert [] == evil.heard()
    assert 0 == home.kept()


def test_a_wish_reaches_a_thing_that_is_connected_and_no_other(home: Home) -> None:
    one, other = (home.client(each, home.add(each)) for each in ("rpi-0001", "rpi-0002"))
    for client, thing in ((one, "rpi-0001"), (other, "rpi-0002")):
        listen(client, f"{SHADOW.format(thing)}/update/delta")
    list(things.renew_over_the_air(home.directory, ["rpi-0001"], now()))
    heard: list[tuple[str, bytes]] = []
    wait_until(lambda: bool(heard.extend(one.heard()) or heard))
    ((topic, payload),) = heard
    assert f"{SHADOW.format('rpi-0001')}/update/delta" == topic
    assert set(json.loads(payload)["state"]) == {"rotate"}
    assert [] == other.heard()
