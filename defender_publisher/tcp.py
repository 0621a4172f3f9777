"""TCP connections that cannot hang: bounded in time from the first packet on, directly or through an HTTP proxy."""

from __future__ import annotations

import base64
import contextlib
import socket
import time

from defender_daemon.config import Proxy
from defender_daemon.text import printable

CONNECT_TIMEOUT = 10.0  # seconds for each step: TCP, the proxy's answer, every read of the TLS handshake
USER_TIMEOUT = 30_000  # milliseconds after which unacknowledged data ends the connection (Linux)
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, probes
LONGEST_LABEL = 63  # bytes of a host name between two dots (RFC 1035, 2.3.4)
LONGEST_HEAD = 16 * 1024  # bytes of a proxy's answer
KEEPALIVE_ON_MACOS = {"TCP_KEEPALIVE": 60}  # what TCP_KEEPIDLE is called there


class ProxyError(OSError):
    """The way through the proxy is closed; the text says why."""


def open_socket(host: str, port: int, proxy: Proxy | None = None, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """Return a connected socket whose later reads and writes are bounded by `timeout` seconds as well.

    Raises OSError: refused, timed out, unresolvable, or the proxy's own refusal.
    """
    sock = _through(proxy, host, port, timeout) if proxy else _direct(host, port, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**KEEPALIVE, **KEEPALIVE_ON_MACOS, "TCP_USER_TIMEOUT": USER_TIMEOUT}.items():
        with contextlib.suppress(OSError):  # an old kernel may know the name and not the option
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def wire_name(host: str) -> bytes:
    """Return a host name as the resolver and TLS take it; raises UnicodeError for what is none.

    Python does this itself with a str, but loads what names in other scripts need for every name, 0.4 MB for good.
    """
    is_plain = host.isascii() and all(0 < len(label) <= LONGEST_LABEL for label in host.split("."))
    return host.encode("ascii" if is_plain else "idna")


def _direct(host: str, port: int, timeout: float) -> socket.socket:
    return socket.create_connection((wire_name(host), port), timeout)  # type: ignore[arg-type]  # bytes as well


def _through(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    """Return a socket that the proxy has connected to the host; its answer may take `timeout` seconds as a whole."""
    refused = f"the proxy {proxy.host}:{proxy.port} cannot be used"
    try:
        sock = _direct(proxy.host, proxy.port, timeout)
        try:
            sock.sendall(_request(proxy, host, port))
            _expect_success(_read_head(sock, time.monotonic() + timeout))
            sock.settimeout(timeout)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise ProxyError(f"{refused}: {error.strerror or error}") from error
    return sock


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    """Return the head of a CONNECT (RFC 9110, 9.3.6); raises UnicodeError for what is no host name."""
    place = (b"[%s]" if ":" in host else b"%s") % wire_name(host)
    lines = [b"CONNECT %s:%d HTTP/1.1" % (place, port), b"Host: %s:%d" % (place, port), *_authorization(proxy)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _read_head(sock: socket.socket, deadline: float) -> bytes:
    """Return a response's head, all of which must arrive until the deadline: http.client bounds each read alone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("its answer did not end in time")
        sock.settimeout(left)
        piece = sock.recv(1)  # so that nothing is taken of what the host says, and a head is short
        if not piece:
            raise ConnectionResetError("it closed the connection")
        head += piece
        if len(head) > LONGEST_HEAD:
            raise ConnectionAbortedError("its answer is too long")
    return head


def _expect_success(head: bytes) -> None:
    version, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdecimal():
        raise ConnectionAbortedError(f"it does not speak HTTP: {printable(head.decode('latin-1'), 80)}")
    if not rest.startswith("2"):
        raise ConnectionRefusedError(printable(rest))


def _authorization(proxy: Proxy) -> list[bytes]:
    if proxy.username is None:
        return []
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode())
    return [b"Proxy-Authorization: Basic " + token]
