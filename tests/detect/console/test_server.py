"""The console as a program: where it listens, what it says, what it refuses, and that nobody can make it stop."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from defender_detect.__main__ import main
from defender_detect.config_file import read_config
from defender_detect.console import entrance, server
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.server import listen
from defender_detect.errors import ConfigError
from defender_detect.store.store import Store
from defender_detect.store.summaries import Summaries
from demo.authority import Authority
from tests.detect.console.conftest import NOW, TOKEN, sight_of
from tests.waiting import read_until, wait_until

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "amazon-defender-detect"


@contextmanager
def console(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, int, str]]:
    """The console as a process: it, its host and port, and its token."""
    command = [sys.executable, str(SCRIPT), "console", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        said = read_until(process.stdout, "the console is at")
        found = re.search(r"https?://([\w.-]+):(\d+)/(?:\?token=(\S+))?", said)
        assert found is not None, said
        yield process, found[1], int(found[2]), found[3] or ""
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def enter(host: str, port: int, token: str) -> dict[str, str]:
    """The header that opens the pages."""
    with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
        connection.request("GET", f"/?token={token}")
        return {"Cookie": str(connection.getresponse().getheader("set-cookie")).partition(";")[0]}


def get(host: str, port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status and the text of a page."""
    with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_the_printed_address_opens_it_and_a_signal_ends_it(fleet: Path) -> None:
    with console("--state-directory", fleet, "--console-port", 0) as (process, host, port, token):
        assert "127.0.0.1" == host
        assert 401 == get(host, port, "/", {})[0]
        cookie = enter(host, port, token)
        status, page = get(host, port, "/things", cookie)
        assert (200, True) == (status, "camera-00001" in page)
        stream = http.client.HTTPConnection(host, port, timeout=60)
        stream.request("GET", "/live", headers=cookie)
        assert b"retry: 5000" in stream.getresponse().read(20)
        for _ in range(3):  # whoever says nothing, half of something, or nonsense
            for words in (b"", b"GET / HTTP/1.1\r\nHost: ", b"\x16\x03\x01\x02\x00\x01", b"GET /" + b"a" * 100_000):
                with suppress(ConnectionError):  # it may hang up before all of it is sent
                    socket.create_connection((host, port)).sendall(words)
        assert 200 == get(host, port, "/", cookie)[0]
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(60)


def test_a_page_hears_that_detect_wrote_and_a_great_many_listeners_are_harmless(tmp_path: Path) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        store.add("t0", NOW, {"n": 1})
        store.flush()
        with console("--state-directory", tmp_path, "--console-port", 0) as (_, host, port, token):
            cookie = enter(host, port, token)
            request = f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie['Cookie']}\r\n\r\n".encode()
            streams = list(come(300, host, port))
            for stream in streams:
                stream.sendall(request)
            answers = [stream.recv(20) for stream in streams]
            assert 200 == sum(b" 200 " in answer for answer in answers)
            assert 100 == sum(b" 204 " in answer for answer in answers)  # which ends a browser's attempts
            assert 200 == get(host, port, "/", cookie)[0]
            listening = next(stream for stream, answer in zip(streams, answers) if b" 200 " in answer)
            heard = b""
            number = 0
            listening.settimeout(2)

            def is_told() -> bool:
                nonlocal heard, number
                number += 1
                store.add("t0", NOW + number, {"n": number})
                store.flush()
                try:
                    heard += listening.recv(1000)
                except TimeoutError:
                    return False
                return b"event: changed" in heard

            assert wait_until(is_told)
            for stream in streams:
                stream.close()
            assert wait_until(lambda: b" 200 " in again(host, port, request))


def again(host: str, port: int, request: bytes) -> bytes:
    """The first words of an answer."""
    with socket.create_connection((host, port), timeout=60) as stream:
        stream.sendall(request)
        return stream.recv(20)


