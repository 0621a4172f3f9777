"""Greengrass IPC: calls of the nucleus, and what it streams, over its Unix socket; a client without the AWS CRT.

The protocol is https://github.com/awslabs/smithy-rpc-over-event-stream; the operations are those of the Greengrass IPC
model (aws.greengrass#PublishToIoTCore and others). The first answer on a stream is the call's, later ones are events.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Union

from defender_publisher.greengrass import eventstream
from defender_publisher.greengrass.eventstream import DamagedError, Frame

MESSAGE, ERROR, PING, PONG, CONNECT, CONNECT_ACK, PROTOCOL_ERROR, INTERNAL_ERROR = range(8)
ACCEPTED, TERMINATE = 1, 2  # flags of CONNECT_ACK, and of the last message on a stream
TIMEOUT = 10.0  # seconds for a connection, a call, and for the rest of a message that has begun
NAMESPACE = "aws.greengrass#"

Content = dict[str, Any]
Answer = Union[Content, Exception]
OnEvent = Callable[[Content], None]


class IpcError(Exception):
    """The nucleus refused a call, or did not answer it; `code` is its error's name, `ServiceError` for instance."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class Closed(Exception):
    """The connection to the nucleus is gone."""


class TokenRefused(Closed):
    """The nucleus does not know the component's token (any more): it was restarted after it had started us."""


class Client:
    """One connection to the nucleus, used from any thread; a thread of its own reads, and calls `on_end` at the end.

    Raises OSError when there is no nucleus at `path`, TokenRefused when it does not take the token, else Closed.
    """

    def __init__(
        self, path: str, token: str, timeout: float = TIMEOUT, on_end: Callable[[], None] = lambda: None
    ) -> None:
        self._timeout, self._on_end = timeout, on_end
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self.closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            self._introduce(token)
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._read, name="greengrass", daemon=True).start()

    def call(self, operation: str, content: Content) -> Content:
        """Call an operation and return its answer; raises IpcError or Closed."""
        return self._start(operation, content, _Call())

    def stream(self, operation: str, content: Content, on_event: OnEvent) -> Content:
        """Call an operation and return its answer; `on_event` gets what comes after it, in the reading thread."""
        return self._start(operation, content, _Call(on_event))

    def close(self) -> None:
        """End the connection; whoever waits for an answer gets Closed."""
        self.closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _introduce(self, token: str) -> None:
        self._send(
            {":message-type": CONNECT, ":message-flags": 0, ":stream-id": 0, ":version": "0.1.0"}, {"authToken": token}
        )
        try:
            answer = self._receive()
        except (Closed, ConnectionError) as error:  # nucleus lite hangs up on a token that it does not know
            raise TokenRefused("the nucleus hung up when it was told the component's token") from error
        except socket.timeout as error:  # TimeoutError from Python 3.10 on
            raise Closed("the nucleus did not answer in time") from error
        except DamagedError as error:
            raise Closed(str(error)) from error
        if answer.headers.get(":message-type") != CONNECT_ACK or not _flags(answer) & ACCEPTED:
            raise TokenRefused("the nucleus did not accept the component's token")

    def _start(self, operation: str, content: Content, call: _Call) -> Content:
        number = next(self._numbers)
        self._calls[number] = call
        try:
            self._send(call_headers(operation, number), content)
            answer = call.wait(self._timeout)
        except queue.Empty:
            answer = IpcError("TimeoutError", f"the nucleus did not answer {operation} within {self._timeout:g} s")
        except Closed as error:
            answer = error
        except OSError as error:
            answer = Closed(f"the connection to the nucleus is gone: {error.strerror or error}")
        if isinstance(answer, Exception) or call.on_event is None:
            self._calls.pop(number, None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, headers: Mapping[str, eventstream.Value], content: Content) -> None:
        with self._sending:
            if self.closed.is_set():
                raise Closed("the connection to the nucleus is closed")
            self._socket.sendall(eventstream.encode(headers, json.dumps(content).encode()))

    def _receive(self) -> Frame:
        """Return the next message, which has to be whole within the time-out."""
        deadline = time.monotonic() + self._timeout
        start = self._exactly(eventstream.START, deadline)
        return eventstream.decode(start + self._exactly(eventstream.length_of(start) - eventstream.START, deadline))

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            if time.monotonic() > deadline:
                raise socket.timeout("a message that drips")
            part = self._socket.recv(size - len(parts))
            if not part:
                raise Closed("the nucleus closed the connection")
            parts += part
        return bytes(parts)

    def _read(self) -> None:
        """Hand out what arrives until the connection is gone, for whatever reason; then say so to whoever waits."""
        reason = "the connection to the nucleus is gone"
        readable = select.poll()
        readable.register(self._socket, select.POLLIN)
        try:
            while True:
                readable.poll()  # however long nothing comes
                self._dispatch(self._receive())
        except socket.timeout:
            reason = "the nucleus began a message and did not end it in time"
        except (Closed, DamagedError) as error:
            reason = str(error)
        except OSError as error:
            reason = f"{reason}: {error.strerror or error}"
        finally:
            self.close()
            for call in list(self._calls.values()):
                call.answer(Closed(reason))
            self._on_end()

    def _dispatch(self, frame: Frame) -> None:
        kind, number = frame.headers.get(":message-type"), frame.headers.get(":stream-id", 0)
        if kind == PING:
            self._send({":message-type": PONG, ":message-flags": 0, ":stream-id": 0}, {})
        elif kind in (PROTOCOL_ERROR, INTERNAL_ERROR) and not number:
            raise Closed(f"the nucleus ended the connection: {frame.payload[:200].decode(errors='replace')}")
        call = self._calls.get(int(number))
        if call is None:
            return
        content = _content_of(frame)
        model = str(frame.headers.get("service-model-type", ""))
        if kind == MESSAGE:
            call.take(model, content)
        elif kind in (ERROR, PROTOCOL_ERROR, INTERNAL_ERROR):
            call.answer(_error_of(model, content))
        if _flags(frame) & TERMINATE:
            self._calls.pop(int(number), None)


