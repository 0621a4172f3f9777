"""The diagnosis: what a failed connection means, and the one thing to do about it, in a sentence."""

from __future__ import annotations

import errno
import socket
import ssl

from AWSIoTPythonSDK.exception.AWSIoTExceptions import connectError, publishQueueDisabledException

from defender_publisher.errors import Problem
from defender_publisher.tcp import ProxyError

CONNACK_REASONS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it refuses this client ID",
    3: "it is unavailable",
    4: "it wants a user name and password",
    5: "the certificate's policy does not allow iot:Connect with this client ID",
}  # MQTT 3.1.1, table 3.1

NOT_LET_IN = (
    "the broker closed the connection before it let us in: the certificate is inactive or unknown there, has no "
    "policy, or its policy does not allow iot:Connect with this client ID"
)
SILENT = "the broker did not answer in time: look for a firewall in between, or try agent.authentication.port 443"
SUBSCRIPTION_REFUSED = "the certificate's policy does not allow iot:Subscribe and iot:Receive on {topic}"
NO_CONNECTION = "Error: 4"  # how the SDK's message ends when an operation found no connection
GONE = "the connection is gone ({error}): a new one is being made"
NO_DESCRIPTOR = "no file can be opened ({error}): raise the limit (LimitNOFILE= in the unit), or see what holds so many"
NO_AWS_CREDENTIALS = (
    "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fill ~/.aws/credentials"
)
ON_WEBSOCKET = "check that the AWS credentials are valid and allowed iot:Connect, and the clock"
CLOSED_ON_PUBLISH = (
    "the broker closed the connection right after the report: the certificate's policy probably does not allow "
    "iot:Publish on {topic}"
)
NO_VERDICT = (
    "neither accepted nor rejected within {seconds:.0f} s: is the thing registered, and does the certificate's policy "
    "allow iot:Receive on {topic}/*?"
)
STOPPED_ANSWERING = "nothing came back within {seconds:.0f} s, and the broker does not answer any more: connecting anew"


def explain_refusal(code: int) -> str:
    """Say why the broker's CONNACK refused us."""
    return f"the broker refused the connection: {CONNACK_REASONS.get(code, f'CONNACK code {code}')}"


def explain_failure(error: BaseException, host: str) -> str:
    """Say what an exception from connecting means; the SDK's own exceptions print as an empty string."""
    return _template(error).format(host=host, error=_reason(error))


def diagnose(error: BaseException, host: str) -> Problem:
    """Say the same as `explain_failure`, with the thing to do apart from what is wrong."""
    return Problem(*(part.format(host=host, error=_reason(error)) for part in problem_in(_template(error))))


def problem_in(text: str) -> Problem:
    """Take one of this module's texts apart: what there is to do stands behind the first colon."""
    says, _, advice = text.partition(": ")
    return Problem(says, advice)


def _template(error: BaseException) -> str:
    """Return the text, with {host} and {error} in it."""
    if "No Access Key" in str(error):
        return NO_AWS_CREDENTIALS
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted ({{error}}): {_advice_on_certificate(error.verify_code)}"
    if isinstance(error, ssl.SSLError):
        return "the TLS connection failed ({error}): " + _advice_on_tls(_reason(error))
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return NO_DESCRIPTOR
    gone = isinstance(error, publishQueueDisabledException) or _reason(error).endswith(NO_CONNECTION)
    otherwise = GONE if gone else f"{type(error).__name__} ({{error}}): send this line to the project"
    return next((text for kind, text in _EXPLANATIONS if isinstance(error, kind)), otherwise)


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


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # the SDK's exceptions have a message; as strings they are empty, or a number alone
    return str(getattr(error, "message", "")) or str(error) or type(error).__name__


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
    ("EXPIRED", "put a new certificate with its key in the old one's place"),
    ("UNKNOWN_CA", "the broker must trust the authority that signed this device's certificate"),
    ("CERTIFICATE", "the broker must know this device's certificate, and have it active"),
    ("WRONG_VERSION", "check agent.authentication.port, where {host} does not speak TLS"),
)

# The first match holds, so the special cases stand before the general ones.
_EXPLANATIONS: tuple[tuple[type[BaseException], str], ...] = (
    (ProxyError, "{error}: check agent.proxy"),
    (socket.gaierror, "the name {host} cannot be resolved ({error}): check agent.authentication.endpoint and the DNS"),
    (ConnectionRefusedError, "{host} refused the connection: check agent.authentication.port and the firewall"),
    (TimeoutError, SILENT),
    (socket.timeout, SILENT),  # its own class before Python 3.10
    (ConnectionResetError, NOT_LET_IN),
    (connectError, NOT_LET_IN),  # a certificate refused under TLS 1.3 shows so, or as a connection that is closed
    (UnicodeError, "{host} is no host name ({error}): check agent.authentication.endpoint"),  # a label that is empty
    (ValueError, "the WebSocket handshake failed ({error}): " + ON_WEBSOCKET),  # all the SDK says of it
    (FileNotFoundError, "a file of agent.authentication is gone ({error}): put it back"),
    (OSError, "the network cannot be used ({error}): check this device's network and route"),
)
