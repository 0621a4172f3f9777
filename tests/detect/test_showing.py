"""The console listens where it is safe, is known by its names, and opens for a token; the API by access keys."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")
pytest.importorskip("cryptography")

from defender_detect.api.answers import Source
from defender_detect.config import Api, Config, Console
from defender_detect.config_file import read_config
from defender_detect.console.entrance import Identity
from defender_detect.console.server import Tls
from defender_detect.errors import DetectError, ListenError, StoreError
from defender_detect.showing import (
    READ_AGAIN_AFTER,
    RememberedRules,
    check_safety,
    entrance_of,
    find_keys,
    find_tls,
    find_token,
    find_valid_rules,
    identify,
    origins_of,
    place_api,
    show,
    tell_entrance,
)
from defender_detect.store.documents import kept_in
from defender_detect.store.pages import PageReader

ROOT = Path(__file__).resolve().parents[2]
TLS = Tls("c", "k")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "detect.example"])
def test_an_address_that_others_reach_needs_tls_or_a_proxy(address: str) -> None:
    with pytest.raises(ListenError, match="is not this machine alone: give certificate and private_key"):
        check_safety("detect.console", Console(address=address), None)
    check_safety("detect.console", Console(address=address, proxy="https://detect.example"), None)


@pytest.mark.parametrize(
    ("proxy", "origin"),
    [
        ("https://detect.example:443/", "https://detect.example"),
        ("http://Detect.example:80", "http://detect.example"),
        ("https://detect.example:8443", "https://detect.example:8443"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
    ],
)
def test_a_proxys_address_is_as_browsers_say_it(proxy: str, origin: str) -> None:
    assert {origin} == origins_of(Console(proxy=proxy), 8790, False)


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


def test_the_api_is_for_others_with_keys_and_tls_only(tmp_path: Path) -> None:
    source = Source(PageReader(tmp_path), lambda: None, kept_in(tmp_path), lambda: None)
    with pytest.raises(ListenError, match=r"detect\.api\.address 0\.0\.0\.0 is not this machine alone"):
        place_api(Api(port=0, address="0.0.0.0"), source)
    with pytest.raises(ListenError, match=r"give access keys, detect\.api\.keys"):
        place_api(Api(port=0, address="0.0.0.0", proxy="https://detect.example"), source)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"AKIAX": "short"}',
        '{"a b": "long-enough-for-that"}',
        "x",
        '{"AKIAX\\n": "long-enough-for-that"}',
        '{"AKIAX": null}',
        "[" * 5000,
    ],
)
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


def test_an_address_of_this_machine_alone_is_safe_and_any_other_with_tls() -> None:
    for address in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_safety("detect.console", Console(address=address), None)
    check_safety("detect.console", Console(address="0.0.0.0"), TLS)
    with pytest.raises(
        ListenError, match=r"^detect\.api\.address :: is not this machine alone: .* as detect\.api\.proxy$"
    ):
        check_safety("detect.api", Api(port=1, address="::"), None)


def test_half_of_a_certificate_is_none() -> None:
    assert None is find_tls(None, None)
    for half in (("c", None), (None, "k")):
        with pytest.raises(ListenError, match="must be given together, or none of them"):
            find_tls(*half)


@pytest.mark.parametrize(
    ("console", "port", "is_tls", "address"),
    [
        (Console(), 8790, False, "http://127.0.0.1:8790/"),
        (Console(), 80, False, "http://127.0.0.1/"),
        (Console(address="::1"), 8790, True, "https://[::1]:8790/"),
        (Console(address="0.0.0.0", names=["detect.home", "x"]), 443, True, "https://detect.home/"),
        (Console(proxy="https://detect.example/"), 8790, False, "https://detect.example/"),
        (Console(proxy="http://detect.example:81"), 8790, False, "http://detect.example:81/"),
    ],
)
def test_the_address_that_is_printed_is_one_that_is_answered(
    console: Console, port: int, is_tls: bool, address: str
) -> None:
    identity = identify(console, port, is_tls)
    assert f"{address}?token={identity.token}" == entrance_of(console, identity, port)
    assert address.rstrip("/") in identity.origins
    assert address.startswith("https") == identity.is_secure


def test_a_token_of_a_file_is_not_printed() -> None:
    identity = Identity("secret-of-a-file", frozenset(), False)
    assert "secret" not in entrance_of(Console(token_file="/x"), identity, 8790)


def test_where_others_reach_it_the_names_of_this_machine_alone_are_not_its() -> None:
    assert {"https://0.0.0.0:1", "https://detect.home:1"} == origins_of(
        Console(address="0.0.0.0", names=["detect.home"]), 1, True
    )


def test_profiles_are_remembered_for_a_while_or_until_something_was_written() -> None:
    clock, reads = [0.0], list[float]()

    def read() -> Config:
        reads.append(clock[0])
        return Config()

    rules = RememberedRules(read, clock=lambda: clock[0])
    for now, number in ((0.0, 1), (READ_AGAIN_AFTER, 1), (READ_AGAIN_AFTER + 1, 2), (READ_AGAIN_AFTER + 2, 2)):
        clock[0] = now
        assert None is rules()
        assert number == len(reads)
    rules.refresh()
    rules()
    assert 3 == len(reads)


def test_without_profiles_there_are_no_rules() -> None:
    assert None is find_valid_rules(Config)


def test_awss_api_answers_for_one_detect_alone(tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    path.write_text('{"detect": {"api": {"port": 0}}}')
    with pytest.raises(DetectError, match="detect.api answers for one Detect: give its state directory"):
        show(lambda: read_config(path, {}), [tmp_path / "a", tmp_path / "b"])
