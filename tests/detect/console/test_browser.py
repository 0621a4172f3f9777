"""In a browser: no page complains, none is wider than a phone, and axe-core finds nothing that keeps somebody out."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

import uvicorn
from axe_playwright_python import sync_playwright as axe
from playwright import sync_api as playwright

from defender_detect.console.entrance import Identity
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.server import listen
from defender_detect.store.store import Store
from defender_detect.store.summaries import Choice, Summaries
from tests.detect.console.conftest import HOSTILE, NOW, TOKEN, sight_of
from tests.detect.store.test_store import event
from tests.waiting import wait_until

CHROMIUM = shutil.which("chromium")
SHOTS = Path(__file__).resolve().parents[3] / "build" / "console"  # to be looked at
SCHEMES, WIDTHS = ("light", "dark"), (1280, 400)
LEFT = "net::ERR_ABORTED"  # what a page asked for that was left before it came
SERIOUS = ("serious", "critical")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: sh tests/install-chromium.sh"),
]


class Served(NamedTuple):
    """A console that listens."""

    address: str
    directory: Path


def serve(directory: Path) -> Iterator[Served]:
    """Serve a console until it is left."""
    listener = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    sight = sight_of(directory)
    watcher = Watcher(sight.store.paths)
    app = make_app(sight, Identity(TOKEN, frozenset({address}), False), watcher)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert wait_until(lambda: server.started)
    yield Served(address, directory)
    watcher.close()
    server.should_exit = True
    thread.join(60)


@pytest.fixture(scope="module")
def served(fleet: Path) -> Iterator[Served]:
    """The console of the fleet."""
    yield from serve(fleet)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def open_page(browser: Any, served: Served, said: list[str], **options: Any) -> Any:
    """A page past the entrance; what the browser has to say about it goes to `said`."""
    page = browser.new_context(**options).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.failure) if request.failure != LEFT else None)
    page.goto(f"{served.address}/?token={TOKEN}")
    return page


def paths_of(directory: Path) -> dict[str, str]:
    """Every page, and one thing of each kind."""
    store = Summaries(directory)
    alarmed = next((each.thing for each in store.alarms(Choice(), 1)), next(iter(store.events(0, NOW + 1))).thing)
    thing = f"/things/{quote(alarmed, safe='')}"
    return {
        "overview": "/", "alarms": "/alarms", "past": "/alarms?when=past", "things": "/things", "thing": thing,
        "silent": "/things?state=silent", "profiles": "/profiles", "nowhere": "/nowhere",
    }  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_complains_is_too_wide_or_keeps_somebody_out(
    browser: Any, served: Served, width: int, scheme: str
) -> None:
    said: list[str] = []
    page = open_page(browser, served, said, viewport={"width": width, "height": 900}, color_scheme=scheme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, path in paths_of(served.directory).items():
        page.goto(f"{served.address}{path}")
        page.wait_for_selector("#live:not([hidden])")
        assert 0 >= page.evaluate("document.documentElement.scrollWidth - innerWidth"), f"{name} is too wide"
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in SERIOUS
        ]
        assert [] == serious, name
        page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
    assert [] == [each for each in said if "404" not in each]  # of /nowhere
    page.context.close()


def test_the_policy_is_enforced(browser: Any, served: Served) -> None:
    """Without this the test above could not fail."""
    said: list[str] = []
    page = open_page(browser, served, said)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'http://evil.example/'}))")
    assert wait_until(
        lambda: page.wait_for_timeout(20) or len([each for each in said if "Content Security" in each]) >= 2
    )
    page.context.close()


def test_the_mark_reads_all_charts_at_one_time_by_pointer_and_by_key(browser: Any, served: Served) -> None:
    said: list[str] = []
    page = open_page(browser, served, said)
    page.goto(f"{served.address}{paths_of(served.directory)['thing']}")
    before = page.locator(".reading output").all_inner_texts()
    box = page.locator(".area").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 10)
    assert page.locator(".mark").is_visible()
    read = page.locator(".reading output").all_inner_texts()
    assert before != read
    page.mouse.move(2, 2)
    assert before == page.locator(".reading output").all_inner_texts()
    page.locator(".scrub input").focus()
    for _ in range(200):
        page.keyboard.press("ArrowLeft")
    assert before != page.locator(".reading output").all_inner_texts()
    assert [] == said
    page.context.close()


def test_a_square_names_its_thing_and_leads_to_it(browser: Any, served: Served) -> None:
    said: list[str] = []
    page = open_page(browser, served, said)
    page.goto(f"{served.address}/things")
    name = sorted(each.name for each in Summaries(served.directory).things())[3]
    box = page.locator("#fleet").bounding_box()
    columns = int(page.locator("#fleet").get_attribute("data-columns"))
    page.mouse.move(box["x"] + box["width"] / columns * 3.5, box["y"] + 4)
    page.wait_for_function("name => document.getElementById('square').textContent === name", arg=name)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(f"**/things/{name}")
    page.context.close()


def test_a_page_shows_what_detect_writes_without_being_asked(browser: Any, tmp_path: Path) -> None:
    with Store(tmp_path, interval=0.1, clock=lambda: NOW) as store:
        store.add("t0", NOW, {"n": 1})
        assert store.flush()
        serving = serve(tmp_path)
        said: list[str] = []
        page = open_page(browser, next(serving), said)
        page.wait_for_selector("#live:not([hidden])")
        assert "0 alarms on" in " ".join(page.inner_text(".tile.good").split())
        number = iter(range(1, 1_000_000))

        def is_shown() -> bool:
            store.add("t0", NOW + next(number), {}, [event(thing="t0")])
            page.wait_for_timeout(300)
            return bool(page.locator(".tile.bad").count())

        assert wait_until(is_shown)
        assert [] == said
        page.context.close()
        next(serving, None)


def test_all_but_the_live_part_and_the_pointer_works_without_script(browser: Any, served: Served) -> None:
    said: list[str] = []
    page = open_page(browser, served, said, java_script_enabled=False)
    page.get_by_role("link", name="Things", exact=True).click()
    page.get_by_label("Name contains").fill("camera")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="camera-00001").click()
    assert "camera-00001" in page.inner_text("h1")
    assert page.locator(".scrub").is_hidden()
    page.get_by_role("link", name="1h").click()
    assert page.url.endswith("range=1h")
    page.context.close()


def test_a_verdict_is_given_by_keyboard_and_stays(browser: Any, hostile: Path) -> None:
    serving = serve(hostile)
    served, said = next(serving), list[str]()
    page = open_page(browser, served, said)
    page.goto(f"{served.address}/alarms")
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("What is it?").select_option("FALSE_POSITIVE")
    page.get_by_label("Note").fill("<img src=x onerror=alert(1)>")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "false positive <img src=x onerror=alert(1)>" in page.inner_text("summary")
    page.goto(f"{served.address}/things/{quote(HOSTILE, safe='')}")
    assert "\\u202e" in page.inner_text("h1")
    assert [] == said
    page.context.close()
    next(serving, None)
