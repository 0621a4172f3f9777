"""A fleet of things at an MQTT broker over TLS: sends reports at a steady rate and times their verdicts, cheaply.

Thousands of things share a few connections, reports are made by joining bytes, and replies are only scanned for the
report id, which is the number of the report. A verdict's delay counts from when the report was due, so that a fleet
that is held up does not look fast. Prints the measurements as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import ssl
import statistics
import time
from pathlib import Path
from typing import Any

TURN = 0.005  # seconds between two bursts of reports
CONNECTIONS = 4
PATIENCE = 10.0  # seconds without a reply after which what is not answered never will be
ODD_ONE = 100  # every so many things reports a metric that its behavior does not call normal
FIRST_ID = 1_000_000_001  # all ids have as many digits
REPLY = re.compile(rb'/(accepted|rejected)\{[^{}]*?"reportId": ?(\d+),')
REPLIES = ("$aws/things/+/defender/metrics/json/accepted", "$aws/things/+/defender/metrics/json/rejected")


def main() -> None:
    """Send the reports, wait for the verdicts and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--root-ca", "--certificate", "--private-key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--things", type=int, required=True, help="each of which reports once")
    parser.add_argument("--rate", type=float, required=True, help="reports a second")
    arguments = parser.parse_args()
    context = ssl.create_default_context(cafile=str(arguments.root_ca))
    context.load_cert_chain(arguments.certificate, arguments.private_key)
    listener = connect(context, arguments.port, "listener")
    listener.sendall(subscribe(REPLIES))
    listener.recv(1024)  # the broker's acknowledgement
    senders = [connect(context, arguments.port, f"things-{number}") for number in range(CONNECTIONS)]
    print(json.dumps(Fleet(listener, senders, arguments.things, arguments.rate).run()))


class Fleet:
    """Things that report one after the other, over and over again the same but for who they are."""

    def __init__(self, listener: ssl.SSLSocket, senders: list[ssl.SSLSocket], things: int, rate: float) -> None:
        self._listener, self._senders = listener, senders
        self._things, self._rate = things, rate
        self._due: list[float] = []  # when each report was due, by its number
        self._delays: dict[int, float] = {}  # of each verdict
        self._verdicts = {b"accepted": 0, b"rejected": 0}
        self._unread = b""

    def run(self) -> dict[str, Any]:
        """Send every report at its time, and wait for the last verdict."""
        self._listener.setblocking(False)
        start, late = time.monotonic(), 0.0
        turn = 0
        while len(self._due) < self._things:
            due = start + turn * TURN
            self._listen_until(due)
            late = max(late, time.monotonic() - due)
            sender = self._senders[turn % len(self._senders)]
            count = min(int((turn + 1) * TURN * self._rate), self._things) - len(self._due)
            sender.sendall(b"".join(publish(len(self._due) + each) for each in range(count)))
            self._due += [due] * count
            turn += 1
        sent_in = time.monotonic() - start
        heard = -1
        while len(self._delays) < self._things and heard < len(self._delays):
            heard = len(self._delays)
            self._listen_until(time.monotonic() + PATIENCE, self._things)
        return {**self._summary(), "seconds": sent_in, "late": late}

    def _summary(self) -> dict[str, Any]:
        delays = list(self._delays.values())
        marks = statistics.quantiles(delays, n=100) if len(delays) > 1 else [0.0] * 99
        return {
            "sent": len(self._due),
            "answered": len(delays),
            **{verdict.decode(): count for verdict, count in self._verdicts.items()},
            "p50": marks[49],
            "p99": marks[98],
            "max": max(delays, default=0.0),
            "worst second": find_worst_second(self._due, self._delays),
        }

    def _listen_until(self, deadline: float, enough: int | None = None) -> None:
        """Read replies until a time, or until there are enough."""
        while enough is None or len(self._delays) < enough:
            self._read_replies()
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._listener], [], [], left)[0]:
                return

    def _read_replies(self) -> None:
        """Read what there is, and note the delay of each verdict in it."""
        while True:
            try:
                chunk = self._listener.recv(1 << 18)
            except ssl.SSLWantReadError:
                return
            if not chunk:
                raise SystemExit("the broker closed the connection")
            now, end, text = time.monotonic(), 0, self._unread + chunk
            for match in REPLY.finditer(text):
                number, end = int(match[2]) - FIRST_ID, match.end()
                self._verdicts[match[1]] += 1
                self._delays[number] = now - self._due[number]
            self._unread = text[end:]


