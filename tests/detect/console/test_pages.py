"""Every page shows what is stored, in words, and nothing in a store can make a browser do anything."""

from __future__ import annotations

import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from defender_detect.ask.queries import list_active_violations
from defender_detect.store.schema import DATABASE, VERSION
from defender_detect.store.store import Store
from defender_detect.store.summaries import Summaries
from tests.detect.console.conftest import HOSTILE, NOW, ORIGIN, Open, text_of
from tests.detect.store.test_store import event

PAGES = ("/", "/?range=1h", "/alarms", "/alarms?when=past", "/things", "/profiles")


class Elements(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_what_several_detects_keep_is_one_fleet_and_a_verdict_is_kept_where_the_alarm_is(
    tmp_path: Path, open_console: Open
) -> None:
    directories = [tmp_path / "0", tmp_path / "1"]
    for number, directory in enumerate(directories):
        with Store(directory, interval=3600, clock=lambda: NOW) as store:
            alarm = event(thing=f"rpi-{number}", time=NOW - 60, violation_id=f"v{number}")
            store.add(f"rpi-{number}", NOW - 60, {"cpu_usage": 99}, [alarm], report_id=number)
            store.flush()
    client = open_console(*directories, tmp_path / "2")
    assert "2 alarms on at 2 of 2 things" in text_of(client.get("/").text)
    for page in ("/things", "/alarms", "/alarms?when=past", "/metrics"):
        assert ("rpi-1" in (text := client.get(page).text)) is (page != "/metrics")
        assert ("\ndefender_detect_things 2\n" in text) is (page == "/metrics")
    judged = client.post("/verdicts/v1", content="state=TRUE_POSITIVE&description=", headers={"Origin": ORIGIN})
    assert 303 == judged.status_code
    assert [[], ["v1"]] == [[*Summaries(each).verifications(["v0", "v1"])] for each in directories]
    assert 404 == client.post("/verdicts/v2", content="state=UNKNOWN", headers={"Origin": ORIGIN}).status_code


def test_a_thing_that_never_reported_is_said_to(fleet: Path, open_console: Open) -> None:
    answer = open_console(fleet).get("/things/nobody")
    assert 404 == answer.status_code
    assert "Nothing is kept of a thing nobody" in text_of(answer.text)


def test_a_verdict_is_given_on_the_page_and_chosen_by(hostile: Path, open_console: Open) -> None:
    console = open_console(hostile)
    (alarm,) = list_active_violations(Summaries(hostile))["activeViolations"]
    form = {"state": "BENIGN_POSITIVE", "description": "maintenance <b>&\r\n today", "here": "/alarms?page=1"}
    address = f"/verdicts/{quote(alarm['violationId'], safe='')}"
    answer = console.post(address, data=form, headers={"origin": ORIGIN})
    assert (303, "/alarms?page=1") == (answer.status_code, answer.headers["location"])
    (judged,) = list_active_violations(Summaries(hostile))["activeViolations"]
    assert "maintenance <b>& today" == judged["verificationStateDescription"]
    assert "1 on" in text_of(console.get("/alarms?state=BENIGN_POSITIVE").text)
    assert "No alarm like that is on" in text_of(console.get("/alarms?state=UNKNOWN").text)
    elsewhere = console.post(address, data={**form, "here": "//evil.example/"}, headers={"origin": ORIGIN})
    assert "/alarms" == elsewhere.headers["location"]
    wrong = console.post(address, data={**form, "state": "MAYBE"}, headers={"origin": ORIGIN})
    assert 400 == wrong.status_code
    assert "must be one of" in wrong.text
    assert 404 == console.post("/verdicts/other", data=form, headers={"origin": ORIGIN}).status_code


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        f"/things/{quote(HOSTILE, safe='')}",
        f"/things/{quote('<b>' + HOSTILE, safe='')}",
        f"/things?name={quote(HOSTILE)}",
        f"/alarms?thing={quote(HOSTILE)}",
    ],
)
def test_nothing_that_is_stored_or_asked_for_becomes_an_element_or_an_attribute(
    hostile: Path, open_console: Open, page: str
) -> None:
    answer = open_console(hostile).get(page)
    assert answer.status_code in (200, 404)
    elements = Elements(answer.text).found
    assert [{"src": "/static/console.js", "defer": None}] == [given for tag, given in elements if tag == "script"]
    assert [] == [given for _, given in elements if any(name.startswith("on") or name == "style" for name in given)]
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text or page.startswith("/things?name")  # what somebody typed comes back as it was


def test_every_page_says_what_a_browser_may_do_and_loads_nothing_from_elsewhere(
    fleet: Path, open_console: Open
) -> None:
    console = open_console(fleet)
    for page in PAGES:
        answer = console.get(page)
        assert 200 == answer.status_code
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src")
        assert "'unsafe" not in answer.headers["content-security-policy"]
        for _, given in Elements(answer.text).found:
            for name in ("src", "href", "action"):
                assert (given.get(name) or "/").startswith(("/", "?", "#")), given
    for path in ("/static/style.css", "/static/console.js", "/static/icon.svg"):
        assert 200 == console.get(path).status_code


def test_a_store_that_is_missing_damaged_or_of_a_version_to_come_is_said_on_the_page(
    hostile: Path, open_console: Open
) -> None:
    console, database = open_console(hostile), hostile / DATABASE
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    newer = console.get("/")
    assert (503, True) == (newer.status_code, f"has schema {VERSION + 1}" in newer.text)
    database.write_bytes(b"no database" * 1000)
    damaged = console.get("/")
    assert (503, True) == (damaged.status_code, "cannot be read" in damaged.text)
    for each in hostile.glob("detect.db*"):
        each.unlink()
    missing = console.get("/alarms")
    assert (503, True) == (missing.status_code, "has not run with it yet" in missing.text.replace("&#39;", "'"))


def test_a_store_that_is_being_written_is_read_all_the_same(tmp_path: Path, open_console: Open) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        store.add("t0", NOW, {"n": 1}, [event(thing="t0")])
        store.flush()
        writer = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM active")
        assert "1 alarm on" in text_of(open_console(tmp_path).get("/").text)
        writer.execute("ROLLBACK")
        writer.close()


def test_without_a_thing_every_page_is_there(tmp_path: Path, open_console: Open) -> None:
    Store(tmp_path).close()
    console = open_console(tmp_path)
    assert "none has reported yet" in text_of(console.get("/").text)
    for page in PAGES:
        assert 200 == console.get(page).status_code


def test_when_nothing_reports_any_more_the_time_until_the_last_report_is_shown(fleet: Path, open_console: Open) -> None:
    words = text_of(open_console(fleet, clock=lambda: NOW + 5 * 86_400).get("/").text)
    assert "No thing has reported for 5 d" in words
    assert re.search(r"\b20 silent", words)
    assert "listening-tcp-ports" in words or "bytes-out" in words


@pytest.mark.parametrize(
    "query", ["page=0", "page=99999999999", "page=-1", "page=x", "range=nonsense", "state=%00", "name=%ff"]
)
def test_an_address_that_somebody_made_up_is_answered(fleet: Path, open_console: Open, query: str) -> None:
    console = open_console(fleet)
    for page in ("/", "/alarms", "/things"):
        assert 200 == console.get(f"{page}?{query}").status_code
