"""Things that ask for certificates are answered in AWS's documents, and what asks too much or wrongly costs nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from cryptography import x509

from defender_daemon.certificate import SOON
from defender_detect.authority.registrar import Registrar
from defender_detect.authority.wishes import Wishes, note_removal, read_wishes, write_wishes
from defender_detect.receive.gate import Gate, Peer
from defender_detect.renewal import AT_ONCE, CREATE, EVERY, REGISTER, SHADOW, Renewal
from tests.detect.authority.asking import der, issuer_in, request
from tests.detect.authority.home import NOW
from tests.detect.authority.test_things import Home, unpack

AT = NOW.timestamp()
THING = "rpi-0001"
GET, UPDATE = f"{SHADOW.format(THING)}/get", f"{SHADOW.format(THING)}/update"


class Bench:
    """A Renewal, and a thing that asks it; time is what the test says."""

    def __init__(self, path: Path, days: float | None = None) -> None:
        self.home, self.state, self.now = Home(path), path / "state", AT + 10
        self.state.mkdir()
        self.wishes = self.home.directory.over_the_air
        write_wishes(self.wishes, Wishes())
        self.home.add(THING)
        self.bundle = unpack(self.home.bundle(THING))["certificate.pem"].decode()
        self.days = days
        self.start()

    def start(self, with_registrar: bool = True) -> None:
        registrar = Registrar(issuer_in(self.home.directory), self.state, self.days) if with_registrar else None
        self.renewal = Renewal(self.state, self.wishes, registrar)

    def peer(self, pem: str | None = None, name: str = THING) -> Peer:
        made = x509.load_pem_x509_certificate((pem or self.bundle).encode())
        validity = made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
        unit = "over the air" if "OU=" in made.subject.rfc4514_string() else ""
        return Peer(name, made.serial_number, False, validity, unit, der(pem or self.bundle))

    def ask(self, topic: str, document: Any, peer: Peer | None = None) -> tuple[str, dict[str, Any]]:
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.now += 1
        (reply,) = self.renewal.answer(peer or self.peer(), topic, payload, self.now)
        assert reply.topic.startswith(f"{topic}/")
        return reply.topic.rpartition("/")[2], json.loads(reply.payload)

    def create(self) -> dict[str, Any]:
        end, answer = self.ask(CREATE, {"certificateSigningRequest": request()})
        assert "accepted" == end
        return answer

    def register(self, token: str, **parameters: str) -> tuple[str, dict[str, Any]]:
        return self.ask(REGISTER, {"certificateOwnershipToken": token, "parameters": parameters})

    def renew(self) -> str:
        """Go the whole way; return the certificate."""
        created = self.create()
        assert "accepted" == self.register(created["certificateOwnershipToken"])[0]
        reported = {"state": {"reported": {"certificateId": created["certificateId"]}}}
        assert "accepted" == self.ask(UPDATE, reported, self.peer(created["certificatePem"]))[0]
        return str(created["certificatePem"])

    def kept(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.state.iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_answers_are_awss(bench: Bench) -> None:
    created = bench.create()
    assert {"certificateOwnershipToken", "certificateId", "certificatePem"} == set(created)
    answer = bench.register(created["certificateOwnershipToken"], ThingName=THING, SerialNumber=THING)
    assert ("accepted", {"deviceConfiguration": {}, "thingName": THING}) == answer


@pytest.mark.parametrize(
    ("topic", "document", "code"),
    [
        (CREATE, b"{", "InvalidPayload"),
        (CREATE, b"\xff", "InvalidPayload"),
        (CREATE, b"[" * 9000, "InvalidPayload"),
        (CREATE, b" " * 20_000, "InvalidPayload"),
        (CREATE, {"certificateSigningRequest": 7}, "InvalidPayload"),
        (CREATE, {}, "InvalidCertificateSigningRequest"),
        (CREATE, {"certificateSigningRequest": "\u202e"}, "InvalidCertificateSigningRequest"),
        (REGISTER, {}, "InvalidCertificateOwnershipToken"),
        (REGISTER, {"certificateOwnershipToken": "AAAA"}, "InvalidCertificateOwnershipToken"),
        (REGISTER, {"parameters": {"ThingName": "rpi-0002"}}, "AccessDenied"),
        (REGISTER, {"parameters": {"ThingName": ["rpi-0001"]}}, "InvalidPayload"),
        (UPDATE, b"{", "InvalidPayload"),
    ],
)
def test_a_refusal_has_awss_fields_and_changes_nothing(bench: Bench, topic: str, document: Any, code: str) -> None:
    end, answer = bench.ask(topic, document)
    assert "rejected" == end
    assert {"statusCode", "errorCode", "errorMessage"} == set(answer)
    assert code == answer["errorCode"]
    assert {} == bench.kept()


def test_only_a_things_own_topics_are_questions(bench: Bench) -> None:
    own = bench.peer()
    asked = [each for each in (CREATE, REGISTER, GET, UPDATE) if bench.renewal.is_question(own, each)]
    assert [CREATE, REGISTER, GET, UPDATE] == asked
    others = (
        f"{CREATE}/accepted", CREATE.replace("json", "cbor"), "$aws/certificates/create/json",
        REGISTER.replace("rotate", "register"), GET.replace("0001", "0002"), GET.replace("rotation", "x"),
        f"{GET}/accepted", f"$aws/things/{THING}/shadow/get",
    )  # fmt: skip
    assert [] == [each for each in others if bench.renewal.is_question(own, each)]
    for stranger in (Peer("", 1), Peer("a/b", 1), Peer("+", 1), Peer("detect", 1, is_detect=True)):
        assert not bench.renewal.is_question(stranger, CREATE)


def test_without_a_registrar_nothing_is_asked_and_what_was_issued_counts(bench: Bench) -> None:
    renewed, pending = bench.renew(), bench.create()["certificatePem"]
    bench.start(with_registrar=False)
    assert frozenset() == bench.renewal.filters
    assert not bench.renewal.is_question(bench.peer(), CREATE)
    reasons = [bench.renewal.reason_against(bench.peer(each)) for each in (renewed, pending, bench.bundle)]
    assert [True, False, False] == [each is None for each in reasons]


def test_a_thing_that_asks_without_end_is_issued_a_few_and_leaves_nothing_on_the_disk(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    codes = [
        json.loads(bench.renewal.answer(bench.peer(), REGISTER, b"{}", AT + number / 1000)[0].payload)["errorCode"]
        for number in range(10_000)
    ]
    assert AT_ONCE == codes.count("InvalidCertificateOwnershipToken")
    assert 10_000 - AT_ONCE == codes.count("Throttled")
    assert {} == bench.kept()
    assert len(caplog.records) < 10
    bench.now = AT + 10 + EVERY
    bench.create()
    other = Peer("rpi-0002", 9)
    assert "Throttled" not in str(bench.renewal.answer(other, REGISTER, b"{}", AT + 10))


def test_a_full_disk_is_an_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    created = bench.create()
    monkeypatch.setattr("defender_daemon.files.replace", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    end, answer = bench.register(created["certificateOwnershipToken"])
    assert ("rejected", 500) == (end, answer["statusCode"])
    monkeypatch.undo()
    assert "accepted" == bench.register(created["certificateOwnershipToken"])[0]


def test_once_it_is_used_only_the_new_certificate_lets_in_and_connections_are_looked_at_again(bench: Bench) -> None:
    assert not bench.renewal.refresh()
    renewed = bench.renew()
    assert bench.renewal.refresh()
    assert not bench.renewal.refresh()
    assert bench.renewal.reason_against(bench.peer(renewed)) is None
    assert bench.renewal.reason_against(bench.peer()) is not None
    bench.start()
    assert bench.renewal.reason_against(bench.peer()) is not None


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"state": {"reported": {}}},
        {"state": {"reported": {"certificateId": "0" * 64}}},
        {"state": {"desired": {"rotate": None}}},
        {"state": {"reported": {"rotate": "2026-12-01T12:00:00Z"}}},
    ],
)
def test_another_update_has_no_effect(bench: Bench, document: Any) -> None:
    created = bench.create()
    bench.register(created["certificateOwnershipToken"])
    write_wishes(bench.wishes, read_wishes(bench.wishes).wanting([THING], bench.now))
    before = bench.kept()
    assert "accepted" == bench.ask(UPDATE, document, bench.peer(created["certificatePem"]))[0]
    assert before == bench.kept()
    assert read_wishes(bench.wishes).wanted


def test_a_wish_is_in_the_shadow_until_it_is_fulfilled(bench: Bench) -> None:
    assert ("rejected", {"code": 404, "message": "No shadow exists with name: 'rotation'"}) == bench.ask(GET, b"")
    write_wishes(bench.wishes, read_wishes(bench.wishes).wanting([THING], bench.now))
    assert bench.renewal.refresh()
    end, shadow = bench.ask(GET, {})
    assert ("accepted", "2026-12-01T12:00:11Z") == (end, shadow["state"]["desired"]["rotate"])
    renewed = bench.renew()
    assert "rejected" == bench.ask(GET, {}, bench.peer(renewed))[0]


def test_a_thing_that_is_connected_hears_of_a_wish_once(bench: Bench) -> None:
    peers = [bench.peer(), Peer("rpi-0002", 5), Peer("detect", 6, is_detect=True)]
    assert [] == bench.renewal.news(peers, bench.now)
    write_wishes(bench.wishes, read_wishes(bench.wishes).wanting([THING], bench.now))
    bench.renewal.refresh()
    (told,) = bench.renewal.news(peers, bench.now)
    assert f"{SHADOW.format(THING)}/update/delta" == told.topic
    assert {"rotate": "2026-12-01T12:00:10Z"} == json.loads(told.payload)["state"]
    assert [] == bench.renewal.news(peers, bench.now + 1000)


def test_a_certificate_that_ends_soon_is_a_wish_by_itself_where_another_one_lasts_longer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, days=365)
    renewed = bench.peer(bench.renew())
    ends = renewed.validity[1] if renewed.validity else 0.0
    bench.now = ends - SOON - 100
    assert "rejected" == bench.ask(GET, {}, renewed)[0]
    bench.now = ends - SOON + 100
    end, shadow = bench.ask(GET, {}, renewed)
    assert "accepted" == end
    assert shadow == {**bench.ask(GET, {}, renewed)[1], "timestamp": shadow["timestamp"]}
    last = bench.peer()  # whose certificate ends with the authority, as any other one would
    bench.now = (last.validity or (0.0, 0.0))[1] - 1000
    assert "rejected" == bench.ask(GET, {}, last)[0]


def test_who_is_removed_is_shut_out_with_what_it_got_over_the_air(bench: Bench) -> None:
    renewed = bench.peer(bench.renew())
    pending = bench.create()
    note_removal(bench.wishes, THING, bench.now + 1)
    assert bench.renewal.refresh()
    assert bench.renewal.reason_against(renewed) == "is shut out"
    bench.register(pending["certificateOwnershipToken"])  # as if it had been under way
    assert bench.renewal.reason_against(bench.peer(pending["certificatePem"])) == "is shut out"


def test_wishes_that_are_damaged_while_it_runs_stay_as_they_were(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    note_removal(bench.wishes, THING, bench.now)
    renewed = bench.renew()
    bench.renewal.refresh()
    reason = bench.renewal.reason_against(bench.peer(renewed))
    bench.wishes.write_text("{")
    bench.renewal.refresh()
    assert "the wishes stay as they were: " in caplog.text
    assert reason == bench.renewal.reason_against(bench.peer(renewed))


def test_replies_may_be_subscribed_to_and_not_be_published(bench: Bench) -> None:
    gate, peer = Gate(replies=bench.renewal.filters), bench.peer()
    for topic in (CREATE, REGISTER):
        assert all(gate.may_subscribe(peer, f"{topic}/{end}") for end in ("accepted", "rejected", "+"))
        assert not any(gate.may_publish(peer, f"{topic}{end}") for end in ("", "/accepted", "/rejected"))
        assert not gate.may_subscribe(peer, topic)
    assert not gate.may_subscribe(peer, "$aws/certificates/#")
    assert not Gate().may_subscribe(peer, f"{CREATE}/accepted")


def test_the_page_about_security_says_how_often_a_thing_may_ask() -> None:
    page = Path(__file__).resolve().parent.parent.parent / "docs" / "security.md"
    assert f"**A thing has {AT_ONCE} requests, and another one every {EVERY:g} s.**" in page.read_text()
