"""Alerts arrive as e-mail at a real SMTP server, over TLS and with a password; what keeps them away is a sentence."""

from __future__ import annotations

import email
import email.policy
import json
import smtplib
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiosmtpd")
pytest.importorskip("cryptography")

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from defender_detect.alerts.mail import Email, EmailSink, make_message
from defender_detect.alerts.secret import Secret
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from demo.authority import Authority
from tests.detect.alerts.test_secret import nothing, write
from tests.detect.store.test_store import event

HOST = "127.0.0.1"


class Inbox:
    """What a server received, and what it answers."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refused: dict[str, str] = {}
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.messages.append(message)  # type: ignore[arg-type]
            self.recipients += envelope.rcpt_tos
        return self.answer


class Server(Controller):
    """A server on loopback; `ssl` is its context for TLS from the first byte, `starttls` that for STARTTLS."""

    def __init__(self, inbox: Inbox, starttls: ssl.SSLContext | None, **options: Any) -> None:
        self._starttls = starttls
        super().__init__(inbox, hostname=HOST, port=0, **options)

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            tls_context=self._starttls,
            authenticator=lambda _server, _session, _envelope, _mechanism, given: AuthResult(
                success=(given.login, given.password) == (b"detect", b"s3cret"), handled=False
            ),
            auth_require_tls=self._starttls is not None,
            hostname=HOST,
        )

    def _trigger_server(self) -> None:
        """Find out the port, which a free one is only known for now."""
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    files = authority.issue("mail", ["localhost", HOST])
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.private_key)
    return made


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


Serve = Callable[..., EmailSink]


@pytest.fixture
def serve(inbox: Inbox, authority: Authority, context: ssl.SSLContext, tmp_path: Path) -> Iterator[Serve]:
    """Start a server, and return what sends to it."""
    servers: list[Server] = []

    def serve(security: str = "starttls", password: str | None = "s3cret", trusted: bool = True) -> EmailSink:
        implicit = {"ssl_context": context} if security == "tls" else {}
        server = Server(inbox, context if security == "starttls" else None, **implicit)
        server.start()
        servers.append(server)
        login: dict[str, Any] = {}
        if password is not None:
            secret = write(tmp_path / "password", password.encode())
            login = {"username": "detect", "password": Secret(file=str(secret))}
        target = Email(
            host=HOST,
            port=server.port,
            security=security,  # type: ignore[arg-type]
            sender="d@example.com",
            recipients=["a@example.com", "b@example.com"],
            root_ca=str(authority.certificate) if trusted else None,
            **login,
        )
        return target.open(nothing)

    yield serve
    for server in servers:
        server.stop()


@pytest.mark.parametrize(("security", "password"), [("starttls", "s3cret"), ("tls", None), ("none", None)])
def test_an_alert_arrives_as_a_message_that_says_it_first(
    security: str, password: str | None, serve: Serve, inbox: Inbox
) -> None:
    sink = serve(security, password)
    sink.send(event())
    (message,) = inbox.messages
    assert ["a@example.com", "b@example.com"] == inbox.recipients
    line = "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)"
    assert line == message["Subject"].strip()
    assert ("d@example.com", "auto-generated") == (message["From"], message["Auto-Submitted"])
    text = message.get_content().replace("\r\n", "\n")
    assert text.startswith(f"{line}\n\n{{")
    assert "rpi-1" == json.loads(text.partition("\n\n")[2])["thingName"]
    assert sink.name.startswith(f"e-mail by {HOST}:")
    assert "s3cret" not in str(message)


def test_no_name_of_a_thing_makes_a_header_or_a_long_subject() -> None:
    hostile = event(thing="\u202e\u00e9 Bcc: x@y", value=("x" * 100_000,), kind="strings")
    message = make_message(hostile, "d@example.com", ["a@example.com"])
    assert message["Bcc"] is None
    assert len(message["Subject"]) <= 150
    assert "\u202e" not in message["Subject"]
    assert len(message.as_bytes()) < 20_000


def test_a_wrong_password_is_a_sentence_and_tried_again_later(serve: Serve) -> None:
    with pytest.raises(AlertError, match="^the server refused username or password: 535 ") as caught:
        serve(password="wr0ng").send(event())
    assert (600.0, False) == (caught.value.wait, isinstance(caught.value, AlertRefused))
    assert "wr0ng" not in str(caught.value)


def test_a_server_that_is_not_there_is_a_sentence(free_port: int) -> None:
    target = Email(host=HOST, port=free_port, sender="d@example.com", recipients=["a@example.com"])
    with pytest.raises(AlertError, match="^no connection: Connection refused$"):
        target.open(nothing).send(event())
    nowhere = Email(host="mail.invalid", sender="d@example.com", recipients=["a@example.com"])
    with pytest.raises(AlertError, match="^no connection: "):
        nowhere.open(nothing).send(event())


def test_a_certificate_that_is_not_trusted_is_a_sentence(serve: Serve, inbox: Inbox) -> None:
    with pytest.raises(AlertError, match="^the server's certificate is not trusted: "):
        serve(trusted=False).send(event())
    assert [] == inbox.messages


def test_a_server_without_starttls_is_sent_nothing(inbox: Inbox, serve: Serve) -> None:
    plain = serve("none", None)
    plain._email = Email(  # what a person would have written who expects TLS there
        host=HOST, port=plain._server[1], sender="d@example.com", recipients=["a@example.com"]
    )
    with pytest.raises(AlertError, match="^the server does not offer STARTTLS: "):
        plain.send(event())
    assert [] == inbox.messages


@pytest.mark.parametrize(
    ("refused", "answer", "is_final", "reason"),
    [
        ({"a@example.com": "550 no such user"}, "250 OK", True, "sent, but not to a@example.com: 550 no such user"),
        (
            {"a@example.com": "550 no", "b@example.com": "550 no"},
            "250 OK",
            True,
            "takes none for a@example.com, b@exam",
        ),
        ({"a@example.com": "450 later", "b@example.com": "450 later"}, "250 OK", False, "takes none for a@example.com"),
        ({}, "554 it is spam", True, "the server refused it: 554 it is spam"),
        ({}, "451 try again", False, "the server refused it: 451 try again"),
    ],
)
def test_what_the_server_answers_decides_whether_to_try_again(
    refused: dict[str, str], answer: str, is_final: bool, reason: str, serve: Serve, inbox: Inbox
) -> None:
    inbox.refused, inbox.answer = refused, answer
    with pytest.raises(AlertError, match=reason) as caught:
        serve().send(event())
    assert is_final is isinstance(caught.value, AlertRefused)


def test_a_connection_that_is_closed_is_a_sentence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = serve()

    def closed(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")

    monkeypatch.setattr(smtplib.SMTP, "send_message", closed)
    with pytest.raises(AlertError, match="^the server closed the connection: Connection unexpectedly closed$"):
        sink.send(event())


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), (b"no pem", "it holds no certificate in PEM")]
)
def test_authorities_that_cannot_be_used_are_said_at_the_start(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    target = Email(host=HOST, sender="d@example.com", recipients=["a@example.com"], root_ca=str(path))
    with pytest.raises(AlertSettingError) as caught:
        target.open(nothing)
    assert f"root_ca {path} cannot be used: {reason}" == str(caught.value)
