"""The diagnosis: what a failed connection or an unanswered report means, and the one thing to do about it."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import NamedTuple

from defender_publisher.endpoint import is_aws
from defender_publisher.errors import Problem
from defender_publisher.tcp import ProxyError
from defender_publisher.transport import Link

CONNACK_REASONS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it refuses this client ID",
    3: "it is unavailable",
    4: "it wants a user name and password",
    5: "this device is not authorized",
}  # MQTT 3.1.1, table 3.1
BY_PERMISSION = (2, 5)  # those of them that a policy decides
CHANGED_POLICY = "(a changed policy takes 6 to 8 minutes to take effect)"
LOOK_FOR_FIREWALL = "look for a firewall in between"
SILENT = Problem("the broker did not answer in time", f"{LOOK_FOR_FIREWALL}, or try agent.authentication.port 443")
RECONNECTING = "a new connection is being made"
SEND_LINE = "send this line to the project"
NO_AWS_CREDENTIALS = Problem(
    "no AWS credentials were found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fill ~/.aws/credentials"
)


class Permissions(NamedTuple):
    """What to check where a broker does not let a device connect, subscribe, publish, or hear what becomes of it."""

    connect: str
    subscribe: str
    publish: str
    answers: str


AT_AWS = Permissions(
    connect="check that the certificate is active in AWS IoT, and that its policy allows iot:Connect on "
    f"client/{{client_id}} {CHANGED_POLICY}",
    subscribe="let the certificate's policy allow iot:Subscribe on topicfilter/{topic}/accepted and .../rejected, and "
    f"iot:Receive on topic/{{topic}}/* {CHANGED_POLICY}",
    publish=f"let the certificate's policy allow iot:Publish on topic/{{topic}} {CHANGED_POLICY}",
    answers="register the thing, if it is not, and let the certificate's policy allow iot:Receive on topic/{topic}/* "
    f"{CHANGED_POLICY}",
)
BY_WEBSOCKET = AT_AWS._replace(
    connect="check that the AWS credentials are valid and allow iot:Connect on client/{client_id}, and the clock"
)
ELSEWHERE = Permissions(
    connect="look into the broker's log: it must trust the authority that signed this device's certificate, must not "
    "have revoked it, and must accept the client ID {client_id}",
    subscribe="let the broker's access rules allow this device to read {topic}/accepted and {topic}/rejected",
    publish="let the broker's access rules allow this device to write {topic}",
    answers="check that something answers reports at this broker (amazon-defender-detect, for instance), and that its "
    "access rules allow this device to read {topic}/accepted and {topic}/rejected",
)


def refusal(code: int, link: Link) -> Problem:
    """Say why the broker's CONNACK refused us."""
    says = f"the broker refused the connection: {CONNACK_REASONS.get(code, f'CONNACK code {code}')}"
    return Problem(says, _permissions(link).connect if code in BY_PERMISSION else "look into the broker's log")


def not_let_in(link: Link) -> Problem:
    """Say what it means that a broker hangs up instead of answering CONNECT."""
    return Problem("the broker closed the connection before it accepted this device", _permissions(link).connect)


def subscription_refused(topic: str, link: Link) -> Problem:
    """Say what it means that a broker does not grant a subscription."""
    return Problem(f"the broker refused the subscription to {topic}", _permissions(link).subscribe)


def closed_on_publish(link: Link) -> Problem:
    """Say what it means that a broker hangs up when a report comes."""
    return Problem("the broker closed the connection right after the report", _permissions(link).publish)


def no_verdict(seconds: float, link: Link) -> Problem:
    """Say what it means that a broker is there and nobody answers a report."""
    return Problem(f"neither accepted nor rejected within {seconds:.0f} s", _permissions(link).answers)


def stopped_answering(seconds: float) -> Problem:
    """Say what it means that a broker does not even acknowledge a subscription any more."""
    return Problem(f"nothing came back within {seconds:.0f} s, and the broker no longer answers", RECONNECTING)


