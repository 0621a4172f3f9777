"""The daemon hears a wish for another certificate; whatever else a shadow says costs a line in the log at most."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from defender_publisher.errors import NotConnected, SubscriptionRefused
from defender_publisher.inbox import LONGEST, Message
from defender_publisher.provisioning.wish import WANTED, WishListener, forget_wish, read_wish
from tests.fakes.provisioning import ProvisioningBroker
from tests.publisher.provisioning.device import Device
from tests.waiting import wait_until

WISH = "2026-11-30T10:00:00Z"
SHADOW = "$aws/things/rpi-0001/shadow/name/rotation"


class Broker:
    """A session: what was subscribed to and sent, and what it refuses."""

    def __init__(self, error: Exception | None = None, at: str = "") -> None:
        self.topics: list[str] = []
        self.sent: list[str] = []
        self._error, self._at = error, at

    def subscribe(self, topic: str, hear: object) -> None:
        self.topics.append(topic)
        if self._error is not None and topic.endswith(self._at):
            raise self._error

    def send(self, topic: str, payload: bytes) -> None:
        self.sent.append(topic)


@pytest.fixture
def listener(tmp_path: Path) -> WishListener:
    return WishListener("rpi-0001", str(tmp_path / "state"))


def hear(listener: WishListener, topic: str, document: object) -> None:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    listener.hear(Message(f"{SHADOW}/{topic}", payload))


@pytest.mark.parametrize("when", [WISH, "2026-11-30T10:00:00.123456+01:00", "2026-11-30T10:00:00+0000"])
def test_a_wish_is_kept_whether_it_is_asked_for_or_told(listener: WishListener, tmp_path: Path, when: str) -> None:
    for topic, state in (("get/accepted", {"desired": {"rotate": when}}), ("update/delta", {"rotate": when})):
        hear(listener, topic, {"state": state, "version": 7, "metadata": {"desired": {"rotate": {"timestamp": 1}}}})
        assert {"rotate": when} == json.loads((tmp_path / "state" / WANTED).read_text())
        forget_wish(tmp_path / "state")


def test_a_wish_that_is_heard_again_leaves_its_file_alone(listener: WishListener, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        hear(listener, "get/accepted", {"state": {"desired": {"rotate": WISH}}})
        found.append((tmp_path / "state" / WANTED).stat().st_ino)
    assert found[0] == found[1]


def test_a_wish_that_was_fulfilled_is_none(listener: WishListener, tmp_path: Path) -> None:
    hear(listener, "get/accepted", {"state": {"desired": {"rotate": WISH}, "reported": {"rotate": WISH}}})
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("topic", "document"),
    [
        ("get/accepted", b""),
        ("get/accepted", b"\xff\xfe"),
        ("get/accepted", b"[" * 10_000),
        ("get/accepted", {"state": {"desired": {"rotate": "/bin/sh -c reboot"}}}),
        ("get/accepted", {"state": {"desired": {"rotate": "2026-11-30T10:00:00Z\nx"}}}),
        ("get/accepted", {"state": {"desired": {"rotate": 1}}}),
        ("get/accepted", {"state": {"desired": ["rotate"]}}),
        ("update/delta", {"state": {"rotate": {"$ref": "x"}}}),
        ("update/delta", {"state": {"rotate": WISH, "pad": "x" * LONGEST}}),
        ("get/rejected", {"code": 403}),
    ],
)
def test_a_shadow_that_is_no_wish_costs_a_warning_and_nothing_else(
    listener: WishListener, tmp_path: Path, caplog: pytest.LogCaptureFixture, topic: str, document: object
) -> None:
    for _ in range(3):
        hear(listener, topic, document)
    assert [logging.WARNING] == [each.levelno for each in caplog.records]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("document", [{"code": 404, "message": "No shadow exists with name: 'rpi-0001~rotation'"}])
def test_that_there_is_no_shadow_is_not_worth_a_line(
    listener: WishListener, caplog: pytest.LogCaptureFixture, document: object
) -> None:
    hear(listener, "get/rejected", document)
    assert [] == caplog.records


def test_whatever_is_in_the_file_it_is_a_wish_or_none(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps({"rotate": WISH}))
    (tmp_path / WANTED).symlink_to(elsewhere)
    assert read_wish(tmp_path) is None
    (tmp_path / WANTED).unlink()
    for content in ("", "[]", '{"rotate": "now"}', '{"rotate": null}', "{" * 100_000):
        (tmp_path / WANTED).write_text(content)
        assert read_wish(tmp_path) is None


def test_a_policy_that_allows_no_shadow_is_said_once_and_not_tried_for_ever(
    listener: WishListener, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = [Broker(NotConnected("the broker closed the connection"), "get/accepted") for _ in range(6)]
    for each in sessions:
        listener.join(each)  # type: ignore[arg-type]
    assert [1, 1, 1, 0, 0, 0] == [len(each.topics) for each in sessions]
    assert 1 == len(caplog.records)


def test_a_question_that_ends_the_connection_is_not_asked_for_ever(listener: WishListener) -> None:
    sessions = [Broker() for _ in range(5)]
    for each in sessions:
        listener.join(each)  # type: ignore[arg-type]
    assert [1, 1, 1, 0, 0] == [len(each.sent) for each in sessions]


def test_nothing_is_asked_where_the_answer_cannot_be_heard(listener: WishListener) -> None:
    session = Broker(SubscriptionRefused("refused"), "get/rejected")
    listener.join(session)  # type: ignore[arg-type]
    assert [] == session.sent


@pytest.mark.usefixtures("waits")
def test_the_daemons_connection_hears_a_wish_and_goes_on_reporting(device: Device, aws: ProvisioningBroker) -> None:
    assert 0 == device.run("--provision")
    aws.wish(WISH)
    assert 0 == device.run("--once")
    assert wait_until(lambda: (device.state / WANTED).exists())
    assert {"rotate": WISH} == json.loads((device.state / WANTED).read_text())


@pytest.mark.usefixtures("waits")
def test_without_a_rotation_template_nobody_asks_for_a_wish(device: Device, aws: ProvisioningBroker) -> None:
    assert 0 == device.run("--provision")
    device.configure(rotation_template=None)
    assert 0 == device.run("--once")
    assert [] == [topic for topic in aws.seen.subscriptions if "shadow" in topic]
