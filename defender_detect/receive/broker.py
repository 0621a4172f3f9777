"""The broker: MQTT 3.1.1 with mutual TLS, and each thing kept to its own.

A connection is a stranger's until TLS has shown whose it is, and a client's from there on. What is left to do beside is
to watch the clock: for those who say nothing, do not read, or have been shut out meanwhile.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import logging
import resource
import socket
import ssl
import sys
import time
from typing import Any

from defender_daemon.certificate import ends_soon
from defender_detect.receive.asking import Answerer
from defender_detect.receive.client import Client
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import notice_silence, send_at_once
from defender_detect.receive.exchange import Exchange
from defender_detect.receive.gate import Gate, Peer
from defender_detect.receive.notices import Notices
from defender_detect.receive.revoked import Revoked
from defender_detect.receive.strangers import Strangers, network_of
from defender_detect.receive.stream import Stream

GOODBYE_TIMEOUT = 0.5  # seconds for clients to close their side of a connection at the end
KEPT_FREE = 64  # files that may be open beside the connections: the store's, the log's, those of alerts
WATCH = 1.0  # seconds between two looks at the clock
PAUSE = 0.1  # seconds before the next connection is taken when the system had no room for one
DAY = 86_400  # seconds
RENEW = "issue another one (amazon-defender-detect renew THING)"
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Broker:
    """Serves a socket that listens; for the use of one event loop."""

    def __init__(
        self,
        listening: socket.socket,
        credentials: Credentials,
        gate: Gate,
        revoked: Revoked,
        answerer: Answerer | None = None,
    ) -> None:
        self._listening, self._context = listening, credentials.server_context()
        self._own_certificate = credentials.read_certificate()
        self._revoked, self._limits, self._answerer = revoked, gate.limits, answerer
        self._is_new_list = False
        self._notices, self._notices_of_strangers = Notices(log), Notices(log)  # so that the ones hide no others
        self._exchange = Exchange(gate, self._notices, answerer, self._is_shut_out)
        files = files_for_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        most_strangers = min(self._limits.strangers, files // 4)
        self._strangers = Strangers(most_strangers)
        self._room = min(self._limits.connections_in_all, files - most_strangers)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, started: concurrent.futures.Future[Any], stopping: asyncio.Event) -> None:
        """Serve until it is time to stop; the event loop is the result of `started`."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._notice)
        self._listening.setblocking(False)
        steady = [loop.create_task(self._accept()), loop.create_task(self._watch())]
        started.set_result(loop)
        await asyncio.wait([*steady, ending := loop.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in (*steady, ending, *self._tasks):
            task.cancel()
        await self._say_goodbye()
        self._exchange.close()
        for error in await asyncio.gather(*steady, return_exceptions=True):
            if isinstance(error, Exception):  # and not that it was cancelled
                raise error

    async def _say_goodbye(self) -> None:
        """Wait a moment for what was sent to arrive, and hang up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GOODBYE_TIMEOUT)
        streams = [client.stream for client in self._exchange]
        for stream in streams:
            stream.transport.abort()

    async def _accept(self) -> None:
        """Take the connections that come, each in a task of its own."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError as error:  # a client that is gone already, or no room
                if error.errno in NO_ROOM:
                    self._strangers.drop_one()
                    self._notices_of_strangers.say("room", f"there is no room for another connection: {error.strerror}")
                    await asyncio.sleep(PAUSE)
                continue
            task = loop.create_task(self._meet(connection, address[0]))
            self._strangers.add(task, address[0])
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)  # or those that come would keep everybody else waiting

    async def _meet(self, connection: socket.socket, address: str) -> None:
        """Find out who it is, and serve him if he may come in."""
        task: Any = asyncio.current_task()
        try:
            send_at_once(connection)
            notice_silence(connection)
            _, stream = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Stream(self._limits.unsent),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake,
            )
        except (OSError, asyncio.CancelledError) as error:
            self._say_who_is_no_client(address, error)
            return
        finally:
            self._strangers.remove(task)
        connected: Any = stream.transport.get_extra_info("ssl_object")
        peer = Peer.of(connected, self._own_certificate)
        if reason := self._reason_against(peer):
            self._notices.say(("refused", peer.account), f"{peer}: {reason}: connection closed")
            stream.abort()
            return
        self._say_what_ends_soon(peer, time.time())
        await Client(stream, peer, self._exchange).serve()

    def _reason_against(self, peer: Peer) -> str | None:
        """Return why a client cannot come in; None if it can."""
        if self._revoked.covers(peer):
            return "is shut out"
        if self._answerer is not None and (reason := self._answerer.reason_against(peer)):
            return reason
        if len(self._exchange) >= self._room and not peer.is_detect:
            return f"comes when all {self._room} connections are taken"
        return None

    def _say_what_ends_soon(self, peer: Peer, now: float) -> None:
        """Log that a thing needs another certificate before long, which it cannot know."""
        if peer.validity is not None and ends_soon(*peer.validity, now) and not peer.is_detect:
            days = max(0, int((peer.validity[1] - now) // DAY))
            self._notices.say(("ends", peer.account), f"{peer}: its certificate ends in {days} days: {RENEW}")

    def _say_who_is_no_client(self, address: str, error: BaseException) -> None:
        """Log why somebody did not become a client, but for those who only knock."""
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"a certificate that is not trusted: {error.verify_message}"
        elif isinstance(error, ssl.SSLError) and error.reason not in (None, "UNEXPECTED_EOF_WHILE_READING"):
            reason = f"TLS failed: {str(error.reason).replace('_', ' ').lower()}"
        elif isinstance(error, (ConnectionAbortedError, asyncio.CancelledError)):
            reason = "TLS was not finished in time, or there were too many like it"
        else:
            log.debug("connection from %s ended before TLS: %r", address, error)
            return
        self._notices_of_strangers.say(network_of(address), f"connection from {address} closed: {reason}")

    async def _watch(self) -> None:
        """Look after those who do not do what they must."""
        while True:
            await asyncio.sleep(WATCH)
            self._look(asyncio.get_running_loop().time(), self._refresh())
            await self._announce()
            self._exchange.forget_the_idle()
            self._notices.tell_repeats()
            self._notices_of_strangers.tell_repeats()

    def _refresh(self) -> bool:
        """Return whether others are let in than at the last look."""
        is_new = self._is_new_list | self._revoked.refresh()
        self._is_new_list = False
        return is_new | (self._answerer is not None and self._answerer.refresh())

    def _is_shut_out(self, peer: Peer) -> bool:
        """Tell whether a client is shut out at this moment, and not only since the last look."""
        self._is_new_list = self._refresh()
        reason = self._answerer.reason_against(peer) if self._answerer is not None else None
        return self._revoked.covers(peer) or reason is not None

    async def _announce(self) -> None:
        """Let those who are connected know what has come up for them."""
        if self._answerer is not None:
            await self._exchange.announce(self._answerer.news([each.peer for each in self._exchange], time.time()))

    def _look(self, now: float, is_new_list: bool) -> None:
        for client in self._exchange:
            if is_new_list and self._revoked.covers(client.peer):
                client.end("is shut out: connection closed", leaves_will=False)
            elif is_new_list and self._answerer is not None and (why := self._answerer.reason_against(client.peer)):
                client.end(f"{why}: connection closed", leaves_will=False)
            elif now > client.stream.deadline:
                client.end("said nothing for too long: connection closed")
            elif now - client.stream.stalled_since > self._limits.stalled:
                client.end(f"has not read anything for {self._limits.stalled:.0f} s: connection closed")

    def _notice(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what asyncio itself stumbles over."""
        error = context.get("exception")
        self._notices.say(("asyncio", type(error)), f"a connection failed: {context['message']}: {error!r}", error)


def files_for_connections(most_open: int) -> int:
    """Return how many of the files that a process may have open can be connections."""
    return sys.maxsize if most_open == resource.RLIM_INFINITY else max(4, most_open - KEPT_FREE)
