"""A nucleus for tests: Greengrass IPC on a Unix socket, with AWS IoT and Device Defender behind it.

It keeps what nucleus lite was seen to do: it hangs up on a token that it does not know and on a frame above its limit,
refuses what `accessControl` does not allow, and refuses everything with ServiceError while it is offline.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import cbor2

from defender_publisher.greengrass import eventstream

LITE_LIMIT, JAVA_LIMIT = 10_000, 1 << 18  # bytes of a frame's headers and payload
TOKEN = "the component's token"
Verdict = Callable[[str, bytes], Optional[str]]  # topic and report -> "accepted", "rejected: ..." or None


def accept(topic: str, payload: bytes) -> str:
    """Accept every report."""
    return "accepted"


class Refused(Exception):
    """An operation is refused, with the error's name in the model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


class Connection(socketserver.BaseRequestHandler):
    """A component's connection."""

    server: Nucleus

    def setup(self) -> None:
        self.lock = threading.Lock()
        self.subscriptions: dict[int, str | None] = {}  # stream -> topic, None for changes of the configuration
        self.server.connections.append(self)

    def handle(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                start = self.exactly(eventstream.START)
                size = eventstream.length_of(start) - eventstream.START
                if size > self.server.limit:
                    return  # as nucleus lite does: without a word
                frame = eventstream.decode(start + self.exactly(size))
                if not self.answer(frame):
                    return

    def finish(self) -> None:
        self.server.connections.remove(self)

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.request.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def answer(self, frame: eventstream.Frame) -> bool:
        """Answer a frame; return whether the connection goes on."""
        content = json.loads(frame.payload or b"{}")
        stream = int(frame.headers[":stream-id"])
        if frame.headers[":message-type"] == 4:
            known = content.get("authToken") in self.server.tokens
            if known or self.server.says_no:
                self.send({":message-type": 5, ":message-flags": int(known), ":stream-id": 0})
            return known
        if frame.headers[":message-type"] == 3:
            self.server.pongs += 1
            return True
        operation = str(frame.headers["operation"]).partition("#")[2]
        self.server.calls.append((operation, content))
        if operation in self.server.silent:
            return True
        try:
            perform = getattr(self, f"do_{operation}", None)
            if perform is None:
                raise Refused("ServiceError", "unknown operation")
            then = perform(content, stream)
        except Refused as error:
            model = f"aws.greengrass#{error.code}"
            self.respond(
                1, stream, model, {"_errorCode": error.code, "_message": error.message, "message": error.message}, 2
            )
            return True
        return then is None or bool(then())

    def respond(self, kind: int, stream: int, model: str, content: dict[str, Any], flags: int = 0) -> None:
        headers: dict[str, eventstream.Value] = {
            ":message-type": kind,
            ":message-flags": flags,
            ":stream-id": stream,
            ":content-type": "application/json",
            "service-model-type": model,
        }
        self.send(headers, content)

    def send(self, headers: dict[str, eventstream.Value], content: dict[str, Any] | None = None) -> None:
        message = eventstream.encode(headers, b"" if content is None else json.dumps(content).encode())
        with self.lock:
            for part in self.server.pieces(message):
                self.request.sendall(part)

    def do_GetConfiguration(self, content: dict[str, Any], stream: int) -> None:  # noqa: N802 - the operation's name
        name = content.get("componentName")
        if name is not None and name not in self.server.others:
            raise Refused("ResourceNotFoundError", "Key not found.")
        value: Any = self.server.configuration if name is None else self.server.others[name]
        keys = content.get("keyPath") or []
        for key in keys:
            if key not in value:
                raise Refused("ResourceNotFoundError", "Key not found.")
            value = value[key]
        value = value if isinstance(value, dict) else {keys[-1]: value}
        self.respond(0, stream, "aws.greengrass#GetConfigurationResponse", {"componentName": "it", "value": value})

    def do_SubscribeToConfigurationUpdate(self, content: dict[str, Any], stream: int) -> None:  # noqa: N802
        self.subscriptions[stream] = None
        self.respond(0, stream, "aws.greengrass#SubscribeToConfigurationUpdateResponse", {})

    def do_SubscribeToIoTCore(self, content: dict[str, Any], stream: int) -> None:  # noqa: N802
        self.allow("SubscribeToIoTCore", content["topicName"])
        self.subscriptions[stream] = content["topicName"]
        if self.server.event_first:
            self.deliver(stream, content["topicName"], b"early")
        self.respond(0, stream, "aws.greengrass#SubscribeToIoTCoreResponse", {})

    def do_PublishToIoTCore(self, content: dict[str, Any], stream: int) -> None:  # noqa: N802
        self.allow("PublishToIoTCore", content["topicName"])
        topic, payload = content["topicName"], base64.b64decode(content["payload"])
        self.server.published.append((topic, payload))
        self.respond(0, stream, "aws.greengrass#PublishToIoTCoreResponse", {})
        self.server.judge(topic, payload)

    def deliver(self, stream: int, topic: str, payload: bytes) -> None:
        message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
        self.respond(0, stream, "aws.greengrass#IoTCoreMessage", {"message": message})

    def allow(self, operation: str, topic: str) -> None:
        if operation not in self.server.operations or not topic.startswith(self.server.resource):
            raise Refused("UnauthorizedError", "IPC Operation not authorized.")
        if not self.server.online:
            raise Refused("ServiceError", "Failed to publish the message.")


class Nucleus(socketserver.ThreadingUnixStreamServer):
    """The nucleus: attributes say how it behaves, `published` and `calls` what it was asked to do."""

    daemon_threads = True

    def __init__(self, path: Path | str, limit: int = LITE_LIMIT, verdict: Verdict = accept) -> None:
        super().__init__(str(path), Connection)
        self.path, self.limit, self.verdict = str(path), limit, verdict
        self.tokens = {TOKEN}
        self.online, self.says_no, self.event_first = True, False, False
        self.resource = "$aws/things/"
        self.operations = {"PublishToIoTCore", "SubscribeToIoTCore"}
        self.silent: set[str] = set()  # operations that are never answered
        self.drip: float | None = None  # seconds between two bytes of what is sent
        self.configuration: dict[str, Any] = {"SampleIntervalSeconds": "300"}
        self.others: dict[str, dict[str, Any]] = {}
        if limit == LITE_LIMIT:
            self.others["aws.greengrass.NucleusLite"] = {"awsRegion": "eu-west-1"}
        self.connections: list[Connection] = []
        self.pongs = 0  # answers to pings
        self.published: list[tuple[str, bytes]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def pieces(self, message: bytes) -> Iterator[bytes]:
        """Yield what is sent of a message, at once or byte by byte."""
        if self.drip is None:
            yield message
            return
        for byte in message:
            time.sleep(self.drip)
            yield bytes([byte])

    def judge(self, topic: str, payload: bytes) -> None:
        """Answer a report as Device Defender does."""
        said = self.verdict(topic, payload)
        if said is None:
            return
        form = topic.rpartition("/")[2]
        decode, encode = (
            (cbor2.loads, cbor2.dumps) if form == "cbor" else (json.loads, lambda value: json.dumps(value).encode())
        )
        report = decode(payload)
        header = report.get("header") or report.get("hed")
        answer = {
            "thingName": topic.split("/")[2],
            "reportId": header.get("report_id") or header.get("rid"),
            "status": "ACCEPTED" if said == "accepted" else "REJECTED",
            "timestamp": int(time.time() * 1000),
        }
        if said != "accepted":
            answer["statusDetails"] = {"ErrorCode": said.partition(": ")[2], "ErrorMessage": "as the test wants it"}
        self.deliver(f"{topic}/{said.partition(':')[0]}", encode(answer))

    def deliver(self, topic: str, payload: bytes) -> None:
        """Deliver a message to whoever subscribed to its topic."""
        for each in list(self.connections):
            for stream, wanted in list(each.subscriptions.items()):
                if wanted == topic:
                    with contextlib.suppress(OSError):
                        each.deliver(stream, topic, payload)

    def change_configuration(self, **values: Any) -> None:
        """Change the component's configuration, and tell whoever subscribed to that."""
        self.configuration.update(values)
        for each in list(self.connections):
            for stream, wanted in list(each.subscriptions.items()):
                if wanted is None:
                    event = {"configurationUpdateEvent": {"componentName": "it", "keyPath": list(values)}}
                    each.respond(0, stream, "aws.greengrass#ConfigurationUpdateEvents", event)

    def hang_up(self) -> None:
        """Close every connection."""
        for each in list(self.connections):
            with contextlib.suppress(OSError):
                each.request.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End, as a nucleus does that is killed: whoever is connected is hung up on, and the socket is gone."""
        self.shutdown()
        self.server_close()
        self.hang_up()
        Path(self.path).unlink(missing_ok=True)
