"""What is checked of the network, up to TLS: how far a connection to the broker gets. Nobody's client ID is used."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import NamedTuple

import msgspec

from defender_daemon.certificate import certificate_id
from defender_daemon.dates import seconds_of
from defender_daemon.ladder import Failed, OverdueError, within
from defender_daemon.rungs import remaining
from defender_publisher.diagnosis import LOOK_FOR_FIREWALL, SILENT, explain
from defender_publisher.doctor.case import Case
from defender_publisher.endpoint import is_aws
from defender_publisher.errors import Problem
from defender_publisher.tcp import open_socket

CONNECT_WITHIN = 10.0  # seconds for the TCP connection, as long as the daemon waits for it
ALTERNATIVE_WITHIN = 4.0  # seconds more for the other port; together less than a rung may take
CHECK_DNS = "check the DNS server in /etc/resolv.conf, and this device's network"
ALERT_WITHIN = 1.0  # seconds; under TLS 1.3 a client hears only after its handshake that its certificate is refused
CHECK_TLS = "look for a firewall or a proxy that lets TCP through and holds TLS back"


def look_up(case: Case) -> str:
    """Look up whom the device connects to: the endpoint, or the proxy that looks it up itself."""
    proxy, host = case.settings.agent.proxy, str(case.authentication.endpoint)
    name, port = (proxy.host, proxy.port) if proxy else (host, int(case.authentication.port or 0))
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        raise Failed(*explain(error, msgspec.structs.replace(case.link, host=name))) from error
    addresses = ", ".join(dict.fromkeys(str(each[4][0]) for each in found))
    return f"{addresses}: the proxy {name}, which looks up {host} itself" if proxy else addresses


def connect_tcp(case: Case) -> str:
    """Connect to the port, through the proxy where there is one."""
    host, port = str(case.authentication.endpoint), int(case.authentication.port or 0)
    proxy = case.settings.agent.proxy
    try:
        case.line = within(CONNECT_WITHIN, lambda: open_socket(host, port, proxy, CONNECT_WITHIN))
    except (OSError, OverdueError) as error:
        problem = SILENT if isinstance(error, OverdueError) else explain(error, case.link)
        raise Failed(f"port {port}: {problem.says}", _advice_on_port(case, problem)) from error
    return f"port {port}" + (f", through the proxy {proxy.host}:{proxy.port}" if proxy else "")


def _advice_on_port(case: Case, problem: Problem) -> str:
    other = case.alternative_port
    if other == case.authentication.port:
        return LOOK_FOR_FIREWALL if problem == SILENT else problem.advice
    if _answers(case, other):
        return f"set agent.authentication.port to {other}, which answers"
    return f"{LOOK_FOR_FIREWALL}; port {other} does not answer either" if problem == SILENT else problem.advice


def _answers(case: Case, port: int) -> bool:
    host, proxy = str(case.authentication.endpoint), case.settings.agent.proxy
    with contextlib.suppress(OSError, OverdueError):
        within(ALTERNATIVE_WITHIN, lambda: open_socket(host, port, proxy, ALTERNATIVE_WITHIN)).close()
        return True
    return False


def greet_server(case: Case) -> str:
    """Speak TLS as the daemon does, each side showing its certificate."""
    try:
        server = greet(case.line, case.link.host, case.method.tls_context(case.authentication))
    except OSError as error:
        problem = explain(error, case.link)
        raise Failed(problem.says, problem.advice + _look_at_aws(case, error)) from error
    return f"{server.version}, the server's certificate is valid {remaining(server.ends, case.clock())}"


def _look_at_aws(case: Case, error: OSError) -> str:
    """Return the command that tells what AWS thinks of a certificate that it refused."""
    ours = isinstance(error, (ssl.SSLCertVerificationError, TimeoutError, socket.timeout))
    if ours or not case.link.certificate or not is_aws(case.link.host):
        return ""
    return f": aws iot describe-certificate --certificate-id {certificate_id(case.link.certificate)}"


class Server(NamedTuple):
    """The TLS version agreed upon, and until when the server's certificate is valid (seconds since the epoch)."""

    version: str
    ends: float


def greet(line: socket.socket, host: str, context: ssl.SSLContext) -> Server:
    """Speak TLS on a connected socket, which is closed afterwards.

    Raises OSError: ssl.SSLCertVerificationError when we do not trust the server, another ssl.SSLError or
    ConnectionResetError when it does not take our certificate.
    """
    with context.wrap_socket(line, server_hostname=host) as secure:
        certificate = secure.getpeercert() or {}
        server = Server(str(secure.version()), seconds_of(str(certificate["notAfter"])))
        _hear_alert(secure)
    return server


def _hear_alert(secure: ssl.SSLSocket) -> None:
    secure.settimeout(ALERT_WITHIN)
    try:
        if not secure.recv(1):  # a server has nothing to say before CONNECT, so this is its end
            raise ConnectionResetError
    except socket.timeout:  # noqa: UP041 - its own class before Python 3.10
        return
