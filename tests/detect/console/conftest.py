"""A console over a store of the real Detector: a small fleet with an intruder, and names that no browser may obey."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2")  # these an older Python than 3.11 does not get
pytest.importorskip("jinja2")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from starlette.testclient import TestClient

from benchmarks.history import PROFILES, make_history
from defender_detect.console.entrance import Identity
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.sight import Sight
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.profiles import read_profile
from defender_detect.store.fleet import summaries_of
from defender_detect.store.store import Store
from tests.detect.store.test_store import event

NOW = 1_800_000_000.0
TOKEN = "the-token-of-the-tests"
ORIGIN = "http://127.0.0.1:8790"
INTRUDED = "rpi-00005"
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31mred"


def rules() -> Rules:
    """The profiles that the fleet is evaluated by."""
    paths = (PROFILES / "examples" / "network-baseline.json", PROFILES / "cpu-usage.json")
    return Rules([Attachment(read_profile(path)) for path in paths])


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of twenty things and half a day."""
    directory = tmp_path_factory.mktemp("fleet")
    make_history(directory, 20, 0.5, NOW)
    return directory


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """The state directory of things whose names and strings would do harm where they are not escaped."""
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        criteria = {"comparisonOperator": "in-set", "value": {"strings": ["a"]}}
        alarm = event(
            thing=HOSTILE, time=NOW - 60, value=(HOSTILE,), kind="strings", metric="strings", criteria=criteria
        )  # fmt: skip
        store.add(HOSTILE, NOW - 60, {"strings": (HOSTILE,), HOSTILE: 5}, [alarm], report_id=1)
        store.flush()
    return tmp_path


Open = Callable[..., TestClient]


def sight_of(*directories: Path, **changes: Any) -> Sight:
    """What the pages look at."""
    return Sight(summaries_of(directories), **{"rules": rules, "clock": lambda: NOW, **changes})


@pytest.fixture
def open_console() -> Iterator[Open]:
    """Opens a console on a state directory, past its entrance unless told."""
    clients = []

    def open_one(
        *directories: Path, entered: bool = True, identity: Identity | None = None, **changes: Any
    ) -> TestClient:
        identity = identity or Identity(TOKEN, frozenset({ORIGIN}), False)
        sight = sight_of(*directories, **changes)
        app = make_app(sight, identity, Watcher(sight.store.paths))
        client = TestClient(app, base_url=next(iter(identity.origins)), follow_redirects=False)
        clients.append(client)
        if entered:
            assert 303 == client.get(f"/?token={identity.token}").status_code
        return client

    yield open_one
    for client in clients:
        client.close()


def text_of(page: str) -> str:
    """A page's words, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
