"""The diagnosis: what a failed connection means, and the one thing to do about it, in a sentence."""

from __future__ import annotations

import socket
import ssl

from AWSIoTPythonSDK.exception.AWSIoTExceptions import connectError

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
NO_AWS_CREDENTIALS = (
    "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fill ~/.aws/credentials"
)
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
    if "No Access Key" in str(error):
        return NO_AWS_CREDENTIALS
    for kind, text in _EXPLANATIONS:
        if isinstance(error, kind):
            return text.format(host=host, error=_reason(error))
    return f"{type(error).__name__}: {_reason(error)}"


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    return error.verify_message or str(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error)
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or str(getattr(error, "message", "")) or type(error).__name__


# The first match holds, so the special cases stand before the general ones.
_EXPLANATIONS: tuple[tuple[type[BaseException], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "the server's certificate was not accepted ({error}): check agent.authentication.endpoint and root_ca, "
        "and the clock",
    ),
    (ssl.SSLError, "the TLS connection failed ({error}): the certificate is refused, or {host} is no MQTT broker"),
    (ProxyError, "{error}"),
    (socket.gaierror, "the name {host} can not be resolved ({error}): check agent.authentication.endpoint and the DNS"),
    (ConnectionRefusedError, "{host} refused the connection: check agent.authentication.port and the firewall"),
    (TimeoutError, SILENT),
    (socket.timeout, SILENT),  # its own class before Python 3.10
    (ConnectionResetError, NOT_LET_IN),
    (connectError, NOT_LET_IN),  # a certificate refused under TLS 1.3 shows so, or as a connection that is closed
    (ValueError, "the WebSocket handshake failed ({error})"),  # all the SDK says of it
    (FileNotFoundError, "a file of agent.authentication is gone ({error})"),
    (OSError, "the network can not be used ({error})"),
)
