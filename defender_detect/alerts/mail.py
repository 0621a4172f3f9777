"""Alerts by e-mail: a message each, to an SMTP server over TLS."""

from __future__ import annotations

import json
import re
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from msgspec import Meta

from defender_daemon.text import printable
from defender_detect.alerts.secret import Elsewhere, File
from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from defender_detect.evaluate.sentences import line_of
from defender_detect.evaluate.shapes import alert_body
from device_defender.definition import Port, that
from device_defender.hosts import is_host

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TIMEOUT = 20.0  # seconds for each step; greylisting servers answer slowly
AFTER_WRONG_PASSWORD = 600.0  # seconds; trying it again and again locks accounts
LONGEST_SUBJECT = 150  # characters
LONGEST_LIST = 4_000  # characters of the whole value below the sentence
ADDRESS = re.compile(r"[^\s@<>,;\"\x00-\x1f\x7f-]{1,64}@[A-Za-z0-9.-]{1,255}|[\w.+-]{1,64}@[A-Za-z0-9.-]{1,255}")
SECURITY = ("starttls", "tls", "none")


def is_address(text: str) -> bool:
    """Tell whether a text is an address alone, without a name."""
    return bool(ADDRESS.fullmatch(text))


Address = Annotated[str, that(is_address, "an e-mail address such as me@example.com")]


class Email(Target, frozen=True):
    """E-mail, by an SMTP server."""

    host: Annotated[str, that(is_host, "a host name or an address")]
    """The SMTP server's name or address."""
    sender: Address
    """Whom the messages are from."""
    recipients: Annotated[list[Address], Meta(min_length=1, max_length=100)]
    """Whom they are for."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """TLS after STARTTLS (port 587), from the first byte (port 465), or none, without a password."""
    port: Optional[Port] = None
    """Its port. Default: 587, 465 or 25, by `security`."""
    username: Optional[Annotated[str, Meta(min_length=1, max_length=256)]] = None
    """The user, if the server asks."""
    password: Optional[Elsewhere] = None
    """The secret with the user's password."""
    root_ca: Optional[File] = None
    """The authorities to trust (PEM). Default: the system's."""

    def open(self, publish: Publish) -> EmailSink:
        """Return what sends; raises AlertSettingError if the password or the authorities cannot be read."""
        return EmailSink(self, self.password.read() if self.password else "", trusting(self.root_ca))


def email_problems(email: Email, path: str) -> Iterator[str]:
    """Yield what is wrong with an e-mail target beyond its types."""
    if (email.username is None) is not (email.password is None):
        missing = "username" if email.username is None else "password"
        yield f"{path}.{missing} is missing; a server that asks wants both username and password"
    elif email.security == "none" and email.password is not None:
        yield f"{path}.security must be starttls or tls where there is a password, got none"


def trusting(root_ca: str | None) -> ssl.SSLContext:
    """Return a context that trusts some authorities, or the system's; raises AlertSettingError."""
    try:
        return ssl.create_default_context(cafile=root_ca)
    except OSError as error:  # SSLError is one, too
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate in PEM"
        raise AlertSettingError(f"root_ca {root_ca} cannot be used: {reason}") from error


class EmailSink:
    """Sends messages, over a connection for each."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, email: Email, password: str, context: ssl.SSLContext, timeout: float = TIMEOUT) -> None:
        """Prepare to send."""
        self._email, self._password, self._context, self._timeout = email, password, context, timeout
        default = {"starttls": 587, "tls": 465, "none": 25}[email.security]
        self._server = (email.host, email.port or default)
        self.name = f"e-mail by {email.host}:{email.port or default}"

    def send(self, event: Event) -> None:
        """Send an alert."""
        message = make_message(event, self._email.sender, self._email.recipients)
        try:
            with self._connect() as server:
                refused = server.send_message(message, self._email.sender, self._email.recipients)
        except smtplib.SMTPResponseException as error:
            raise explain(error) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise all_refused(error.recipients) from error
        except smtplib.SMTPNotSupportedError as error:
            what = "STARTTLS" if self._email.security == "starttls" else "what is asked of it"
            raise AlertError(f"the server does not offer {what}: {shown(error)}") from error
        except smtplib.SMTPServerDisconnected as error:
            raise AlertError(f"the server closed the connection: {shown(error)}") from error
        except ssl.SSLCertVerificationError as error:
            raise AlertError(f"the server's certificate is not trusted: {error.verify_message}") from error
        except OSError as error:
            raise AlertError(f"no connection: {error.strerror or shown(error)}") from error
        if refused:
            raise AlertRefused(
                f"it was sent, but not to {', '.join(refused)}: {reason_of(next(iter(refused.values())))}"
            )

    def _connect(self) -> smtplib.SMTP:
        host, port = self._server
        if self._email.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=self._timeout, context=self._context)
        else:
            server = smtplib.SMTP(host, port, timeout=self._timeout)
        try:
            if self._email.security == "starttls":
                server.starttls(context=self._context)
            if self._email.username is not None:
                server.login(self._email.username, self._password)
        except BaseException:
            server.close()
            raise
        return server


def make_message(event: Event, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Return an alert as a message: what a person reads first, then what a program does."""
    line = line_of(event)
    message = EmailMessage()
    message["Subject"] = line if len(line) <= LONGEST_SUBJECT else f"{line[: LONGEST_SUBJECT - 3]}..."
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Date"] = formatdate(event.time)
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic reply is wanted
    details = json.dumps(alert_body(event), indent=2)
    shown_details = details if len(details) <= LONGEST_LIST else f"{details[:LONGEST_LIST]}\n..."
    message.set_content(f"{line}\n\n{shown_details}\n")
    return message


def explain(error: smtplib.SMTPResponseException) -> AlertError:
    """Return the error for a server's answer: 5xx is final, but for a password, which somebody may correct."""
    reason = reason_of((error.smtp_code, error.smtp_error))
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return AlertError(f"the server refused username or password: {reason}", AFTER_WRONG_PASSWORD)
    is_final = 500 <= error.smtp_code < 600 and isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError))
    return (AlertRefused if is_final else AlertError)(f"the server refused it: {reason}")


def all_refused(recipients: dict[str, Any]) -> AlertError:
    """Return the error for a server that takes no message for anybody."""
    code, _ = reply = next(iter(recipients.values()))
    final = 500 <= code < 600
    return (AlertRefused if final else AlertError)(
        f"the server takes none for {', '.join(recipients)}: {reason_of(reply)}"
    )


def reason_of(reply: tuple[int, bytes | str]) -> str:
    """Return a server's answer in a line."""
    code, text = reply
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {printable(' '.join(words.split()))}"


def shown(error: Exception) -> str:
    """Return what an error says, in a line."""
    return printable(" ".join(str(error).split())) or type(error).__name__
