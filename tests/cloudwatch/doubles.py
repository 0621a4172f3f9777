"""Doubles of AWS's servers on loopback: the credentials provider by TLS, and an API that answers what it is told to."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import http.server
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Callable

from demo.authority import Authority

ALIAS = "device-cloudwatch"
HOUR = datetime.timedelta(hours=1)


@dataclass
class Request:
    """What a double was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int = 0  # the client's port

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body)


Answer = Callable[[Request, str], "tuple[int, Any]"]  # the request and the client's name -> status, document or bytes


class Quiet(http.server.ThreadingHTTPServer):
    """A server that says nothing of clients that hang up, which is what tests make them do."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Double:
    """A server on loopback; `answer` may be replaced at any time, `requests` are what it was asked."""

    answer: Answer
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self, port: int = 0) -> Double:
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length), self.client_address[1])
                double.connections.append(self.connection)
                double.requests.append(request)
                status, document = double.answer(request, _client(self.connection))
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = Quiet(("127.0.0.1", port), Handler)
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def hang_up(self) -> None:
        """Close the connections that are open, as a server does that has waited for long."""
        for each in self.connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _client(connection: Any) -> str:
    """Return the common name of the client's certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    subject = (connection.getpeercert() or {}).get("subject", ())
    return next((value for part in subject for name, value in part if name == "commonName"), "")


def provider_context(authority: Authority) -> ssl.SSLContext:
    """Return TLS as the credentials provider speaks it: it takes certificates of its authority only."""
    files = authority.issue("provider", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a refused certificate is known when the handshake ends
    return context


def credentials(life: datetime.timedelta = HOUR) -> dict[str, Any]:
    """Return what AWS IoT answers."""
    expiry = datetime.datetime.now(datetime.timezone.utc) + life
    return {
        "credentials": {
            "accessKeyId": "ASIA1",
            "secretAccessKey": "secret",
            "sessionToken": "token",
            "expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    }


def answer_as_provider(request: Request, client: str) -> tuple[int, Any]:
    """Answer as AWS IoT does: the thing must be the certificate's, the role alias must exist."""
    if request.path != f"/role-aliases/{ALIAS}/credentials":
        return 404, {"message": "Role alias does not exist"}
    if request.headers.get("x-amzn-iot-thingname") != client:
        return 403, {"message": "Access Denied"}
    return 200, credentials()


@dataclass
class Logs:
    """CloudWatch Logs and CloudWatch as an answer: keeps groups, and lets `fault` answer first where there is one."""

    fault: Callable[[Request], tuple[int, Any] | None] | None = None
    groups: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    def __call__(self, request: Request, client: str) -> tuple[int, Any]:
        """Answer a request."""
        refused = self.fault(request) if self.fault is not None else None
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        return refused or self._answer(operation, request.document if request.body else {})

    def messages(self, group: str, stream: str) -> list[str]:
        """Return what has arrived, in order."""
        return [each["message"] for each in self.groups.get(group, {}).get(stream, [])]

    def _answer(self, operation: str, content: dict[str, Any]) -> tuple[int, Any]:
        group, stream = content.get("logGroupName", ""), content.get("logStreamName", "")
        if operation == "CreateLogGroup":
            self.groups[group] = {}
        elif "LogEvents" in operation and stream not in self.groups.get(group, {}):
            return 400, {"__type": "ResourceNotFoundException", "message": "it does not exist"}
        elif operation == "CreateLogStream":
            if group not in self.groups:
                return 400, {
                    "__type": "ResourceNotFoundException",
                    "message": "The specified log group does not exist.",
                }
            self.groups[group][stream] = []
        elif operation == "PutLogEvents":
            self.groups[group][stream] += content["logEvents"]
        elif operation == "GetLogEvents":
            times = range(content["startTime"], content["endTime"])
            return 200, {"events": [each for each in self.groups[group][stream] if each["timestamp"] in times]}
        return 200, {}
