"""Each question is asked once a second at most, on a connection that hears its answers; an answer is what AWS says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from defender_publisher.errors import NotConnected, SubscriptionRefused, TransportError
from defender_publisher.inbox import Message
from defender_publisher.provisioning import calls
from defender_publisher.provisioning.calls import Asker, Pace
from defender_publisher.provisioning.errors import ProvisioningError, UsedTokenError

REGISTRATION = "$aws/provisioning-templates/fleet/provision/json"
ISSUED = {"certificateId": "f00d", "certificatePem": "pem", "certificateOwnershipToken": "token"}


class Session:
    """A connection on which every question has the next of these answers."""

    def __init__(self, *answers: object) -> None:
        self._answers: Iterator[object] = iter(answers)
        self.topics: list[str] = []
        self.sent: list[tuple[str, object]] = []

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)

    def send(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, json.loads(payload)))

    def next_message(self, timeout: float) -> Message | None:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        assert answer is None or isinstance(answer, tuple)
        if answer is None:
            return None
        topic, document = answer
        return Message(topic, document if isinstance(document, bytes) else json.dumps(document).encode())


def ask(*answers: object, rotates: bool = False) -> tuple[Session, Asker]:
    session = Session(*answers)
    return session, Asker(session, "fleet", rotates, Pace(lambda seconds: None))


def test_the_replies_are_subscribed_to_before_anything_is_asked() -> None:
    session, asker = ask((f"{calls.CREATE_FROM_CSR}/accepted", ISSUED))
    asker.listen()
    topics = [
        f"{topic}/{reply}" for topic in (calls.CREATE_FROM_CSR, REGISTRATION) for reply in ("accepted", "rejected")
    ]
    assert (topics, []) == (session.topics, session.sent)


def test_a_reply_to_another_question_is_passed_over() -> None:
    others = [(f"{REGISTRATION}/accepted", {"thingName": "x"}), ("$aws/elsewhere", b"\xff")]
    session, asker = ask(*others, (f"{calls.CREATE_FROM_CSR}/accepted", ISSUED))
    assert ("pem", "token") == (asker.create_certificate("csr").certificate_pem, "token")
    assert [(calls.CREATE_FROM_CSR, {"certificateSigningRequest": "csr"})] == session.sent


def test_a_device_asks_for_nothing_twice_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [100.0], []
    monkeypatch.setattr(calls.time, "monotonic", lambda: now[0])
    pace = Pace(waited.append)
    for what, passed in (("ask", 0.0), ("claim-rpi-0001", 0.25), ("ask", 0.25), ("rpi-0001", 1.0), ("rpi-0001", 1.0)):
        now[0] += passed
        with pace.apart(what):
            now[0] += 0.125
    assert [0.375] == waited


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"\xff", {"certificatePem": 1}, {"certificatePem": "pem"}, b"[" * 100_000],
)
def test_an_answer_that_cannot_be_read_is_tried_again(answer: object) -> None:
    _, asker = ask((f"{calls.CREATE_FROM_CSR}/accepted", answer))
    with pytest.raises(ProvisioningError, match="CSR: the answer on .* cannot be read") as caught:
        asker.create_certificate("csr")
    assert not caught.value.final


@pytest.mark.parametrize("name", ["", "a/b", "+", "x" * 129, "rpi\n1"])
def test_a_thing_that_has_no_name_is_no_answer(name: str) -> None:
    _, asker = ask((f"{REGISTRATION}/accepted", {"thingName": name, "deviceConfiguration": {}}))
    with pytest.raises(ProvisioningError, match="template: the answer on .* cannot be read"):
        asker.register("token", {})


@pytest.mark.parametrize(
    ("rejection", "step", "final"),
    [
        ({"statusCode": 429, "errorCode": "Throttled"}, "template", False),
        ({"statusCode": 400, "errorCode": "ThrottlingException"}, "template", False),
        ({"statusCode": 503, "errorCode": "ServiceUnavailable"}, "template", False),
        ({"statusCode": "500", "errorCode": "x"}, "template", False),
        ({"statusCode": 403, "errorCode": "AccessDenied"}, "hook", True),
        ({"statusCode": 400, "errorCode": "ACCESS_DENIED"}, "hook", True),
        ({"statusCode": 400, "errorCode": "InvalidParameters"}, "template", True),
        ({"statusCode": 404}, "template", True),
        ({}, "template", True),
    ],
)
def test_a_rejection_says_who_refused_and_whether_for_good(rejection: object, step: str, final: bool) -> None:
    _, asker = ask((f"{REGISTRATION}/rejected", rejection))
    with pytest.raises(ProvisioningError) as caught:
        asker.register("token", {})
    assert (step, final) == (caught.value.step, caught.value.final)


def test_a_used_token_is_told_from_other_rejections() -> None:
    rejection = {"statusCode": 400, "errorCode": "InvalidCertificateOwnershipToken", "errorMessage": "not valid"}
    _, asker = ask((f"{REGISTRATION}/rejected", rejection))
    with pytest.raises(UsedTokenError):
        asker.register("token", {})


def test_what_a_server_says_is_printable() -> None:
    rejection = {"statusCode": 400, "errorCode": "\x1b[2J" * 100, "errorMessage": "a\nb"}
    _, asker = ask((f"{REGISTRATION}/rejected", rejection))
    with pytest.raises(ProvisioningError) as caught:
        asker.register("token", {})
    assert str(caught.value).isprintable()


def test_a_hang_up_and_silence_name_the_question_and_what_a_policy_must_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asker = ask(NotConnected("the connection is lost"))
    with pytest.raises(ProvisioningError, match="CSR: the connection was closed after .*allow iot:Publish on topic/"):
        asker.create_certificate("csr")
    monkeypatch.setattr(calls, "ANSWER_WITHIN", 0.0)
    _, asker = ask()
    with pytest.raises(ProvisioningError, match="template: nobody answered on .*iot:Receive on topic/"):
        asker.register("token", {})


def test_a_subscription_that_is_refused_is_so_for_good_and_one_that_hangs_up_is_not() -> None:
    for error, final in ((SubscriptionRefused("refused"), True), (NotConnected("closed"), False)):
        session, asker = ask()

        def refuse(topic: str, error: Exception = error) -> None:
            raise error

        session.subscribe = refuse  # type: ignore[method-assign]
        with pytest.raises(ProvisioningError) as caught:
            asker.listen()
        assert ("CSR", final) == (caught.value.step, caught.value.final)


@pytest.mark.parametrize(("error", "passes"), [(None, False), (TransportError("silence"), True)])
def test_silence_passes_by_itself_where_the_broker_does_not_answer_at_all(
    monkeypatch: pytest.MonkeyPatch, error: TransportError | None, passes: bool
) -> None:
    """An answer that no policy lets a device receive does not come either, on a connection that is alive."""

    def subscribe(topic: str) -> None:
        asked.append(topic)
        if error is not None:
            raise error

    asked: list[str] = []
    session, asker = ask()
    monkeypatch.setattr(session, "subscribe", subscribe)
    monkeypatch.setattr(calls, "ANSWER_WITHIN", 0.0)
    with pytest.raises(ProvisioningError) as raised:
        asker.create_certificate("csr")
    assert (passes, [f"{calls.CREATE_FROM_CSR}/accepted"]) == (raised.value.passes, asked)
