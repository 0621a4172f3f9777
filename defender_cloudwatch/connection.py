"""A connection: one HTTP request to an AWS endpoint, bounded in time and size, through a proxy where there is one."""

from __future__ import annotations

import base64
import contextlib
import glob
import http.client
import os
import select
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT = 10.0  # seconds for each step of a connection
LARGEST_ANSWER = 16 << 20  # bytes; GetLogEvents answers with up to 10 MB
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Proxy(NamedTuple):
    """An HTTP proxy that is asked for a tunnel."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


class Way(NamedTuple):
    """How AWS is reached: the authorities to trust beside the system's, and the proxy."""

    root_ca: str | None = None
    proxy: Proxy | None = None


DIRECT = Way()


Trust = Callable[[], ssl.SSLContext]


class Identity(NamedTuple):
    """The device's certificate and its key, as paths of PEM files."""

    certificate: str
    private_key: str


class IdentityError(OSError):
    """The device's certificate or key cannot be used; says why."""


class Answer(NamedTuple):
    """What came back; `date` is when that was by the server's clock, as HTTP has it."""

    status: int
    body: bytes
    date: str = ""


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    way: Way = DIRECT,
    identity: Identity | None = None,
) -> Answer:
    """Make a request and return the answer; raises OSError or http.client.HTTPException.

    `http://` is for the loopback interface only: for a container's credentials, and an emulator's.
    """
    with contextlib.closing(connect(url, way, identity)) as connection:
        return exchange(connection, method, url, headers, body)


def exchange(
    connection: http.client.HTTPConnection, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Make a request over a connection, which may be used again; raises OSError or http.client.HTTPException."""
    parts = urlsplit(url)
    connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers))
    response = connection.getresponse()
    answer = Answer(response.status, response.read(LARGEST_ANSWER), response.getheader("date") or "")
    if not response.isclosed():  # of more than anybody wants to read
        connection.close()
    return answer


def was_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed a connection since the last answer: then there is something to read, its end."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def connect(
    url: str, way: Way = DIRECT, identity: Identity | None = None, trust: Trust | None = None
) -> http.client.HTTPConnection:
    """Return a connection to the server of a URL, which is made when it is used; raises OSError.

    `trust` returns the context for TLS that several connections share, which saves its memory.
    """
    parts = urlsplit(url)
    return _connection(parts.scheme, parts.hostname or "", parts.port, way, identity, trust)


def _connection(
    scheme: str, host: str, port: int | None, way: Way, identity: Identity | None, trust: Trust | None
) -> http.client.HTTPConnection:
    if scheme not in ("http", "https"):
        raise OSError(f"{scheme}:// is not used; use https")
    if scheme == "http":
        if host not in LOOPBACK:
            raise OSError(f"http://{host} is not used, because anybody on the way could read it; use https")
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    context = trusting(way) if trust is None else trust()
    if identity is not None:
        _load(context, identity)
    if way.proxy is None or host in LOOPBACK:
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    connection = http.client.HTTPSConnection(way.proxy.host, way.proxy.port, timeout=TIMEOUT, context=context)
    connection.set_tunnel(host, port or 443, dict(_authorization(way.proxy)))
    return connection


def trusting(way: Way) -> ssl.SSLContext:
    """Return the context that trusts the system's authorities, and those that were given.

    Where the system keeps each in a file of its own, as Debian does, only the one is read that a server needs: all of
    them take a megabyte and 20 ms.
    """
    places = ssl.get_default_verify_paths()
    one_by_one = os.environ.get(places.openssl_cafile_env) is None and bool(glob.glob(f"{places.capath or ''}/*.0"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if one_by_one else ssl.create_default_context()
    if one_by_one:
        context.load_verify_locations(capath=places.capath)
    if way.root_ca:
        context.load_verify_locations(way.root_ca)
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    try:
        for path in identity:
            with open(path, "rb"):
                pass
        context.load_cert_chain(identity.certificate, identity.private_key)
    except ssl.SSLError as error:
        pair = f"the certificate {identity.certificate} and the key {identity.private_key}"
        raise IdentityError(f"{pair} cannot be used: {error.reason or error}") from error
    except OSError as error:
        raise IdentityError(f"{error.filename} cannot be read: {error.strerror}") from error


def _authorization(proxy: Proxy) -> Iterator[tuple[str, str]]:
    if proxy.username is not None:
        pair = f"{proxy.username}:{proxy.password or ''}".encode()
        yield "Proxy-Authorization", f"Basic {base64.b64encode(pair).decode()}"
