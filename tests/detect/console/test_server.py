"""The console as a program: where it listens, what it says, what it refuses, and that nobody can make it stop."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
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
from defender_detect.api.answers import Source
from defender_detect.config import Api, Config, Console, read_config
from defender_detect.console import entrance, server
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.server import listen
from defender_detect.errors import ConfigError, ListenError, StoreError
from defender_detect.showing import (
    RememberedRules,
    check_safety,
    find_keys,
    find_token,
    identify,
    place_api,
    show,
    tell_entrance,
)
from defender_detect.store.documents import kept_in
from defender_detect.store.pages import PageReader
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


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "detect.example"])
def test_an_address_that_others_reach_needs_tls_or_a_proxy(address: str) -> None:
    with pytest.raises(ListenError, match="is not this machine alone: give certificate and private_key"):
        check_safety("detect.console", Console(address=address), None)
    check_safety("detect.console", Console(address=address, proxy="https://detect.example"), None)


def test_behind_a_proxy_only_its_address_counts() -> None:
    identity = identify(Console(proxy="https://detect.example/"), 8790, False)
    assert (frozenset({"https://detect.example"}), True) == (identity.origins, identity.is_secure)
    assert frozenset({"detect.example"}) == identity.hosts


def test_on_loopback_each_of_its_names_counts_and_no_other() -> None:
    identity = identify(Console(names=["detect.home.arpa"]), 8790, False)
    names = {"127.0.0.1:8790", "localhost:8790", "[::1]:8790", "detect.home.arpa:8790"}
    assert names == set(identity.hosts)


def test_a_token_of_ones_own_is_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abcdefghijklmnop\n")
    path.chmod(0o644)
    with pytest.raises(ListenError, match="can be read by others: chmod 600"):
        find_token(str(path))
    path.chmod(0o600)
    assert "abcdefghijklmnop" == find_token(str(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for wrong in ("short", "with spaces between", ""):
        path.write_text(wrong)
        with pytest.raises(ListenError, match="must hold at least 16 of the characters"):
            find_token(str(path))
    with pytest.raises(ListenError, match="cannot be read"):
        find_token(str(tmp_path / "none"))
    assert find_token(None) != find_token(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to a group of another user")
def test_a_secret_that_root_gave_to_the_group_of_the_service_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("abcdefghijklmnop\n")
    monkeypatch.setattr("os.getegid", lambda: 4321)
    for group, owner, mode, is_taken in (
        (4321, 0, 0o640, True), (4321, 0, 0o660, False), (4321, 0, 0o644, False),
        (4321, 1234, 0o640, False), (4322, 0, 0o640, False),
    ):  # fmt: skip
        os.chown(path, owner, group)
        path.chmod(mode)
        if is_taken:
            assert "abcdefghijklmnop" == find_token(str(path))
        else:
            with pytest.raises(ListenError, match="can be read by others"):
                find_token(str(path))


def test_a_services_address_is_in_a_file_that_only_root_and_the_service_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, path = "http://127.0.0.1:8790/?token=secret", tmp_path / "address"
    for _ in range(2):
        tell_entrance(address, {"RUNTIME_DIRECTORY": str(tmp_path)})
        assert (f"{address}\n", 0o600) == (path.read_text(), stat.S_IMODE(path.stat().st_mode))
        assert f"the console listens; its address: sudo cat {path}\n" == capsys.readouterr().out
    tell_entrance(address, {})
    assert f"the console is at {address}\n" == capsys.readouterr().out


def test_without_a_store_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing is kept"):
        show(lambda: read_config(None, {"state_directory": str(tmp_path)}), [tmp_path])


@pytest.mark.parametrize(
    "proxy", ["detect.example", "https://detect.example/path", "https://u@h", "ftp://h", "https://"]
)
def test_a_proxys_address_is_one(tmp_path: Path, proxy: str) -> None:
    path = tmp_path / "detect.json"
    path.write_text(json.dumps({"detect": {"console": {"proxy": proxy}}}))
    with pytest.raises(ConfigError, match=r"detect\.console\.proxy must be an address like https://"):
        read_config(path, {})


def test_profiles_are_read_again_but_not_for_each_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reads: list[Config] = []
    now = 0.0
    profile = ROOT / "configs" / "security-profiles" / "cpu-usage.json"

    def read() -> Config:
        reads.append(read_config(None, {"profiles": [str(profile if len(reads) < 1 else tmp_path / "none")]}))
        return reads[-1]

    rules = RememberedRules(read, clock=lambda: now)
    first = rules()
    assert first is not None
    assert first is rules()
    assert 1 == len(reads)
    now = 100.0
    assert rules() is None  # it is gone, which is said
    assert "the profiles are not shown" in caplog.text


def test_awss_api_listens_beside_the_console_where_it_is_configured(fleet: Path, tmp_path: Path) -> None:
    settings = {"agent": {"state_directory": str(fleet)}, "detect": {"console": {"port": 0}, "api": {"port": 0}}}
    (tmp_path / "detect.json").write_text(json.dumps(settings))
    with console(tmp_path / "detect.json") as (process, *_):
        assert process.stdout is not None
        port = re.search(r"AWS's API is at http://127.0.0.1:(\d+) ", process.stdout.readline())
        assert port is not None
        status, text = get("127.0.0.1", int(port[1]), "/active-violations?maxResults=1", {})
    assert (200, {"activeViolations"}) == (status, set(json.loads(text)) - {"nextToken"})


def test_the_api_is_for_others_with_keys_and_tls_only(tmp_path: Path) -> None:
    source = Source(PageReader(tmp_path), lambda: None, kept_in(tmp_path), lambda: None)
    with pytest.raises(ListenError, match=r"detect\.api\.address 0\.0\.0\.0 is not this machine alone"):
        place_api(Api(port=0, address="0.0.0.0"), source)
    with pytest.raises(ListenError, match=r"give access keys, detect\.api\.keys"):
        place_api(Api(port=0, address="0.0.0.0", proxy="https://detect.example"), source)


@pytest.mark.parametrize("text", ["{}", "[]", '{"AKIAX": "short"}', '{"a b": "long-enough-for-that"}', "x"])
def test_keys_are_secrets_by_access_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"AKIAX": "long-enough-for-that"}')
    with pytest.raises(ListenError, match="can be read by others: chmod 600"):
        find_keys(path)
    path.chmod(0o600)
    assert {"AKIAX": "long-enough-for-that"} == find_keys(path)
    path.write_text(text)
    with pytest.raises(ListenError, match="must be JSON like|has no access key"):
        find_keys(path)


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
