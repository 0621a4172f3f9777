"""The built-in broker: one in a thread of its own, for programs that are not written with asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from defender_detect.errors import BrokerError
from defender_detect.receive.asking import Answerer
from defender_detect.receive.broker import Broker
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint, listen
from defender_detect.receive.gate import Gate
from defender_detect.receive.limits import Limits
from defender_detect.receive.revoked import FILE_NAME, Revoked

START_TIMEOUT, STOP_TIMEOUT = 10.0, 1.2  # seconds
LONGEST_TURN = 10.0  # seconds that a turn of the event loop may take; on a busy machine one takes long

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """A Broker in a thread: it starts, says whether it lives, and stops."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        alerts: Mapping[str, frozenset[str]] | None = None,
        revoked: Path | None = None,
        limits: Limits | None = None,
        answerer: Answerer | None = None,
    ) -> None:
        """Check the files and take the port; raise CredentialsError or BrokerError if that fails.

        `alerts` are the topics that Detect alerts on, with the names of who else may hear them; `revoked` is the file
        of those who are shut out; `answerer` answers what things ask the broker itself.
        """
        credentials.server_context()
        replies = answerer.filters if answerer is not None else frozenset()
        self._credentials, self._gate = credentials, Gate(alerts or {}, limits or Limits(), replies)
        self._answerer = answerer
        self._revoked = Revoked(revoked or credentials.root_ca.parent / FILE_NAME)
        self._listening = listen(endpoint)
        self.endpoint = Endpoint(endpoint.host, self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._stopping = asyncio.Event()
        self._turned = threading.Event()  # the event loop has, since it was asked last
        self._turned.set()
        self._asked = 0.0

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Serve; return when clients can connect."""
        self._thread.start()
        try:
            self._started.result(timeout)
        except Exception as error:
            raise BrokerError(f"the broker cannot start on {self.endpoint}: {error}") from error

    def lives(self) -> bool:
        """Tell whether it serves: its thread runs, and its loop takes a turn within LONGEST_TURN of a question."""
        if not self._turned.is_set():
            return self._thread.is_alive() and time.monotonic() - self._asked < LONGEST_TURN
        self._turned.clear()
        self._asked = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the loop is closed, because the thread is ending
            self._started.result(0).call_soon_threadsafe(self._turned.set)
            return self._thread.is_alive()
        return False

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Close all connections, and wait for that no longer than `timeout` seconds."""
        if self._thread.is_alive():
            self._started.result().call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            broker = Broker(self._listening, self._credentials, self._gate, self._revoked, self._answerer)
            asyncio.run(broker.serve(self._started, self._stopping))
        except Exception as error:
            log.exception("the broker on %s ended", self.endpoint)
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            self._listening.close()
