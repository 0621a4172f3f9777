"""The live part: a stream of server-sent events that says when the store has changed, so that a page shows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

LOOK_EVERY = 1.0  # seconds
AGAIN_AFTER = 2.0  # seconds between two events at least, however often Detect writes
ALIVE_EVERY = 15.0  # seconds: a proxy closes what says nothing for long
MOST_LISTENERS = 200  # pages that are open; the others show the same, but not by themselves
NO_CONTENT = 204  # which ends a browser's attempts


class Stream(StreamingResponse):
    """The answer to one who listens, who is counted until it ends, however that is."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(watcher.listen(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._watcher = watcher
        watcher.listeners += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the other side has gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watcher.listeners -= 1


class Database:
    """A database that others write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def version(self) -> tuple[int, int]:
        """Return what changes with each transaction, and when the file is another one."""
        try:
            inode = os.stat(self._path).st_ino
            if self._connection is None or inode != self._inode:
                self.close()
                self._connection = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
                self._inode = inode
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return inode, int(version)
        except (OSError, sqlite3.Error):  # it is being made, or is gone; whoever asks for a page is told
            return 0, 0

    def close(self) -> None:
        """Let go of it until it is looked at again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


class Watcher:
    """Looks at databases for all who listen, and at nothing while nobody does."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._databases = [Database(path) for path in paths]
        self._seen: list[tuple[int, int]] | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.listeners = 0
        self._is_closing = False

    async def answer(self, request: Request) -> Response:
        """Answer a request for the stream."""
        if self.listeners >= MOST_LISTENERS:
            return Response(status_code=NO_CONTENT)
        return Stream(self)

    async def listen(self) -> AsyncIterator[str]:
        """Yield an event now and whenever something has changed."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        yield "retry: 5000\nevent: open\ndata: \n\n"
        while not self._is_closing:
            try:
                await asyncio.wait_for(self._changed.wait(), ALIVE_EVERY)
                if not self._is_closing:
                    yield "event: changed\ndata: \n\n"
                    await asyncio.sleep(AGAIN_AFTER)
            except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
                yield ": alive\n\n"

    def close(self) -> None:
        """End all streams, because the server ends."""
        self._is_closing = True
        self._changed.set()

    async def _look(self) -> None:
        try:
            while self.listeners:
                found = [each.version() for each in self._databases]
                if found != self._seen:
                    is_first, self._seen = self._seen is None, found
                    if not is_first:
                        self._changed.set()
                        self._changed = asyncio.Event()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for each in self._databases:
                each.close()
