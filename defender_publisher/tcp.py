"""TCP connections that cannot hang: bounded in time from the first packet on, directly or through an HTTP proxy."""

from __future__ import annotations

import base64
import contextlib
import socket

from defender_publisher.config import Proxy

CONNECT_TIMEOUT = 10.0  # seconds for each step: TCP, the proxy's answer, every read of the TLS handshake
USER_TIMEOUT = 30_000  # milliseconds after which unacknowledged data ends the connection (Linux)
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, probes
KEEPALIVE_ON_MACOS = {"TCP_KEEPALIVE": 60}  # what TCP_KEEPIDLE is called there


class ProxyError(OSError):
    """The way through the proxy is closed; the text says why."""


def open_socket(host: str, port: int, proxy: Proxy | None = None, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """Return a connected socket whose later reads and writes are bounded by `timeout` seconds as well.

    Raises OSError: refused, timed out, unresolvable, or the proxy's own refusal.
    """
    sock = _through(proxy, host, port, timeout) if proxy else socket.create_connection((host, port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**KEEPALIVE, **KEEPALIVE_ON_MACOS, "TCP_USER_TIMEOUT": USER_TIMEOUT}.items():
        with contextlib.suppress(OSError):  # an old kernel may know the name and not the option
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def _through(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    import http.client  # here, because few devices are behind a proxy and it takes a megabyte

    connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=timeout)
    connection.set_tunnel(host, port, _proxy_headers(proxy))
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise ProxyError(f"the proxy {proxy.host}:{proxy.port} did not let us through: {reason}") from error
    return connection.sock


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    if proxy.username is None:
        return {}
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}