def test_over_tls_it_is_read_by_its_certificate(fleet: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("console", ["localhost"])
    settings = {
        "certificate": str(files.certificate), "private_key": str(files.private_key), "port": 0, "names": ["localhost"],
    }  # fmt: skip
    path = tmp_path / "detect.json"
    path.write_text(json.dumps({"agent": {"state_directory": str(fleet)}, "detect": {"console": settings}}))
    with console(path) as (_, host, port, token):
        assert "localhost" == host
        context = ssl.create_default_context(cafile=str(authority.certificate))
        with closing(http.client.HTTPSConnection("localhost", port, context=context, timeout=60)) as connection:
            connection.request("GET", f"/?token={token}")
            cookie = str(connection.getresponse().getheader("set-cookie"))
        assert cookie.startswith("__Host-")
        assert "; Secure" in cookie


def test_a_port_that_is_taken_is_said_and_may_be_free_later(fleet: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, str(SCRIPT), "console", "--state-directory", str(fleet), "--console-port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert 69 == done.returncode
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in done.stderr


def test_hundreds_that_say_nothing_keep_nobody_out(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those that say a letter now and then, or promise a body that does not come."""
    monkeypatch.setattr(entrance, "PATIENCE", 0.1)
    listener = listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    identity = entrance.Identity(TOKEN, frozenset({f"http://{host}:{port}"}), False)
    watcher = Watcher([Summaries(fleet).path])
    app = make_app(sight_of(fleet), identity, watcher)
    running = server._Server(server._configure(server.Place(app, listener, None, watcher.close)))
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    assert wait_until(lambda: running.started)
    promised = f"POST /enter HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 99\r\n\r\n".encode()
    with socket.create_connection((host, port), timeout=60) as waiting:
        waiting.sendall(promised)
        assert b" 413 " in waiting.recv(100)
    with monkeypatch.context() as patch:
        patch.setattr(server, "PATIENCE", 0.5)
        silent = list(come(450, host, port))
        for each in silent[:10]:
            with suppress(ConnectionError):  # a busy machine comes to that after the time that it has
                each.sendall(b"G")
        assert [b""] * 450 == [end_of(each) for each in silent]
    assert 401 == get(host, port, "/", {})[0]
    running.should_exit = True
    thread.join(60)


def come(number: int, host: str, port: int) -> Iterator[socket.socket]:
    """Yield so many connections, not all at once: where the queue is full, whoever comes waits for a second."""
    for _ in range(number):
        yield socket.create_connection((host, port), timeout=60)
        time.sleep(0.001)


def end_of(connection: socket.socket) -> bytes:
    """Wait for the end of a connection; return what came instead."""
    with connection, suppress(ConnectionError):
        return connection.recv(1)
    return b""


def test_an_answer_never_waits_for_an_acknowledgement() -> None:
    """40 ms, on each connection that is kept."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert 0 != accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    "proxy", ["detect.example", "https://detect.example/path", "https://u@h", "ftp://h", "https://"]
)
def test_a_proxys_address_is_one(tmp_path: Path, proxy: str) -> None:
    path = tmp_path / "detect.json"
    path.write_text(json.dumps({"detect": {"console": {"proxy": proxy}}}))
    with pytest.raises(ConfigError, match=r"detect\.console\.proxy must be an address like https://"):
        read_config(path, {})


def test_awss_api_listens_beside_the_console_where_it_is_configured(fleet: Path, tmp_path: Path) -> None:
    settings = {"agent": {"state_directory": str(fleet)}, "detect": {"console": {"port": 0}, "api": {"port": 0}}}
    (tmp_path / "detect.json").write_text(json.dumps(settings))
    with console(tmp_path / "detect.json") as (process, *_):
        assert process.stdout is not None
        port = re.search(r"AWS's API is at http://127.0.0.1:(\d+) ", process.stdout.readline())
        assert port is not None
        status, text = get("127.0.0.1", int(port[1]), "/active-violations?maxResults=1", {})
    assert (200, {"activeViolations"}) == (status, set(json.loads(text)) - {"nextToken"})


def test_a_python_that_is_too_old_for_the_console_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "defender_detect.showing", None)
    monkeypatch.setattr("defender_detect.__main__.CONSOLES", ("defender_detect",))
    monkeypatch.setattr("defender_detect.__main__.CONSOLES_PYTHON", (4, 0))
    assert 78 == main(["console"])
    assert "the console needs Python 3.11 or later, this is 3." in capsys.readouterr().err
    monkeypatch.setattr("defender_detect.__main__.CONSOLES_PYTHON", (3, 0))
    assert 78 == main(["console"])
    assert "is missing; run: make -C" in capsys.readouterr().err
