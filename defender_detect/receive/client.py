"""A client of the built-in broker: one connection, whose packets are handled one after the other.

Nothing is queued for it and no session outlives it. A packet is not read before the one before it has been dealt with
and the certificate's share allows it, so that whoever sends too much has to wait, and takes no memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress

from defender_detect.errors import ClientError
from defender_detect.receive.exchange import Exchange
from defender_detect.receive.gate import Peer
from defender_detect.receive.packets import (
    ACCEPTED,
    GRANTED,
    NOT_AUTHORIZED,
    REFUSED,
    WRONG_CLIENT_ID,
    Connect,
    Disconnect,
    Packet,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
    UnsupportedVersion,
    decode,
    encode_connack,
    encode_pingresp,
    encode_puback,
    encode_suback,
    encode_unsuback,
)
from defender_detect.receive.stream import Stream

GOODBYE = 3.0  # seconds for a client to close its side of a connection, which not every client does
LONGEST_LENGTH = 4  # bytes in which MQTT writes the length of a packet

log = logging.getLogger(__name__)


class Client:
    """Somebody whose certificate is known and who may introduce himself."""

    def __init__(self, stream: Stream, peer: Peer, exchange: Exchange) -> None:
        """Take the place of a client; `serve` must follow, in a task of its own."""
        self.stream, self.peer = stream, peer
        self.client_id = f"{id(self)}"  # which nobody else has, until it says one
        self._exchange, self._limits = exchange, exchange.limits
        self._filters: set[str] = set()
        self._will: Publish | None = None
        self._silence = self._limits.connect  # seconds, the longest there may be
        self._share = exchange.enter(self).share

    async def serve(self) -> None:
        """Handle the client's packets until it leaves, breaks a rule or is made to leave."""
        try:
            await self._introduce()
            while not isinstance(packet := await self._read(), Disconnect):
                await self._handle(packet)
            self._will = None
        except ClientError as error:
            self._say("closed", f"{error}: connection closed")
        except EOFError:
            log.debug("%s: left", self.peer)
        except asyncio.CancelledError:  # the broker stops
            self._will = None
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this connection and no other
            self._say("fault", f"cannot be served: {error!r}", error)
        finally:
            self._exchange.forget_filters(self, self._filters)
            await self.stream.close(GOODBYE)
            self._exchange.leave(self)  # not before: a connection that closes slowly counts, too
            await self._leave_will()

    def end(self, reason: str, leaves_will: bool = True) -> None:
        """Close the connection at once, for a reason that the log gives."""
        self._say("ended", reason)
        self.stream.abort()
        if not leaves_will:
            self._will = None

    async def _introduce(self) -> None:
        """Wait for CONNECT, and answer it."""
        try:
            connect = await self._read()
        except UnsupportedVersion as error:
            await self._answer(error.reply)
            raise
        if not isinstance(connect, Connect):
            raise ClientError("sent another packet before CONNECT")
        await self._check(connect)
        self.client_id = connect.client_id or self.client_id
        self._exchange.take_over(self)
        self._will = connect.will
        self._silence = 1.5 * min(connect.keep_alive or math.inf, self._limits.keep_alive)  # MQTT 3.1.2.10
        await self._answer(encode_connack(ACCEPTED))
        log.debug("%s: connected as %a", self.peer, connect.client_id)

    async def _check(self, connect: Connect) -> None:
        """Refuse a client that cannot be served as it wishes, and say so to it."""
        size = len(connect.client_id.encode())
        if size > self._limits.client_id or (connect.keeps_session and not size):
            await self._answer(encode_connack(WRONG_CLIENT_ID))
            raise ClientError(f"must have a client ID of 1 to {self._limits.client_id} bytes, got {size}")
        if connect.will is not None and not self._exchange.gate.may_publish(self.peer, connect.will.topic):
            await self._answer(encode_connack(NOT_AUTHORIZED))
            raise ClientError(f"may not publish to {connect.will.topic[:200]!a}, the topic of its will")

    async def _read(self) -> Packet:
        """Return the next packet, once it is its turn; nothing of it is looked at before."""
        stream, clock = self.stream, asyncio.get_running_loop().time
        stream.deadline = clock() + self._silence
        first = (await stream.read(1))[0]
        stream.deadline = clock() + min(self._limits.one_packet, self._silence)
        body = await stream.read(await self._read_length(self._limits.largest(first)))
        stream.deadline = math.inf  # from here on it waits for us
        await asyncio.sleep(0 if self.peer.is_detect else self._share.charge(len(body)))
        return await decode(first, body)

    async def _read_length(self, largest: int) -> int:
        length = 0
        for position in range(LONGEST_LENGTH):
            byte = (await self.stream.read(1))[0]
            length |= (byte & 0x7F) << 7 * position
            if not byte & 0x80:
                break
        if byte & 0x80 or length > largest:
            raise ClientError(f"sent a packet of more than {largest} bytes")
        return length

    async def _handle(self, packet: Packet) -> None:
        """Do what a packet asks for."""
        if isinstance(packet, Publish):
            await self._publish(packet)
        elif isinstance(packet, Subscribe):
            await self._answer(encode_suback(packet.packet_id, self._subscribe(packet.filters)))
        elif isinstance(packet, Unsubscribe):
            self._exchange.forget_filters(self, self._filters & set(packet.filters))
            self._filters -= set(packet.filters)
            await self._answer(encode_unsuback(packet.packet_id))
        elif isinstance(packet, Ping):
            await self._answer(encode_pingresp())
        else:
            raise ClientError("sent a second CONNECT")

    async def _publish(self, message: Publish) -> None:
        if message.qos == 2:
            raise ClientError(
                "published at QoS 2, which the built-in broker does not offer, nor does AWS IoT: use 0 or 1"
            )
        if self._exchange.is_question(self, message.topic):
            await self._exchange.answer(self, message)
        else:
            await self._exchange.publish(self.peer, message)
        if message.packet_id is not None:
            await self._answer(encode_puback(message.packet_id))

    async def _answer(self, packet: bytes) -> None:
        """Send a packet; until the client has read enough for it nothing more is asked of it."""
        await self.stream.writable.wait()
        self.stream.write(packet)

    def _subscribe(self, filters: tuple[str, ...]) -> list[int]:
        """Subscribe to as many filters as are allowed; return for each whether it is."""
        if len(filters) > self._limits.filters_of_request:
            raise ClientError(f"asked for more than {self._limits.filters_of_request} filters in one SUBSCRIBE")
        codes = []
        for each in filters:
            has_room = each in self._filters or len(self._filters) < self._limits.filters
            granted = has_room and self._exchange.subscribe(self, each)
            if granted:
                self._filters.add(each)
            else:
                why = "may not subscribe to" if has_room else f"has {self._limits.filters} filters, and no room for"
                self._say("filter", f"{why} {each[:200]!a}")
            codes.append(GRANTED if granted else REFUSED)
        return codes

    def _say(self, kind: str, text: str, error: Exception | None = None) -> None:
        self._exchange.notices.say((kind, self.peer.account), f"{self.peer}: {text}", error)

    async def _leave_will(self) -> None:
        """Publish what the client left for the case that it does not say goodbye; it may do so as it might before."""
        if self._will is not None:
            with suppress(ClientError):
                await self._exchange.publish(self.peer, self._will)
