"""Connections are bounded in time, and a proxy that allows CONNECT is a way through."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from defender_daemon.config import Proxy
from defender_publisher.tcp import ProxyError, open_socket, wire_name


class FakeProxy:
    """Answers one CONNECT with `answer`, and echoes afterwards."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self.request = b""
        self.drips = b""  # sent again and again, before the answer's end
        self.hangs_up = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while not self.request.endswith(b"\r\n\r\n"):
                self.request += connection.recv(4096)
            with contextlib.suppress(OSError):
                connection.sendall(self.answer[:-2] if self.drips else self.answer)
                while self.drips:
                    time.sleep(0.05)
                    connection.sendall(self.drips)
            if self.hangs_up:
                return
            with contextlib.suppress(OSError):
                while data := connection.recv(4096):
                    connection.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    proxy = FakeProxy()
    yield proxy
    proxy.close()


def test_a_proxy_is_asked_to_connect_and_bytes_go_through(proxy: FakeProxy) -> None:
    with open_socket("broker.example.com", 8883, Proxy(host="127.0.0.1", port=proxy.port)) as sock:
        assert proxy.request.startswith(b"CONNECT broker.example.com:8883 HTTP/1.")
        assert b"Proxy-Authorization" not in proxy.request
        sock.sendall(b"hello")
        assert b"hello" == sock.recv(5)


def test_a_proxy_that_wants_a_password_gets_it(proxy: FakeProxy) -> None:
    with open_socket("b", 1, Proxy(host="127.0.0.1", port=proxy.port, username="me", password="secret")):
        assert base64.b64encode(b"me:secret") in proxy.request


def test_a_proxy_that_refuses_is_quoted(proxy: FakeProxy) -> None:
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with pytest.raises(ProxyError, match=f"the proxy 127.0.0.1:{proxy.port} cannot be used: .*407"):
        open_socket("b", 1, Proxy(host="127.0.0.1", port=proxy.port))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 403 \x1b[2Jno\x07\r\n\r\n", r"403 \\x1b\[2Jno\\x07$"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "it does not speak HTTP: SSH-2.0-OpenSSH_9.2p1"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, "its answer is too long"),
        (b"", "it closed the connection"),
    ],
)
def test_whatever_a_proxy_answers_is_one_line(proxy: FakeProxy, answer: bytes, expected: str) -> None:
    proxy.answer = answer or b"HTTP/1.1 200 OK\r\n"
    if not answer:
        proxy.hangs_up = True
    with pytest.raises(ProxyError, match=expected):
        open_socket("b", 1, Proxy(host="127.0.0.1", port=proxy.port))


def test_a_proxy_that_never_ends_its_headers_is_left_when_its_time_is_over(proxy: FakeProxy) -> None:
    proxy.drips = b"X: y\r\n"
    with pytest.raises(ProxyError, match="its answer did not end in time|timed out"):
        open_socket("b", 1, Proxy(host="127.0.0.1", port=proxy.port), timeout=0.5)


def test_what_the_host_says_after_the_proxys_answer_is_not_lost(proxy: FakeProxy) -> None:
    proxy.answer = b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\nhello"
    with open_socket("b", 1, Proxy(host="127.0.0.1", port=proxy.port)) as sock:
        assert b"hello" == sock.recv(5)


def test_an_address_of_ipv6_stands_in_brackets(proxy: FakeProxy) -> None:
    with open_socket("2001:db8::1", 8883, Proxy(host="127.0.0.1", port=proxy.port)):
        assert proxy.request.startswith(b"CONNECT [2001:db8::1]:8883 HTTP/1.1\r\nHost: [2001:db8::1]:8883\r\n")


def test_a_proxy_that_is_not_there_is_named(free_port: int) -> None:
    with pytest.raises(ProxyError, match=f"the proxy 127.0.0.1:{free_port} cannot be used: .*refused"):
        open_socket("b", 1, Proxy(host="127.0.0.1", port=free_port))


def test_a_socket_is_quick_and_never_hangs() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, open_socket("127.0.0.1", server.getsockname()[1], timeout=3.0) as sock:
        assert 3.0 == sock.gettimeout()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert 30_000 == sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("abc-ats.iot.eu-west-1.amazonaws.com", b"abc-ats.iot.eu-west-1.amazonaws.com"),
        ("Broker_1", b"Broker_1"),
        ("2001:db8::1", b"2001:db8::1"),
        ("broker.local.", b"broker.local."),
        ("m\u00fcller.example", b"xn--mller-kva.example"),
    ],
)
def test_a_host_name_is_asked_for_as_python_itself_would(host: str, expected: bytes) -> None:
    assert expected == wire_name(host) == host.encode("idna")


@pytest.mark.parametrize("host", ["a..b", "a" * 64, ".a"])
def test_what_is_no_host_name_is_said_to_be_none(host: str) -> None:
    with pytest.raises(UnicodeError):
        wire_name(host)


@pytest.mark.parametrize("proxy", [None, Proxy(host="proxy.local", port=8883)])
def test_python_is_given_no_name_that_it_would_encode(monkeypatch: pytest.MonkeyPatch, proxy: Proxy | None) -> None:
    asked = []

    def refuse(address: tuple[bytes, int], _timeout: float) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ProxyError if proxy else ConnectionRefusedError):
        open_socket("broker.local", 8883, proxy)
    assert [(b"proxy.local" if proxy else b"broker.local", 8883)] == asked
