"""The upper rungs, up to TLS: how far a connection to the broker gets. Nobody's client ID is used here."""

from __future__ import annotations

import contextlib
import socket
import ssl

from defender_publisher.credentials import certificate_id
from defender_publisher.diagnosis import SILENT, diagnose, problem_in
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.handshake import greet
from defender_publisher.doctor.ladder import Failed, OverdueError, within
from defender_publisher.doctor.rungs import remaining
from defender_publisher.errors import Problem
from defender_publisher.rules import AWS_ENDPOINT
from defender_publisher.tcp import open_socket

CONNECT_WITHIN = 10.0  # seconds for the TCP connection, as long as the daemon waits for it
ALTERNATIVE_WITHIN = 4.0  # seconds more for the other port; together less than a rung may take
CHECK_DNS = "check the DNS server in /etc/resolv.conf, and this device's network"
LOOK_FOR_FIREWALL = "look for a firewall in between"
CHECK_TLS = "look for a firewall or a proxy that lets TCP through and holds TLS back"


def look_up(case: Case) -> str:
    """Look up whom the device connects to: the endpoint, or the proxy that looks it up itself."""
    proxy, host = case.settings.agent.proxy, str(case.authentication.endpoint)
    name, port = (proxy.host, proxy.port) if proxy else (host, int(case.authentication.port or 0))
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        raise Failed(*diagnose(error, name)) from error
    addresses = ", ".join(dict.fromkeys(str(each[4][0]) for each in found))
    return f"{addresses}: the proxy {name}, which looks up {host} itself" if proxy else addresses


def connect_tcp(case: Case) -> str:
    """Connect to the port, through the proxy where there is one."""
    host, port = str(case.authentication.endpoint), int(case.authentication.port or 0)
    proxy = case.settings.agent.proxy
    try:
        case.line = within(CONNECT_WITHIN, lambda: open_socket(host, port, proxy, CONNECT_WITHIN))
    except (OSError, OverdueError) as error:
        problem = problem_in(SILENT) if isinstance(error, OverdueError) else diagnose(error, host)
        raise Failed(f"port {port}: {problem.says}", _advice_on_port(case, problem)) from error
    return f"port {port}" + (f", through the proxy {proxy.host}:{proxy.port}" if proxy else "")


def _advice_on_port(case: Case, problem: Problem) -> str:
    other = case.alternative_port
    if other == case.authentication.port:
        return LOOK_FOR_FIREWALL if problem == problem_in(SILENT) else problem.advice
    if _answers(case, other):
        return f"set agent.authentication.port to {other}, which answers"
    return (
        f"{LOOK_FOR_FIREWALL}; port {other} does not answer either" if problem == problem_in(SILENT) else problem.advice
    )


def _answers(case: Case, port: int) -> bool:
    host, proxy = str(case.authentication.endpoint), case.settings.agent.proxy
    with contextlib.suppress(OSError, OverdueError):
        within(ALTERNATIVE_WITHIN, lambda: open_socket(host, port, proxy, ALTERNATIVE_WITHIN)).close()
        return True
    return False


def greet_server(case: Case) -> str:
    """Speak TLS as the daemon does, each side showing its certificate."""
    try:
        server = greet(case.line, case.authentication)
    except OSError as error:
        problem = diagnose(error, str(case.authentication.endpoint))
        raise Failed(problem.says, problem.advice + _look_at_aws(case, error)) from error
    return f"{server.version}, the server's certificate is valid {remaining(server.ends, case.clock())}"


def _look_at_aws(case: Case, error: OSError) -> str:
    """Return the command that tells what AWS thinks of a certificate that it refused."""
    at_aws = AWS_ENDPOINT.search(str(case.authentication.endpoint))
    if not (case.mutual and at_aws) or isinstance(error, (ssl.SSLCertVerificationError, TimeoutError, socket.timeout)):
        return ""
    which = certificate_id(str(case.authentication.certificate))
    return f": aws iot describe-certificate --certificate-id {which}"
