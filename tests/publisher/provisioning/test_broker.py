"""Sessions of provisioning: as whom, with which pair, what is heard on them, and that each is closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from defender_publisher.errors import NotConnected, NotLetIn, NotValidNow, TransportError
from defender_publisher.provisioning import broker as module
from defender_publisher.provisioning.broker import Broker, Pair
from defender_publisher.provisioning.calls import Pace
from defender_publisher.provisioning.errors import ProvisioningError
from defender_publisher.settings import read_settings
from defender_publisher.transport import Link
from demo.authority import Authority


class FakeSession:
    """A session that notes what is done with it."""

    made: list[FakeSession]
    error: TransportError | None

    def __init__(self, link: Link, make_socket: Callable[[], Any]) -> None:
        self.link, self.steps = link, list[Any]()
        self.made.append(self)

    def open(self, replies_required: bool) -> None:
        self.steps.append(("open", replies_required))
        if self.error is not None:
            raise self.error

    def subscribe(self, topic: str) -> None:
        self.steps.append(("subscribe", topic))

    def close(self) -> None:
        self.steps.append("close")


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    monkeypatch.setattr(module, "Session", FakeSession)
    monkeypatch.setattr(module.gc, "collect", lambda: 0)  # the heap of a test run is no device's
    FakeSession.made, FakeSession.error = [], None
    return FakeSession


def pair_of(authority: Authority, name: str) -> Pair:
    files = authority.issue(name)
    return Pair(files.certificate, files.private_key)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return pair_of(authority, "broker-test")


@pytest.fixture
def paced() -> list[float]:
    """The seconds that were to be waited."""
    return []


@pytest.fixture
def make(tmp_path: Path, pair: Pair, paced: list[float]) -> Callable[..., Broker]:
    """Make a broker by a configuration with these keys of `agent`; what it waits is noted and not waited."""

    def make(**agent: Any) -> Broker:
        files = {"certificate": str(pair.certificate), "private_key": str(pair.private_key)}
        authentication = {"endpoint": "a1-ats.iot.eu-west-1.amazonaws.com", **files}
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"agent": {"thing_name": "rpi-1", "authentication": authentication, **agent}}))
        return Broker(read_settings(path, {}, credentials=False), Pace(paced.append))

    return make


def test_who_asks_connects_under_its_client_id_hears_the_replies_and_hangs_up(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair
) -> None:
    with make().asker("claim-rpi-1", pair, "fleet", rotates=False) as asker:
        (session,) = sessions.made
        assert ("fleet", False) == (asker.template, asker.rotates)
        assert "close" not in session.steps
    link = session.link
    assert ("claim-rpi-1", "a1-ats.iot.eu-west-1.amazonaws.com", ()) == (link.client_id, link.host, link.reply_topics)
    assert (str(pair.certificate), str(pair.private_key)) == (link.certificate, link.private_key)
    assert 4 == sum(step[0] == "subscribe" for step in session.steps)
    assert "close" == session.steps[-1]


@pytest.mark.parametrize(("length", "expected"), [(128, 128), (129, 128)])
def test_a_client_id_is_cut_to_what_aws_takes(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair, length: int, expected: int
) -> None:
    with make().asker("x" * length, pair, "fleet", rotates=True):
        assert expected == len(sessions.made[0].link.client_id)


def test_who_asks_is_hung_up_on_whatever_goes_wrong(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair
) -> None:
    with pytest.raises(KeyboardInterrupt), make().asker("claim-rpi-1", pair, "fleet", rotates=False):
        raise KeyboardInterrupt
    assert "close" == sessions.made[0].steps[-1]


@pytest.mark.parametrize(
    ("error", "final"), [(NotConnected("no route"), False), (NotLetIn("no", outspoken=True), True)]
)
def test_who_is_not_connected_is_told_as_whom(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair, error: TransportError, final: bool
) -> None:
    sessions.error = error
    with (
        pytest.raises(ProvisioningError, match="connect: as claim-rpi-1: no") as raised,
        make().asker("claim-rpi-1", pair, "fleet", rotates=False),
    ):
        pytest.fail("there is nobody to ask")
    assert final == raised.value.final


def test_one_client_id_connects_once_a_second_and_another_at_once(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair, paced: list[float]
) -> None:
    broker = make()
    for name, waited in (("rpi-1", 0), ("claim-rpi-1", 0), ("rpi-1", 1)):
        with broker.asker(name, pair, "fleet", rotates=False):
            pass
        assert waited == len(paced)
    broker.open_as("rpi-1", pair)
    assert 2 == len(paced)


def test_a_certificate_out_of_its_dates_makes_no_connection(
    sessions: type[FakeSession], make: Callable[..., Broker], authority: Authority
) -> None:
    for issue, says in ((authority.issue_expired, "expired on"), (authority.issue_not_yet_valid, "is valid from")):
        files = issue("out-of-dates")
        with pytest.raises(NotValidNow, match=says):
            make().open_as("rpi-1", Pair(files.certificate, files.private_key))
    assert [[], []] == [each.steps for each in sessions.made]


@pytest.mark.parametrize(
    ("agent", "thing", "client_id", "topic", "required"),
    [
        ({}, "rpi-1", "rpi-1", "$aws/things/rpi-1/defender/metrics/json", True),
        ({"format": "cbor"}, "rpi-1", "rpi-1", "$aws/things/rpi-1/defender/metrics/cbor", True),
        ({}, "site-7-rpi-1", "site-7-rpi-1", "$aws/things/site-7-rpi-1/defender/metrics/json", True),
        ({"client_id": "mine"}, "site-7-rpi-1", "mine", "$aws/things/site-7-rpi-1/defender/metrics/json", True),
        ({"topic": "reports/{thing_name}"}, "rpi-1", "rpi-1", "reports/rpi-1", False),
    ],
)
def test_a_thing_connects_as_it_reports_also_under_the_name_that_a_template_gave(
    sessions: type[FakeSession],
    make: Callable[..., Broker],
    pair: Pair,
    agent: dict[str, Any],
    thing: str,
    client_id: str,
    topic: str,
    required: bool,
) -> None:
    session = make(**agent).open_as(thing, pair)
    assert sessions.made == [session]
    assert (client_id, topic, (f"{topic}/accepted", f"{topic}/rejected")) == (
        session.link.client_id,
        session.link.topic,
        session.link.reply_topics,
    )
    assert [("open", required)] == session.steps, "it stays open for who asked for it"


def test_a_thing_that_is_not_let_in_is_the_callers_to_judge(
    sessions: type[FakeSession], make: Callable[..., Broker], pair: Pair
) -> None:
    sessions.error = NotLetIn("hung up")
    with pytest.raises(NotLetIn, match="hung up"):
        make().open_as("rpi-1", pair)
