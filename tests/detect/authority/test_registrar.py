"""A thing is issued certificates for itself alone; one counts once it is registered, and alone once it is in use."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from defender_detect.authority.certificates import is_authority, is_issued_by, new_key
from defender_detect.authority.directory import Directory
from defender_detect.authority.registrar import TOKEN_SECONDS, Asker, Created, Registrar, issuer_of
from defender_detect.authority.renewals import read_renewals
from defender_detect.errors import AuthorityError, RequestRefused
from tests.detect.authority.asking import der, is_of, issuer_in, request
from tests.detect.authority.home import NO_PHRASE, NOW, Killed, stopped_at
from tests.detect.authority.test_things import Home, unpack

AT = NOW.timestamp()
THING = "rpi-0001"


class Bench:
    """A home with two things and a registrar."""

    def __init__(self, path: Path) -> None:
        self.home, self.state = Home(path), path / "state"
        self.state.mkdir()
        self.directory: Directory = self.home.directory
        self.registrar = Registrar(issuer_in(self.directory), self.state)
        for thing in (THING, "rpi-0002"):
            self.home.add(thing)

    def asker(self, thing: str = THING, pem: str | bytes | None = None) -> Asker:
        """A thing that connects with the certificate of its bundle, or another one."""
        certificate = der(pem or unpack(self.home.bundle(thing))["certificate.pem"])
        serial = x509.load_der_x509_certificate(certificate).serial_number
        return Asker(thing, f"{serial:X}", certificate, pem is not None)

    def create(self, thing: str = THING, now: float = AT) -> Created:
        return self.registrar.create(self.asker(thing), request(), now)

    def register(self, created: Created, thing: str = THING, now: float = AT) -> None:
        self.registrar.register(self.asker(thing), created.token, now)

    def refusal(self, token: str, thing: str = THING, now: float = AT) -> str:
        before = self.kept()
        with pytest.raises(RequestRefused) as caught:
            self.registrar.register(self.asker(thing), token, now)
        assert before == self.kept()
        return caught.value.code

    def kept(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.state.iterdir()}

    def lets_in(self, pem: str, thing: str = THING) -> bool:
        serial = f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:X}"
        return read_renewals(self.state).of(thing).reason_against(serial, True, AT) is None

    def lets_the_bundle_in(self, thing: str = THING) -> bool:
        return read_renewals(self.state).of(thing).reason_against(self.asker(thing).serial, False, AT - 10) is None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_certificate_is_for_the_one_who_asks_and_its_key_whatever_the_request_says(bench: Bench) -> None:
    key = new_key()
    wishes = (
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.DNSName("rpi-0002"), x509.DNSName("localhost")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    created = bench.registrar.create(bench.asker(), request(key, "rpi-0002", *wishes), AT)
    made = x509.load_pem_x509_certificate(created.pem.encode())
    assert is_of(created.pem, key)
    assert "CN=rpi-0001,OU=over the air" == made.subject.rfc4514_string()
    assert not is_authority(made)
    assert [ExtendedKeyUsageOID.CLIENT_AUTH] == list(
        made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert is_issued_by(made, bench.registrar.issuer.certificate)
    assert hashlib.sha256(der(created.pem)).hexdigest() == created.identifier
    assert bench.registrar.issuer.certificate.not_valid_after_utc == made.not_valid_after_utc


def test_a_certificate_may_last_shorter_and_never_longer_than_the_authority(bench: Bench) -> None:
    for days, end in ((30, NOW + timedelta(days=30)), (36_500, bench.registrar.issuer.certificate.not_valid_after_utc)):
        registrar = Registrar(bench.registrar.issuer, bench.state, days)
        made = x509.load_pem_x509_certificate(registrar.create(bench.asker(), request(), AT).pem.encode())
        assert end == made.not_valid_after_utc


def test_what_is_not_registered_lets_nobody_in_and_leaves_nothing_behind(bench: Bench) -> None:
    created = [bench.create() for _ in range(50)]
    assert {} == bench.kept()
    assert not any(bench.lets_in(each.pem) for each in created)


def test_what_is_registered_lets_its_thing_in_beside_the_one_before(bench: Bench) -> None:
    created = bench.create()
    bench.register(created, now=AT + 1)
    assert bench.lets_in(created.pem)
    assert not bench.lets_in(created.pem, "rpi-0002")
    assert bench.lets_the_bundle_in()


def test_a_token_is_good_once_for_an_hour_and_for_its_thing(bench: Bench) -> None:
    created = bench.create()
    assert "InvalidCertificateOwnershipToken" == bench.refusal(created.token, "rpi-0002")
    assert "InvalidCertificateOwnershipToken" == bench.refusal(created.token, now=AT + TOKEN_SECONDS + 1)
    assert "InvalidCertificateOwnershipToken" == bench.refusal(created.token, now=AT - 1)
    bench.register(created)
    assert "InvalidCertificateOwnershipToken" == bench.refusal(created.token)


def test_a_token_from_before_the_last_registration_is_used_up(bench: Bench) -> None:
    older, newer = bench.create(), bench.create(now=AT + 1)
    bench.register(newer, now=AT + 2)
    assert "InvalidCertificateOwnershipToken" == bench.refusal(older.token, now=AT + 3)
    assert not bench.lets_in(older.pem)


@pytest.mark.parametrize("token", ["", "x", "\u202e", "AAAA", "A" * 4000, base64.b64encode(b"{}" * 60).decode()])
def test_a_token_that_was_not_made_here_is_refused(bench: Bench, token: str) -> None:
    assert "InvalidCertificateOwnershipToken" == bench.refusal(token)


def test_a_token_whose_certificate_was_exchanged_is_refused(bench: Bench) -> None:
    raw = base64.urlsafe_b64decode(bench.create().token)
    content = {**json.loads(raw[32:]), "serial": bench.asker("rpi-0002").serial}
    forged = base64.urlsafe_b64encode(raw[:32] + json.dumps(content).encode()).decode()
    assert "InvalidCertificateOwnershipToken" == bench.refusal(forged)


def test_a_token_outlives_a_restart(bench: Bench) -> None:
    created = bench.create()
    bench.registrar = Registrar(issuer_in(bench.directory), bench.state)
    bench.register(created)
    assert bench.lets_in(created.pem)


def test_to_use_what_was_registered_ends_every_certificate_from_before(bench: Bench) -> None:
    first = bench.create()
    bench.register(first)
    assert bench.registrar.commit(bench.asker(pem=first.pem), first.identifier, AT + 5)
    assert bench.lets_in(first.pem)
    assert not bench.lets_the_bundle_in()
    assert bench.lets_the_bundle_in("rpi-0002")
    second = bench.create(now=AT + 60)
    bench.register(second, now=AT + 61)
    assert bench.lets_in(first.pem)
    assert bench.registrar.commit(bench.asker(pem=second.pem), second.identifier.upper(), AT + 62)
    assert [False, True] == [bench.lets_in(each.pem) for each in (first, second)]


def test_nothing_ends_unless_the_connection_is_that_of_the_certificate_that_was_registered(bench: Bench) -> None:
    created, stranger = bench.create(), bench.create("rpi-0002")
    bench.register(created)
    before, own = bench.kept(), bench.asker(pem=created.pem)
    assert not bench.registrar.commit(bench.asker(), created.identifier, AT + 5)
    assert not bench.registrar.commit(own, hashlib.sha256(bench.asker().certificate).hexdigest(), AT + 5)
    assert not bench.registrar.commit(own._replace(is_over_the_air=False), created.identifier, AT + 5)
    assert not bench.registrar.commit(own, "\u0131" * 64, AT + 5)
    assert not bench.registrar.commit(bench.asker("rpi-0002", stranger.pem), stranger.identifier, AT + 5)
    assert before == bench.kept()


def test_said_twice_it_counts_once(bench: Bench) -> None:
    created = bench.create()
    bench.register(created)
    assert bench.registrar.commit(bench.asker(pem=created.pem), created.identifier, AT + 5)
    before = bench.kept()
    assert not bench.registrar.commit(bench.asker(pem=created.pem), created.identifier, AT + 99)
    assert before == bench.kept()


def test_a_bundle_from_after_the_last_renewal_lets_in(bench: Bench) -> None:
    created = bench.create()
    bench.register(created)
    bench.registrar.commit(bench.asker(pem=created.pem), created.identifier, AT + 5)
    renewed = read_renewals(bench.state).of(THING)
    assert renewed.reason_against("AB", False, AT + 6) is None
    assert renewed.reason_against("AB", False, AT + 4) is not None


def test_one_of_another_authority_and_a_server_are_issued_nothing(bench: Bench, tmp_path: Path) -> None:
    stranger = Home(tmp_path / "other")
    stranger.add(THING)
    server = Asker("mosquitto", "AB", der(bench.directory.certificate.read_bytes()), False)
    for asker in (bench.asker(pem=unpack(stranger.bundle())["certificate.pem"]), server):
        with pytest.raises(RequestRefused) as caught:
            bench.registrar.create(asker, request(), AT)
        assert (403, "AccessDenied") == (caught.value.status, caught.value.code)


def test_killed_at_any_step_the_same_question_completes_it(bench: Bench) -> None:
    step, is_over = 0, False
    while not is_over:
        step += 1
        now = AT + 10 * step
        created = bench.create(now=now)
        own = bench.asker(pem=created.pem)
        with stopped_at(step, Killed()) as stopped:
            try:
                bench.register(created, now=now + 1)
                bench.registrar.commit(own, created.identifier, now + 2)
            except Killed:
                pass
        is_over = not stopped()
        bench.registrar = Registrar(issuer_in(bench.directory), bench.state)  # the restart
        if not bench.lets_in(created.pem):
            bench.register(created, now=now + 3)
        bench.registrar.commit(own, created.identifier, now + 4)
        assert read_renewals(bench.state).of(THING).registered is None
        assert bench.lets_in(created.pem)
        assert not bench.lets_the_bundle_in()
    assert step > 5


def test_the_authority_is_the_one_of_those_trusted_whose_key_it_is(bench: Bench, tmp_path: Path) -> None:
    other = Home(tmp_path / "other").directory
    key, roots = bench.directory.authority_key, tmp_path / "both.pem"
    roots.write_bytes(other.roots.read_bytes() + bench.directory.roots.read_bytes())
    assert bench.registrar.issuer.certificate == issuer_of(key, key.read_bytes(), roots, NO_PHRASE).certificate
    with pytest.raises(AuthorityError, match="things trust another one"):
        issuer_of(key, key.read_bytes(), other.roots, NO_PHRASE)
