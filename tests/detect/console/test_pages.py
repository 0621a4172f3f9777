"""Every page shows what is stored, in words, and nothing in a store can make a browser do anything."""

from __future__ import annotations

import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from defender_detect.ask.queries import list_active_violations
from defender_detect.console import things
from defender_detect.console.sight import Sight
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


def alarmed_thing(directory: Path) -> str:
    """A thing with an alarm that is on or was."""
    return next(iter(Summaries(directory).events(0, NOW + 1))).thing


def test_the_overview_counts_alarms_things_and_the_silent_ones(fleet: Path, open_console: Open) -> None:
    words = text_of(open_console(fleet).get("/?range=24h").text)
    store = Summaries(fleet)
    alarms = list(store.active())
    assert f"{len(alarms)} alarm" in words
    assert f"at {len({each.thing for each in alarms})} of 20 things" in words
    assert re.search(r"\b20 things last report", words)
    assert re.search(r"\b1 silent", words)
    for behavior in {each.behavior for each in store.events(0, NOW + 1)}:
        assert behavior in words


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


def test_the_curve_of_a_behavior_ends_where_it_is_now(tmp_path: Path, open_console: Open) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number in range(10):
            began = event(thing=f"t{number}", time=NOW - 3000 + 100 * number, violation_id=f"v{number}")
            store.add(f"t{number}", NOW - 60, {"cpu_usage": 99}, [began])
        store.flush()
        ended = event("alarm-cleared", "t0", time=NOW - 100, violation_id="v0", value=5)
        store.add("t0", NOW - 100, {}, [ended])
        store.flush()
    page = open_console(tmp_path).get("/").text
    assert "9 alarms on" in text_of(page)
    assert 'aria-label="at most 10 at once"' in page


def test_what_is_alike_in_a_quarter_of_an_hour_is_one_line(tmp_path: Path, open_console: Open) -> None:
    quarter = NOW // 900 * 900 - 1800
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number in range(62):
            store.add(f"t{number:02}", NOW - 60, {"n": 1}, [event(thing=f"t{number:02}", time=quarter + number)])
        store.flush()
    words = text_of(open_console(tmp_path).get("/").text)
    assert "62 things t00 , t61 , …" in words
    assert 1 == words.count("raised cpu")


def test_a_thing_shows_alarms_lists_and_numbers_over_one_time(fleet: Path, open_console: Open) -> None:
    name = alarmed_thing(fleet)
    page = open_console(fleet).get(f"/things/{name}?range=24h").text
    words = text_of(page)
    for each in ("Alarms", "Destinations", "Listening TCP ports", "Numbers", "bytes", "sent", "received", "cpu_usage"):
        assert each in words
    assert "normal: at most 75%" in words
    assert page.count('class="ticks"') == 2


def test_a_thing_that_never_reported_is_said_to(fleet: Path, open_console: Open) -> None:
    answer = open_console(fleet).get("/things/nobody")
    assert 404 == answer.status_code
    assert "Nothing is kept of a thing nobody" in text_of(answer.text)


def test_things_are_found_by_name_and_state(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet)
    words = text_of(console.get("/things?name=CAMERA").text)
    assert "5 of 20" in words
    assert "gateway-" not in words
    silent = text_of(console.get("/things?state=silent").text)
    assert "1 of 20" in silent
    assert "no thing is like that" in text_of(console.get("/things?name=nobody").text)


@pytest.mark.parametrize("wanted", ["", "PI", "nobody"])
@pytest.mark.parametrize("state", ["", "alarm", "silent", "ok"])
def test_many_things_are_listed_as_few_are(
    fleet: Path, wanted: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "ROWS", 3)
    sight = Sight(Summaries(fleet), lambda: None)
    glance = sight.look()
    few, many = ([], [])
    for listed, find in ((few, things.find_things), (many, things.find_some)):
        last = things.pages_of(find(sight, glance, wanted, state, 1).number)
        for page in range(1, last + 1):
            found = find(sight, glance, wanted, state, page)
            assert (page, min(3, found.number - 3 * (page - 1))) == (found.page, len(found.rows))
            listed += [(found.number, +found.counts, row) for row in found.rows]
        assert last == find(sight, glance, wanted, state, last + 9).page
    assert few == many


def test_no_square_is_drawn_of_more_things_than_can_be_seen(
    fleet: Path, open_console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = open_console(fleet)
    assert 'id="fleet"' in console.get("/things").text
    monkeypatch.setattr(things, "MOST_DRAWN", 19)
    assert 'id="fleet"' not in console.get("/things").text
    assert 404 == console.get("/at?place=7&name=").status_code


def test_a_square_is_told_by_its_place(fleet: Path, open_console: Open) -> None:
    console, names = open_console(fleet), sorted(each.name for each in Summaries(fleet).things())
    assert names[7] == console.get("/at?place=7&name=").text
    assert [name for name in names if "rpi" in name][2] == console.get("/at?place=2&name=RPI").text
    for place in ("20", "-1", "x", ""):
        assert 404 == console.get(f"/at?place={place}&name=").status_code


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


def test_profiles_are_sentences(fleet: Path, open_console: Open) -> None:
    words = text_of(open_console(fleet).get("/profiles").text)
    assert "Alarms on bytes sent: more than 50 MB in 1 h" in words
    assert "Alarms on listening TCP ports: any port but 22" in words
    assert "3 reports in a row" in words
    without = text_of(open_console(fleet, rules=lambda: None).get("/profiles").text)
    assert "These are the behaviors that alarmed" in without
    assert "bytes-out-in-5-minutes" in without


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
