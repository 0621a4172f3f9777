"""The server: listens where it may, says where that is, and serves until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import anyio.to_thread
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from defender_detect.errors import ListenError

WORKERS = 4  # threads that make pages; more would only wait for each other, and each costs memory
MOST_CONNECTIONS = 500  # at once, of the 1,024 files that a process may have open; whoever comes then is answered 503
PATIENCE = 20.0  # seconds for a request to be whole, of a connection that says nothing or a letter now and then
KEEP_ALIVE = 15  # seconds that a connection may say nothing
GRACE = 2  # seconds for what is being answered when a signal comes
LONGEST_QUEUE = 128


class Tls(NamedTuple):
    """A certificate and its key."""

    certificate: str
    private_key: str


class Place(NamedTuple):
    """Where to listen, and what is behind it."""

    app: Any
    listener: socket.socket
    tls: Tls | None
    close: Callable[[], None]  # ends what would go on for ever


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise ListenError if that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=LONGEST_QUEUE)
        # What is accepted inherits it; asyncio does so itself only where a socket's protocol is given. Without it each
        # answer on a connection that is kept waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise ListenError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error


def check_tls(tls: Tls) -> None:
    """Raise ListenError if a certificate and its key cannot be used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.private_key)
    except (OSError, ssl.SSLError) as error:
        text = f"the certificate {tls.certificate} with the key {tls.private_key} cannot be used: {error}"
        raise ListenError(text) from error


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(host: str, port: int, is_secure: bool) -> str:
    """Return how a browser names what it asks at an address."""
    scheme, usual = ("https", 443) if is_secure else ("http", 80)
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port == usual else f"{scheme}://{name}:{port}"


def serve(places: Sequence[Place]) -> None:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(_serve([(_Server(_configure(place)), place) for place in places]))


class _Connection(H11Protocol):
    """A connection that ends if a request does not come, which uvicorn waits for without an end."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_more()

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(PATIENCE, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _configure(place: Place) -> uvicorn.Config:
    tls = place.tls
    return uvicorn.Config(
        place.app, http=_Connection, ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="error",
        access_log=False, server_header=False, proxy_headers=False, limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=GRACE, backlog=LONGEST_QUEUE,
        ssl_certfile=tls.certificate if tls else None, ssl_keyfile=tls.private_key if tls else None,
    )  # fmt: skip


async def _serve(pairs: Sequence[tuple[_Server, Place]]) -> None:
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, pairs)
    await asyncio.gather(*(server.serve([place.listener]) for server, place in pairs))


def _stop(pairs: Sequence[tuple[_Server, Place]]) -> None:
    for server, place in pairs:
        server.should_exit = True
        place.close()
