"""The table of a report's fields: every one's long name, short name, place and rule, as AWS documents them."""

from __future__ import annotations

from typing import Any

from defender_detect.blocks import Field, ListOf, Object
from defender_detect.custom_metrics import custom_metrics
from defender_detect.errors import Malformed
from defender_detect.rules import (
    Place,
    not_negative,
    port,
    port_or_zero,
    positive_integer,
    remote_address,
    text,
    version,
)

TOTAL = Field("total", "t", not_negative)

HEADER = Object(
    (
        Field("report_id", "rid", positive_integer, required=True),
        Field("version", "v", version, required=True),
    )
)
CONNECTION = Object(
    (
        Field("remote_addr", "rad", remote_address, required=True),
        Field("local_port", "lp", port_or_zero),
        Field("local_interface", "li", text),
    )
)
TCP_CONNECTIONS = Object(
    (Field("established_connections", "ec", Object((Field("connections", "cs", ListOf(CONNECTION)), TOTAL))),)
)
LISTENING_PORT = Object((Field("port", "pt", port, required=True), Field("interface", "if", text)))
LISTENING_PORTS = Object((Field("ports", "pts", ListOf(LISTENING_PORT)), TOTAL))
NETWORK_STATS = Object(
    (
        Field("bytes_in", "bi", not_negative),
        Field("bytes_out", "bo", not_negative),
        Field("packets_in", "pi", not_negative),
        Field("packets_out", "po", not_negative),
    )
)
METRICS = Object(
    (
        Field("tcp_connections", "tc", TCP_CONNECTIONS),
        Field("listening_tcp_ports", "tp", LISTENING_PORTS),
        Field("listening_udp_ports", "up", LISTENING_PORTS),
        Field("network_stats", "ns", NETWORK_STATS),
    )
)
REPORT = Object(
    (
        Field("header", "hed", HEADER, required=True),
        Field("metrics", "met", METRICS),
        Field("custom_metrics", "cmet", custom_metrics),
    )
)


def check_report(document: Any) -> dict[str, Any]:
    """Return a decoded report with long names; raise Malformed for the first rule that it breaks.

    A report is all long or all short: its header's name says which.
    """
    short = isinstance(document, dict) and "hed" in document and "header" not in document
    report = REPORT(document, Place(short=short))
    if "metrics" not in report and "custom_metrics" not in report:
        raise Malformed("the report must have at least one of metrics and custom_metrics")
    return report


def find_report_id(document: Any) -> int | None:
    """Return the report id of a decoded report, however wrong the rest is; None where there is none to speak of."""
    for header, report_id in (("header", "report_id"), ("hed", "rid")):
        block = document.get(header) if isinstance(document, dict) else None
        found = block.get(report_id) if isinstance(block, dict) else None
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return None
