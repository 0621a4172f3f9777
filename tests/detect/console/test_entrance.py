"""Nobody comes in without the token, and no other site can act for who has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Route

from defender_detect.store.summaries import Summaries
from tests.detect.console.conftest import ORIGIN, TOKEN, Identity, Open

PAGES = ("/", "/alarms", "/things", "/things/camera-00001", "/profiles", "/live", "/at?place=0&name=", "/metrics")


def test_every_page_is_among_those_that_are_tried_without_the_token(fleet: Path, open_console: Open) -> None:
    routes = {route.path for route in open_console(fleet).app._app.routes if isinstance(route, Route)}  # type: ignore[attr-defined]
    tried = {page.partition("?")[0].replace("camera-00001", "{name:path}") for page in PAGES}
    assert tried | {"/verdicts/{violation_id:path}"} == routes


def test_without_the_token_nothing_is_shown_but_where_to_put_it(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet, entered=False)
    for page in PAGES:
        answer = console.get(page)
        assert 401 == answer.status_code
        assert 'action="/enter"' in answer.text
        assert "camera" not in answer.text
    form = {"state": "UNKNOWN"}
    assert 401 == console.post("/verdicts/id", data=form, headers={"origin": ORIGIN}).status_code


def test_the_token_in_the_printed_address_becomes_a_cookie_and_leaves_the_address(
    fleet: Path, open_console: Open
) -> None:
    console = open_console(fleet, entered=False)
    answer = console.get(f"/alarms?token={TOKEN}&when=past")
    assert (303, "/alarms?when=past") == (answer.status_code, answer.headers["location"])
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {each.strip() for each in cookie.split(";")}
    assert TOKEN not in cookie
    assert 200 == console.get("/alarms").status_code


def test_the_token_can_be_pasted(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet, entered=False)
    wrong = console.post("/enter", data={"token": "other"}, headers={"origin": ORIGIN})
    assert (403, True) == (wrong.status_code, "not the token" in wrong.text)
    assert 401 == console.get("/").status_code
    assert 303 == console.post("/enter", data={"token": f" {TOKEN} "}, headers={"origin": ORIGIN}).status_code
    assert 200 == console.get("/").status_code


@pytest.mark.parametrize(
    "cookie", ["{name}=", "{name}=other", "{name}=\u00e9", "=;;=", "other={session}", "{name}={token}"]
)
def test_another_cookie_is_none(fleet: Path, open_console: Open, cookie: str) -> None:
    console, identity = open_console(fleet, entered=False), Identity(TOKEN, frozenset({ORIGIN}), False)
    text = cookie.format(name=identity.cookie, session=identity.session, token=TOKEN)
    assert 401 == console.get("/", headers={"cookie": text.encode()}).status_code


@pytest.mark.parametrize("token", ["", "other", f"{TOKEN} ", "\u00e9", TOKEN[:-1]])
def test_a_wrong_token_opens_nothing(fleet: Path, open_console: Open, token: str) -> None:
    console = open_console(fleet, entered=False)
    assert console.get("/", params={"token": token}).status_code in (401, 403)
    assert "set-cookie" not in console.get("/", params={"token": token}).headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8790", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_name_that_was_made_to_mean_this_machine_is_refused(fleet: Path, open_console: Open, host: str) -> None:
    """DNS rebinding: the browser sends the cookie of the other name, and that name in Host."""
    answer = open_console(fleet).get("/", headers={"host": host})
    assert 421 == answer.status_code
    assert "camera" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:8790.evil.example", None])
def test_a_form_of_another_site_changes_nothing(hostile: Path, open_console: Open, origin: str | None) -> None:
    console, (alarm,) = open_console(hostile), Summaries(hostile).active()
    headers = {} if origin is None else {"origin": origin}
    answer = console.post("/verdicts/x", data={"state": "FALSE_POSITIVE"}, headers=headers)
    assert 403 == answer.status_code
    assert {} == Summaries(hostile).verifications([alarm.violation_id])


def test_other_methods_are_unknown(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert 405 == console.request(method, "/", headers={"origin": ORIGIN}).status_code
    assert 405 == console.get("/verdicts/id").status_code


def test_what_is_too_large_is_not_read(fleet: Path, open_console: Open) -> None:
    console, read = open_console(fleet), 0

    def stream():  # type: ignore[no-untyped-def]
        nonlocal read
        for _ in range(100):
            read += 1_000_000
            yield b"x" * 1_000_000

    said = console.post("/verdicts/id", content=b"x" * 20_000, headers={"origin": ORIGIN})
    assert 413 == said.status_code
    assert 413 == console.post("/verdicts/id", content=stream(), headers={"origin": ORIGIN}).status_code


def test_metrics_are_read_with_the_token_in_a_header_and_pages_are_not(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet, entered=False)
    assert 200 == console.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code
    assert 401 == console.get("/metrics", headers={"authorization": "Bearer other"}).status_code
    assert 401 == console.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code


def test_over_tls_the_cookie_is_for_tls_only(fleet: Path, open_console: Open) -> None:
    identity = Identity(TOKEN, frozenset({"https://detect.example"}), True)
    cookie = open_console(fleet, entered=False, identity=identity).get(f"/?token={TOKEN}").headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "; Secure" in cookie