def find_worst_second(due: list[float], delays: dict[int, float]) -> float:
    """Return the p99 of the delays of the second in which it is highest."""
    seconds: dict[int, list[float]] = {}
    for number, delay in delays.items():
        seconds.setdefault(int(due[number] - due[0]), []).append(delay)
    return max((sorted(each)[int(len(each) * 0.99)] for each in seconds.values()), default=0.0)


def name_of(number: int) -> str:
    """Return a thing's name; all are of one length."""
    return f"benchmark-thing-{number:07d}"


def make_report(number: int, busy: float) -> bytes:
    """Return the report of a small server: eight ports, ten connections, traffic and how busy it is."""
    ports = [{"port": port, "interface": "eth0"} for port in (22, 80, 443, 8883, 9100)]
    connections = [
        {"remote_addr": f"{host}:{8883 + each}", "local_port": 40000 + each, "local_interface": "eth0"}
        for each, host in enumerate([*(f"10.0.{each}.7" for each in range(6)), *(f"203.0.113.{n}" for n in range(4))])
    ]
    document = {
        "header": {"report_id": FIRST_ID + number, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {"ports": ports, "total": len(ports)},
            "listening_udp_ports": {"ports": [{"port": port} for port in (68, 123, 5353)], "total": 3},
            "tcp_connections": {
                "established_connections": {"connections": connections, "total": len(connections)},
            },
            "network_stats": {"bytes_in": 123456, "bytes_out": 23456, "packets_in": 1234, "packets_out": 567},
        },
        "custom_metrics": {"cpu_usage": [{"number": busy}], "memory_free": [{"number": 512.5}]},
    }
    return json.dumps(document).encode()


def split_report(busy: float) -> tuple[bytes, bytes]:
    """Return what is before and after the report id."""
    before, after = make_report(0, busy).split(str(FIRST_ID).encode())
    return before, after


NORMAL, ODD = split_report(12.5), split_report(99.5)
TOPIC = "$aws/things/{}/defender/metrics/json"


def encode_length(length: int) -> bytes:
    """Return MQTT's "remaining length"."""
    encoded = b""
    while length >= 128:
        encoded += bytes([length % 128 | 128])
        length //= 128
    return encoded + bytes([length])


def text(value: str) -> bytes:
    """Return MQTT's form of a string."""
    return len(value).to_bytes(2, "big") + value.encode()


def packet(first: int, content: bytes) -> bytes:
    """Return an MQTT packet."""
    return bytes([first]) + encode_length(len(content)) + content


PLACE = name_of(0)
TOPIC_BEFORE, TOPIC_AFTER = text(TOPIC.format(PLACE)).split(PLACE.encode())
LENGTH = len(TOPIC_BEFORE) + len(PLACE) + len(TOPIC_AFTER) + len(make_report(0, 12.5))
START = b"\x30" + encode_length(LENGTH) + TOPIC_BEFORE + b"benchmark-thing-"


def publish(number: int) -> bytes:
    """Return the PUBLISH packet (QoS 0) of a report."""
    before, after = NORMAL if number % ODD_ONE else ODD
    return b"%b%07d%b%b%d%b" % (START, number, TOPIC_AFTER, before, FIRST_ID + number, after)


def subscribe(filters: tuple[str, ...]) -> bytes:
    """Return the SUBSCRIBE packet (QoS 0) for topic filters."""
    return packet(0x82, b"\x00\x01" + b"".join(text(each) + b"\x00" for each in filters))


def connect(context: ssl.SSLContext, port: int, name: str) -> ssl.SSLSocket:
    """Connect to the broker and wait for its acknowledgement."""
    plain = socket.create_connection(("localhost", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.sendall(packet(0x10, text("MQTT") + b"\x04\x02" + (600).to_bytes(2, "big") + text(name)))
    answer = connection.recv(4)
    if answer[:1] != b"\x20" or answer[3:] != b"\x00":
        raise SystemExit(f"the broker refused the connection: {answer!r}")
    return connection


if __name__ == "__main__":
    main()