def explain(error: BaseException, link: Link) -> Problem:
    """Say what an exception from connecting means."""
    if isinstance(error, ConnectionResetError):
        return not_let_in(link)
    template = _template(error)
    says, advice = (part.format(host=link.host, error=reason_of(error)) for part in template)
    return Problem(says, advice)


def reason_of(error: BaseException) -> str:
    """Return an exception's own words; the SDK's have a message, and are empty as strings, or a number alone."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    if isinstance(error, ssl.SSLError):
        return getattr(error, "reason", None) or str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(getattr(error, "message", "")) or str(error) or type(error).__name__


def _permissions(link: Link) -> Permissions:
    """Return what to check at this broker; only AWS IoT has policies and a registry of things."""
    texts = (BY_WEBSOCKET if link.websocket else AT_AWS) if is_aws(link.host) else ELSEWHERE
    return Permissions(*(each.format(client_id=link.client_id, topic=link.topic) for each in texts))


def _template(error: BaseException) -> Problem:
    """Return what is wrong and what to do, with {host} and {error} in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = _advice_on_certificate(error.verify_code)
        return Problem("the server's certificate was not accepted ({error})", advice)
    if isinstance(error, ssl.SSLError):
        return Problem("the TLS connection failed ({error})", _advice_on_tls(reason_of(error)))
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Problem("no file can be opened ({error})", "raise LimitNOFILE= in the unit, or find what holds so many")
    otherwise = Problem(f"{type(error).__name__} ({{error}})", SEND_LINE)
    return next((problem for kind, problem in _EXPLANATIONS if isinstance(error, kind)), otherwise)


def _advice_on_certificate(code: int) -> str:
    for codes, advice in _CERTIFICATE_ADVICE:
        if code in codes:
            return advice
    return "check agent.authentication.endpoint and root_ca, and the clock"


def _advice_on_tls(reason: str) -> str:
    for word, advice in _TLS_ADVICE:
        if word in reason:
            return advice
    return "the certificate is refused, or {host} is no MQTT broker"


# By OpenSSL's numbers (openssl/x509_vfy.h), which its texts belong to.
_CERTIFICATE_ADVICE: tuple[tuple[tuple[int, ...], str], ...] = (
    ((9, 10), "check this device's clock; if it is right, the server needs a new certificate"),
    (
        (2, 18, 19, 20, 21),
        "agent.authentication.root_ca must hold the authority that signed it (leave it out for AWS), and nothing in "
        "between, a proxy for instance, may open TLS",
    ),
    ((62, 64), "agent.authentication.endpoint must be a name that the server's certificate is made for"),
)

# By words of OpenSSL's reasons; those with ALERT are what the broker said.
_TLS_ADVICE = (
    ("EXPIRED", "replace the certificate and its key with new ones"),
    ("UNKNOWN_CA", "the broker must trust the authority that signed this device's certificate"),
    ("CERTIFICATE", "the broker must know this device's certificate, and have it active"),
    ("WRONG_VERSION", "check agent.authentication.port, where {host} does not speak TLS"),
)

# The first match holds, so the special cases stand before the general ones.
_EXPLANATIONS: tuple[tuple[type[BaseException], Problem], ...] = (
    (ProxyError, Problem("{error}", "check agent.proxy")),
    (
        socket.gaierror,
        Problem("the name {host} cannot be resolved ({error})", "check agent.authentication.endpoint and the DNS"),
    ),
    (
        ConnectionRefusedError,
        Problem("{host} refused the connection", "check agent.authentication.port and the firewall"),
    ),
    (TimeoutError, SILENT),
    (socket.timeout, SILENT),  # its own class before Python 3.10
    (UnicodeError, Problem("{host} is no host name ({error})", "check agent.authentication.endpoint")),  # empty label
    (FileNotFoundError, Problem("a file of agent.authentication is missing ({error})", "put it back")),
    (OSError, Problem("the network cannot be used ({error})", "check this device's network and route")),
)
