"""The exchange of the built-in broker: who is connected, who asked for what, and what reaches whom.

Detect is waited for, so that no report is lost and whoever sends too many slows down. Nobody waits for a thing: what it
does not read in time is not for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from defender_detect.errors import ClientError
from defender_detect.receive.asking import Answerer, Reply
from defender_detect.receive.gate import Gate, Peer
from defender_detect.receive.limits import Share
from defender_detect.receive.notices import Notices
from defender_detect.receive.packets import Publish, encode_publish
from defender_detect.receive.stream import Stream
from defender_detect.receive.subscriptions import Subscriptions


class Connected(Protocol):
    """What the exchange knows of a client."""

    peer: Peer
    stream: Stream
    client_id: str

    def end(self, reason: str, leaves_will: bool = True) -> None:
        """Close the connection."""


class Account:
    """What all connections of one certificate share."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.clients: dict[Connected, None] = {}  # the oldest first


class Exchange:
    """Everybody who is connected, by certificate, and what they asked for; for the use of one event loop."""

    def __init__(
        self,
        gate: Gate,
        notices: Notices,
        answerer: Answerer | None = None,
        is_shut_out: Callable[[Peer], bool] = lambda peer: False,
    ) -> None:
        self.gate, self.limits, self.notices = gate, gate.limits, notices
        self._answerer, self._is_shut_out = answerer, is_shut_out
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "answerer")  # one question after the other
        self._accounts: dict[object, Account] = {}
        self._subscriptions: Subscriptions[Connected] = Subscriptions()

    def __iter__(self) -> Iterator[Connected]:
        return iter([client for account in self._accounts.values() for client in account.clients])

    def __len__(self) -> int:
        return sum(len(account.clients) for account in self._accounts.values())

    def enter(self, client: Connected) -> Account:
        """Take a client in; its certificate's oldest connection is closed if there are too many."""
        account = self._accounts.setdefault(client.peer.account, Account(Share(self.limits)))
        while not client.peer.is_detect and len(account.clients) >= self.limits.connections:
            oldest = next(iter(account.clients))
            del account.clients[oldest]
            oldest.end(f"has more than {self.limits.connections} connections: the oldest is closed")
        account.clients[client] = None
        return account

    def leave(self, client: Connected) -> None:
        """Forget a client."""
        if account := self._accounts.get(client.peer.account):
            account.clients.pop(client, None)

    def take_over(self, client: Connected) -> None:
        """Close the same certificate's connection that has the same client ID, as MQTT wants it and AWS does."""
        for other in list(self._accounts[client.peer.account].clients):
            if other is not client and other.client_id == client.client_id:
                other.end(f"connected again as {client.client_id!a}: its former connection is closed")

    def subscribe(self, client: Connected, topic_filter: str) -> bool:
        """Remember a filter; return whether the client may have it."""
        allowed = self.gate.may_subscribe(client.peer, topic_filter)
        if allowed:
            self._subscriptions.add(topic_filter, client)
        return allowed

    def forget_filters(self, client: Connected, filters: Iterable[str]) -> None:
        """Forget what a client asked for."""
        for topic_filter in filters:
            self._subscriptions.remove(topic_filter, client)

    async def publish(self, sender: Peer, message: Publish) -> None:
        """Bring a message to all who may hear it; raise ClientError if its sender may not send it."""
        if not self.gate.may_publish(sender, message.topic):
            raise ClientError(f"may not publish to {message.topic[:200]!a}")
        packet = None
        for client in self._subscriptions.find(message.topic):
            if self.gate.may_receive(client.peer, message.topic):
                packet = packet or encode_publish(message.topic, message.payload)
                await self._send(client, packet)

    def is_question(self, client: Connected, topic: str) -> bool:
        """Tell whether a message to a topic is for the broker itself."""
        return self._answerer is not None and self._answerer.is_question(client.peer, topic)

    async def answer(self, client: Connected, message: Publish) -> None:
        """Answer a question, to the connection that asked alone; raise ClientError if it has been shut out meanwhile.

        The moment is taken first: what is issued to a thing that is removed just then must not seem newer than that.
        """
        assert self._answerer is not None
        now = time.time()
        if self._is_shut_out(client.peer):
            raise ClientError("is shut out")
        loop = asyncio.get_running_loop()
        question = (client.peer, message.topic, message.payload, now)
        for reply in await loop.run_in_executor(self._thread, self._answerer.answer, *question):
            if client in self._subscriptions.find(reply.topic):
                await self._send(client, encode_publish(*reply))

    async def announce(self, replies: Iterable[Reply]) -> None:
        """Bring messages of the broker's own to those who may hear them."""
        for reply in replies:
            for client in self._subscriptions.find(reply.topic):
                if self.gate.may_receive(client.peer, reply.topic):
                    await self._send(client, encode_publish(*reply))

    def close(self) -> None:
        """Answer no more questions."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def forget_the_idle(self) -> None:
        """Forget the accounts that have no connection, and nothing to pay back."""
        for key, account in list(self._accounts.items()):
            if not account.clients and account.share.is_full():
                del self._accounts[key]

    async def _send(self, client: Connected, packet: bytes) -> None:
        stream = client.stream
        while client.peer.is_detect and not stream.writable.is_set():
            await stream.writable.wait()
        if not stream.write(packet) and not stream.is_closing():
            self.notices.say(
                ("unread", client.peer.account),
                f"{client.peer}: does not read what is sent to it: messages are dropped",
            )
