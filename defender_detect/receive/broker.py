"""The embedded broker: amqtt with mutual TLS, Device Defender's reserved topics, and each thing kept to its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import ssl
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from defender_detect.errors import BrokerError, BrokerUnavailable
from defender_detect.judge.topics import may_use
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint, listen, notice_silence, send_at_once
from device_defender.report import LARGEST_PAYLOAD

INSTEAD = "or run another broker, mosquitto for instance, and connect to it without --embedded-broker"
if sys.version_info < (3, 10):  # noqa: UP036 - the package runs on 3.9, amqtt does not
    FOUND = ".".join(map(str, sys.version_info[:2]))
    raise BrokerUnavailable(f"the embedded broker needs Python 3.10 or later, this is {FOUND}: take that, {INSTEAD}")
try:
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
    from amqtt.broker import Broker
    from amqtt.contexts import BrokerConfig, ListenerConfig
except ImportError as error:
    raise BrokerUnavailable(f'the embedded broker needs amqtt: pip install "amqtt>=0.12.1,<0.13", {INSTEAD}') from error

LARGEST_PACKET = LARGEST_PAYLOAD + 1024  # bytes; AWS IoT's largest payload, with its topic
START_TIMEOUT, STOP_TIMEOUT = 10.0, 1.2  # seconds
GOODBYE_TIMEOUT = 0.5  # seconds for clients to close their side of a connection, which not every client does
PLUGINS: dict[str, Any] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}}  # TLS has done the authentication
PEER = "defender_detect.peer"  # the session's attribute that says who the client is

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peer:
    """Who a client is by its certificate: the thing in the common name, or Detect, which deals with all things."""

    thing: str
    is_detect: bool

    def may_use(self, topic: str) -> bool:
        """Tell whether the client may publish, subscribe to or receive this topic."""
        return self.is_detect or may_use(self.thing, topic)


class BoundedReader(StreamReaderAdapter):  # type: ignore[misc]
    """A connection's incoming bytes; one packet cannot ask for more memory than AWS IoT would give it."""

    async def read(self, n: int = -1) -> bytes:
        """Read `n` bytes."""
        if n > LARGEST_PACKET:
            raise ConnectionAbortedError(f"a packet must be at most {LARGEST_PACKET} bytes, got {n}")
        return bytes(await super().read(n))


