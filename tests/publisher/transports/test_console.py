"""The console prints what would be sent, readable whatever its encoding."""

from __future__ import annotations

import io
import json

import cbor2

from defender_publisher.transports.console import Console


def test_a_report_in_cbor_is_printed_as_json_and_counts_as_delivered() -> None:
    stream = io.StringIO()
    delivery = Console(stream, "cbor").publish(7, cbor2.dumps({"hed": {"rid": 7}}))
    assert {"hed": {"rid": 7}} == json.loads(stream.getvalue())
    assert (0.0, True) == (delivery.seconds, delivery.answered)