class _Call:
    """A call that was made: whoever waits for its answer, and what comes after it."""

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self.on_event = on_event
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._answered = False

    def wait(self, timeout: float) -> Answer:
        """Return the answer; raises queue.Empty."""
        return self._answers.get(timeout=timeout)

    def take(self, model: str, content: Content) -> None:
        """Take a message: the answer, which names itself a response, or an event, which may come before it."""
        is_answer = model.endswith("Response") if model else not self._answered
        if is_answer and not self._answered:
            self.answer(content)
        elif self.on_event is not None:
            self.on_event(content)

    def answer(self, answer: Answer) -> None:
        """Answer once; what would come after that is for nobody."""
        if not self._answered:
            self._answered = True
            self._answers.put(answer)


def call_headers(operation: str, number: int) -> dict[str, eventstream.Value]:
    """Return the headers of a call, on the stream of this number."""
    return {
        ":message-type": MESSAGE,
        ":message-flags": 0,
        ":stream-id": number,
        ":content-type": "application/json",
        "operation": NAMESPACE + operation,
        "service-model-type": f"{NAMESPACE}{operation}Request",
    }


def publish_to_iot_core(client: Client, topic: str, payload: bytes, qos: int = 0) -> None:
    """Publish by the nucleus's own connection to AWS IoT; at QoS 0 the nucleus refuses while that is down."""
    content = {"topicName": topic, "qos": str(qos), "payload": base64.b64encode(payload).decode()}
    client.call("PublishToIoTCore", content)


def subscribe_to_iot_core(client: Client, topic: str, on_message: Callable[[str, bytes], None], qos: int = 1) -> None:
    """Subscribe by the nucleus's own connection; `on_message` gets topic and payload, in the reading thread."""

    def on_event(content: Content) -> None:
        message = content.get("message")
        if isinstance(message, dict) and isinstance(message.get("topicName"), str):
            with contextlib.suppress(TypeError, ValueError, binascii.Error):  # what is no base64 is no message
                on_message(message["topicName"], base64.b64decode(message.get("payload") or "", validate=True))

    client.stream("SubscribeToIoTCore", {"topicName": topic, "qos": str(qos)}, on_event)


def get_configuration(client: Client, *path: str, component: str | None = None) -> Any:
    """Return the configuration of this component, or of another one, from `path` on; IpcError if there is none."""
    content: Content = {"keyPath": list(path)}
    if component is not None:
        content["componentName"] = component
    return client.call("GetConfiguration", content).get("value")


def subscribe_to_configuration(client: Client, on_change: Callable[[], None]) -> None:
    """Hear of every change of this component's configuration."""
    client.stream("SubscribeToConfigurationUpdate", {"keyPath": []}, lambda _: on_change())


def _flags(frame: Frame) -> int:
    flags = frame.headers.get(":message-flags", 0)
    return flags if isinstance(flags, int) else 0


def _content_of(frame: Frame) -> Content:
    try:
        content = json.loads(frame.payload or b"{}")
    except (ValueError, RecursionError) as error:
        raise DamagedError("a message of the nucleus is not JSON") from error
    if not isinstance(content, dict):
        raise DamagedError("a message of the nucleus is not an object")
    return content


def _error_of(model: str, content: Content) -> IpcError:
    code = str(content.get("_errorCode") or model or "ServiceError").rpartition("#")[2]
    return IpcError(code, str(content.get("message") or content.get("_message") or ""))
