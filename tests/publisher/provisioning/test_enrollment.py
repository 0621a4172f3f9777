"""A pair comes about in an order that a run can be ended in anywhere: each begins with what was noted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from defender_publisher.errors import NotConnected, NotLetIn, Problem, TransportError
from defender_publisher.provisioning import enrollment as module
from defender_publisher.provisioning.broker import Pair
from defender_publisher.provisioning.calls import Issued, Registered
from defender_publisher.provisioning.enrollment import ANOTHERS, Enrollment
from defender_publisher.provisioning.errors import HOOK, TEMPLATE, ProvisioningError, UsedTokenError
from defender_publisher.provisioning.identities import Identities
from defender_publisher.provisioning.journal import Failure, Journal, JournalFile
from demo.authority import Authority, Files

NOW = 1_796_040_000.0
YOUNG, OLD = NOW - 3540.0, NOW - 3541.0  # a token is good for an hour, less a minute for the way
REFUSED = ProvisioningError(HOOK, Problem("AccessDenied", "put it on the list"), final=True)
USED = UsedTokenError(TEMPLATE, Problem("not valid"))


class Cloud:
    """AWS IoT: what it issues, what it answers to a registration, and with whom it lets a thing in."""

    def __init__(self, files: Files) -> None:
        self.pem = files.certificate.read_text()
        self.registers: str | ProvisioningError = "rpi-0001"  # as which thing
        self.lets_in: list[TransportError | None] = []  # at the next connections as the thing; None lets in
        self.did: list[str] = []

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        self.did.append("connect")
        yield self

    def create_certificate(self, request: str) -> Issued:
        self.did.append(request)
        return Issued(self.pem, "token")

    def register(self, token: str, parameters: Mapping[str, str]) -> Registered:
        self.did.append(f"register {token} {dict(parameters)}")
        if isinstance(self.registers, ProvisioningError):
            raise self.registers
        return Registered(self.registers)

    def open_as(self, thing: str, pair: Pair) -> str:
        self.did.append(f"open as {thing} {pair.certificate.parent.name}")
        error = self.lets_in.pop(0) if self.lets_in else None
        if error is not None:
            raise error
        return f"session {thing}"


class Bench:
    """An enrollment on a device, whose key is made beforehand, so that no openssl is started."""

    def __init__(self, etc: Path, files: Files) -> None:
        self.identities = Identities(etc, etc / "certificate.pem", etc / "private.key")
        self.identities.prepare()
        self.file, self.cloud, self.files = JournalFile(self.identities.directory), Cloud(files), files
        self.begun = Journal("claim", "a", "localhost", "rpi-0001")

    def obtain(self, **journal: Any) -> tuple[Journal, Any]:
        journal = {**({"certificate": self.cloud.pem} if "token" in journal else {}), **journal}
        begun = self.file.note(self.begun, "begun", **journal)
        cloud: Any = self.cloud
        parts = (self.identities, self.file, cloud, cloud.connect, {"SerialNumber": "7"}, lambda: NOW)
        return Enrollment(*parts).obtain(begun)

    def noted(self) -> Journal:
        found = self.file.read()
        assert found is not None
        return found


REGISTER = "register token {'SerialNumber': '7'}"
AS_THING = "open as rpi-0001 a"


@pytest.fixture(scope="module")
def files(authority: Authority) -> Files:
    return authority.issue("enrollment-test")


@pytest.fixture
def bench(tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "make_key", files.private_key.read_bytes)
    monkeypatch.setattr(module, "make_request", lambda key, name: f"request of {key.parent.name} for {name}")
    return Bench(tmp_path, files)


def test_a_pair_is_asked_for_registered_and_proved_before_it_is_handed_out(bench: Bench) -> None:
    journal, session = bench.obtain()
    assert ["connect", "request of a for rpi-0001", REGISTER, AS_THING] == bench.cloud.did
    assert ("session rpi-0001", "rpi-0001", NOW, False) == (
        session,
        journal.thing_name,
        journal.asked_at,
        journal.assumed,
    )
    assert (journal, True) == (bench.noted(), bench.identities.has_pair("a"))
    assert 0o600 == bench.identities.key("a").stat().st_mode & 0o777


def test_a_key_that_was_made_before_is_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.identities.put_key("a", bench.files.private_key.read_bytes())
    monkeypatch.setattr(module, "make_key", lambda: pytest.fail("there is one"))
    assert "rpi-0001" == bench.obtain()[0].thing_name


def test_a_certificate_that_was_answered_is_registered_and_not_asked_for_again(bench: Bench) -> None:
    bench.obtain(token="token", asked_at=YOUNG)
    assert ["connect", REGISTER, AS_THING] == bench.cloud.did


def test_a_certificate_that_is_registered_is_proved_only(bench: Bench) -> None:
    bench.obtain(token="token", asked_at=YOUNG, thing_name="rpi-0001")
    assert [AS_THING] == bench.cloud.did


def test_the_name_that_the_template_gives_is_the_things(bench: Bench) -> None:
    bench.cloud.registers = "site-7"
    journal, session = bench.obtain()
    assert ("site-7", "session site-7") == (journal.thing_name, session)


def test_a_certificate_of_another_key_is_forgotten_and_said(bench: Bench, authority: Authority) -> None:
    bench.cloud.pem = authority.issue("another").certificate.read_text()
    with pytest.raises(ProvisioningError, match=f"CSR: {ANOTHERS}") as raised:
        bench.obtain()
    noted = bench.noted()
    assert (None, None, False) == (noted.certificate, noted.token, raised.value.final)
    assert REGISTER not in bench.cloud.did


def test_a_refusal_keeps_what_was_answered_for_the_next_run(bench: Bench) -> None:
    bench.cloud.registers = REFUSED
    with pytest.raises(ProvisioningError, match="put it on the list"):
        bench.obtain()
    assert ("token", NOW, None) == ((noted := bench.noted()).token, noted.asked_at, noted.thing_name)


def test_what_failed_before_is_forgotten_once_it_has_worked(bench: Bench) -> None:
    failure = Failure("hook", "AccessDenied", "put it on the list", NOW, final=True)
    assert bench.obtain(token="token", asked_at=YOUNG, failure=failure)[0].failure is None


def test_a_young_token_that_is_used_up_was_registered_unheard(bench: Bench) -> None:
    bench.cloud.registers = USED
    journal, _ = bench.obtain(token="token", asked_at=YOUNG)
    assert ("rpi-0001", False) == (journal.thing_name, journal.assumed), "the connection has shown it"


def test_an_unheard_registration_is_assumed_until_a_connection_shows_it(bench: Bench) -> None:
    bench.cloud.registers, bench.cloud.lets_in = USED, [NotLetIn("hung up")]
    with pytest.raises(ProvisioningError, match="policy: as rpi-0001, with the new certificate: hung up"):
        bench.obtain(token="token", asked_at=YOUNG)
    assert ("rpi-0001", True) == ((noted := bench.noted()).thing_name, noted.assumed)


def test_an_old_token_is_not_used_before_a_connection_was_tried(bench: Bench) -> None:
    journal, session = bench.obtain(token="token", asked_at=OLD)
    assert [AS_THING] == bench.cloud.did
    assert ("rpi-0001", "session rpi-0001", False) == (journal.thing_name, session, journal.assumed)


@pytest.mark.parametrize("assumed", [{}, {"thing_name": "rpi-0001", "assumed": True}])
def test_a_certificate_that_was_deleted_after_its_hour_is_asked_for_again(
    bench: Bench, assumed: dict[str, object]
) -> None:
    bench.cloud.lets_in = [NotLetIn("hung up"), None]
    journal, _ = bench.obtain(token="old", asked_at=OLD, **assumed)
    assert [AS_THING, "connect", "request of a for rpi-0001", REGISTER, AS_THING] == bench.cloud.did
    assert (NOW, "token", False) == (journal.asked_at, journal.token, journal.assumed)


def test_without_a_network_an_old_token_is_not_given_up(bench: Bench) -> None:
    bench.cloud.lets_in = [NotConnected("no route")]
    with pytest.raises(ProvisioningError, match="connect: as rpi-0001: no route"):
        bench.obtain(token="token", asked_at=OLD)
    assert "token" == bench.noted().token


def test_a_name_that_the_template_gave_is_not_tried_as_another_one_however_old_its_token(bench: Bench) -> None:
    bench.obtain(token="token", asked_at=OLD, thing_name="site-7")
    assert ["open as site-7 a"] == bench.cloud.did


def test_what_comes_with_a_certificate_is_left_out_of_the_file(bench: Bench) -> None:
    bench.cloud.pem = f"touch /tmp/x\n{bench.cloud.pem}* * * * * root reboot\n"
    bench.obtain()
    assert bench.files.certificate.read_text() == bench.identities.certificate("a").read_text()