class DefenderBroker(Broker):  # type: ignore[misc]
    """amqtt's broker, made to behave as AWS IoT does towards things that report."""

    def __init__(self, listening: socket.socket, credentials: Credentials) -> None:
        """Prepare to serve a socket that listens already; the listener's own address is not used."""
        files = {"cafile": credentials.root_ca, "certfile": credentials.certificate, "keyfile": credentials.private_key}
        listener = ListenerConfig(bind="127.0.0.1:0", ssl=True, **files)
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins=PLUGINS))
        self._listening = listening
        self._own_certificate = credentials.read_certificate()
        self._connections: set[asyncio.StreamWriter] = set()

    def hang_up(self) -> None:
        """Close every connection without waiting for its client."""
        for connection in self._connections:
            connection.transport.abort()

    @staticmethod
    def _create_ssl_context(listener: ListenerConfig) -> ssl.SSLContext:
        """Demand a client certificate, which amqtt only asks for."""
        return Credentials(listener.cafile, listener.certfile, listener.keyfile).server_context()

    async def _create_server_instance(
        self, listener_name: str, listener_type: Any, address: Any, port: Any, ssl_context: ssl.SSLContext
    ) -> asyncio.Server:
        """Serve the socket that listens already, so that a taken port is known before anything starts."""
        connected = partial(self.stream_connected, listener_name=listener_name)
        return await asyncio.start_server(connected, sock=self._listening, ssl=ssl_context)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Bound the connection's packets, and notice when the client is gone: amqtt lets keep-alives time out."""
        connection = writer.get_extra_info("socket")
        send_at_once(connection)
        notice_silence(connection)
        self._connections.add(writer)
        try:
            await self._client_connected(listener_name, BoundedReader(reader), StreamWriterAdapter(writer))
        except (OSError, asyncio.CancelledError) as error:  # asyncio would log a client that leaves with a traceback
            self.logger.debug("connection ended: %r", error)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _initialize_client_session(
        self, reader: Any, writer: StreamWriterAdapter, remote_address: str, remote_port: int
    ) -> Any:
        """Put down who the client is, by this connection: amqtt resumes a session by the client ID alone."""
        handler, session = await super()._initialize_client_session(reader, writer, remote_address, remote_port)
        session.attributes[PEER] = self._identify(writer.get_ssl_info())
        return handler, session

    def _identify(self, connection: ssl.SSLObject) -> Peer:
        """Return who a client is."""
        subject: Any = (connection.getpeercert() or {}).get("subject", ())
        names = [value for ((key, value), *_) in subject if key == "commonName"]
        return Peer(names[0] if names else "", connection.getpeercert(True) == self._own_certificate)

    async def _topic_filtering(self, session: Any, topic: str, action: Any) -> bool:
        """Keep each thing to its own reserved topics, as the recommended device policy does."""
        peer = session.attributes.get(PEER)
        return peer is not None and peer.may_use(topic)

    async def _handle_message_delivery(self, session: Any, handler: Any, delivery: Any) -> bool:
        """Let `$aws/...` through, which amqtt refuses; after a topic that is not allowed hang up, as AWS does."""
        message = delivery.result()
        if message is None or not (message.topic or "").startswith("$aws/"):
            delivered = await super()._handle_message_delivery(session, handler, delivery)
        elif delivered := await self._topic_filtering(session, message.topic, None):
            await self._broadcast_message(session, message.topic, message.data)
        if not delivered:
            self.logger.warning("%a may not publish to %a: connection closed", session.client_id, message.topic)
            await handler.handle_connection_closed()
        return True

    async def _delete_session(self, client_id: str) -> None:
        """Close the connection of the client that had this client ID so far, as MQTT wants it and AWS does it."""
        session, handler = self._sessions.get(client_id, (None, None))
        await super()._delete_session(client_id)
        if session is not None and session.transitions.is_connected():
            self.logger.warning("%a connected again: its former connection is closed", client_id)
            await handler.handle_connection_closed()

    async def _client_message_loop(self, session: Any, handler: Any) -> None:
        """Deliver what a client sent right before it left, too; amqtt drops what has not had its turn by then."""
        await super()._client_message_loop(session, handler)
        while not session.delivered_message_queue.empty():
            message = session.delivered_message_queue.get_nowait()
            if await self._topic_filtering(session, message.topic, None):
                await self._broadcast_message(session, message.topic, message.data)

    async def retain_message(self, *_: Any, **__: Any) -> None:
        """Keep nothing: reports are never retained, and amqtt would give them to clients that did not ask."""


class EmbeddedBroker:
    """A DefenderBroker in a thread of its own, for programs that are not written with asyncio."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Check the files and take the port; raise CredentialsError or BrokerError if that fails."""
        credentials.server_context()
        self._credentials = credentials
        self._listening = listen(endpoint)
        self.endpoint = Endpoint(endpoint.host, self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._stopping = asyncio.Event()

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Serve; return when clients can connect."""
        self._thread.start()
        try:
            self._started.result(timeout)
        except Exception as error:
            raise BrokerError(f"the broker cannot start on {self.endpoint}: {error}") from error

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Close all connections, and wait for that no longer than `timeout` seconds."""
        if self._thread.is_alive():
            self._started.result().call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            log.exception("the broker on %s ended", self.endpoint)
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            self._listening.close()

    async def _serve(self) -> None:
        broker = DefenderBroker(self._listening, self._credentials)
        await broker.start()
        self._started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        goodbye = asyncio.ensure_future(broker.shutdown())
        _, waiting = await asyncio.wait([goodbye], timeout=GOODBYE_TIMEOUT)
        if waiting:
            broker.hang_up()
            await asyncio.wait(waiting, timeout=GOODBYE_TIMEOUT)
