"""Whoever listens hears of each change of the store, also of one right after another, and holds nobody up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from starlette.requests import Request

from defender_detect.console import live
from defender_detect.console.live import MOST_LISTENERS, Stream, Watcher

CHANGED = "event: changed\ndata: \n\n"
REQUEST = Request({"type": "http", "method": "GET", "path": "/live", "headers": []})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look all the time, and wait for nothing but an event."""
    monkeypatch.setattr(live, "LOOK_EVERY", 0)
    monkeypatch.setattr(live, "AGAIN_AFTER", 0)
    monkeypatch.setattr(live, "ALIVE_EVERY", 60)


class Database:
    """A database that is written to, as Detect does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("CREATE TABLE IF NOT EXISTS t (n)")

    def write(self) -> None:
        self.connection.execute("INSERT INTO t VALUES (1)")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "detect.db")


async def some_looks() -> None:
    """Wait until the watcher has looked a few times."""
    for _ in range(8):
        await asyncio.sleep(0)


def listening(path: Path, story: Callable[[Watcher, AsyncIterator[str]], Awaitable[None]], *others: Path) -> None:
    """Do something with one who listens to a database."""

    async def run() -> None:
        watcher = Watcher([path, *others])
        watcher.listeners = 1
        stream = watcher.listen()
        assert "retry: 5000\nevent: open\ndata: \n\n" == await stream.__anext__()
        await some_looks()
        await asyncio.wait_for(story(watcher, stream), 60)
        watcher.listeners = 0
        watcher.close()
        assert [] == [each async for each in stream]
        await asyncio.wait_for(watcher._task, 60)  # it looks no more

    asyncio.run(run())


def test_a_change_is_heard(database: Database) -> None:
    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        database.write()
        assert CHANGED == await stream.__anext__()

    listening(database.path, story)


def test_a_change_of_any_of_several_is_heard(database: Database, tmp_path: Path) -> None:
    other = Database(tmp_path / "other.db")

    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        for each in (other, database, other):
            each.write()
            assert CHANGED == await stream.__anext__()

    listening(database.path, story, other.path, tmp_path / "none.db")


def test_a_change_that_comes_while_the_one_before_is_said_is_heard_too(database: Database) -> None:
    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        for _ in range(3):
            database.write()
            await some_looks()
            assert CHANGED == await stream.__anext__()
            database.write()  # before the listener waits again
            await some_looks()
            assert CHANGED == await stream.__anext__()

    listening(database.path, story)


def test_a_change_is_said_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        database.write()
        assert CHANGED == await stream.__anext__()
        monkeypatch.setattr(live, "ALIVE_EVERY", 0.01)
        assert ": alive\n\n" == await stream.__anext__()

    listening(database.path, story)


def test_while_nothing_changes_it_says_that_it_is_alive(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ALIVE_EVERY", 0)

    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        assert [": alive\n\n"] * 2 == [await stream.__anext__(), await stream.__anext__()]

    listening(database.path, story)


def test_a_database_that_is_made_later_or_replaced_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "detect.db"

    async def story(watcher: Watcher, stream: AsyncIterator[str]) -> None:
        Database(path)
        assert CHANGED == await stream.__anext__()
        other = Database(tmp_path / "other.db")
        other.connection.close()
        other.path.replace(path)
        assert CHANGED == await stream.__anext__()
        Database(path).write()
        assert CHANGED == await stream.__anext__()

    listening(path, story)


def test_a_listener_too_many_is_answered_that_there_is_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        watcher = Watcher([tmp_path / "detect.db"])
        answers = [await watcher.answer(REQUEST) for _ in range(MOST_LISTENERS + 1)]
        assert [200] * MOST_LISTENERS + [204] == [each.status_code for each in answers]
        assert MOST_LISTENERS == watcher.listeners
        assert "text/event-stream" in answers[0].headers["content-type"]
        assert not isinstance(answers[-1], Stream)

    asyncio.run(run())


def test_one_who_has_gone_is_no_listener_any_more_however_that_was(database: Database) -> None:
    async def run() -> None:
        watcher = Watcher([database.path])

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            raise OSError("gone")

        for _ in range(2):
            stream = await watcher.answer(REQUEST)
            assert 1 == watcher.listeners
            with pytest.raises(BaseException, match="gone|unhandled"):
                await stream({"type": "http", "asgi": {"spec_version": "2.0"}}, receive, send)
            assert 0 == watcher.listeners

    asyncio.run(run())
