"""CloudWatch, CloudWatch Logs and the credentials provider on loopback, over TLS, as fast as a benchmark needs them.

`python -m benchmarks.aws_double CERTIFICATE KEY AUTHORITY` prints its port, and at each line of its input how many
events it has. It keeps what was sent, in order, and repeats it to GetLogEvents; it checks no limit.
"""

from __future__ import annotations

import datetime
import gzip
import http.server
import json
import ssl
import sys
import threading
from collections import defaultdict
from typing import Any

import msgspec

LIFE = datetime.timedelta(hours=1)
Events = list[dict[str, Any]]


class Aws:
    """What is kept: the events of each stream."""

    def __init__(self) -> None:
        self.streams: defaultdict[str, Events] = defaultdict(list)
        self.count = 0

    def answer(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        """Answer an operation."""
        stream = str(content.get("logStreamName"))
        if operation == "PutLogEvents":
            self.count += len(content["logEvents"])
            self.streams[stream] = content["logEvents"][:1]  # the first is what anybody asks for
            return {"nextSequenceToken": "1"}
        if operation == "GetLogEvents":
            return {"events": self.streams[stream], "nextForwardToken": "f/1"}
        return {"logStreams": []} if operation == "DescribeLogStreams" else {}


def credentials() -> dict[str, Any]:
    """Return what AWS IoT answers."""
    expiry = datetime.datetime.now(datetime.timezone.utc) + LIFE
    found = {"accessKeyId": "ASIA1", "secretAccessKey": "secret", "sessionToken": "token"}
    return {"credentials": {**found, "expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers; the client's certificate is asked for and not needed, because only the provider knows it."""

    protocol_version = "HTTP/1.1"
    aws = Aws()

    def do_GET(self) -> None:
        """Be the credentials provider."""
        self._send(credentials())

    def do_POST(self) -> None:
        """Be an API."""
        body = self.rfile.read(int(self.headers["content-length"]))
        content = msgspec.json.decode(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        self._send(self.aws.answer(self.headers.get("x-amz-target", "").rpartition(".")[2], content))

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the input ends."""
    certificate, key, authority = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for _ in sys.stdin:
        print(Handler.aws.count, flush=True)


if __name__ == "__main__":
    main()
