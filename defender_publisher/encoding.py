"""The encoding: a report as bytes, with long or short names, in JSON or CBOR, never more than AWS IoT takes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from defender_publisher.errors import CollectError
from defender_publisher.report import Report, sample
from device_defender.report import LARGEST_PAYLOAD, SHORT_NAMES

SMALLEST_ENTRY = 8  # bytes; no list of more than limit/8 entries can fit, so it need not be encoded to find out


def encode(report: Report, form: str = "json", short_names: bool = False) -> bytes:
    """Return the report as the bytes of its encoding, "json" or "cbor"."""
    return _bytes(shorten(report) if short_names else report, form)


def encode_within(
    report: Report, form: str, short_names: bool, limit: int = LARGEST_PAYLOAD, chance: random.Random | None = None
) -> bytes:
    """Encode the report in at most `limit` bytes; to that end its longest lists are cut to a uniform sample, in place.

    A list's `total` stays true, and no list is cut to nothing, which would say that nothing was found. Raises
    CollectError when that is not enough.
    """
    for holder, key in _lists(report):
        holder[key] = sample(holder[key], limit // SMALLEST_ENTRY, chance)
    payload = encode(report, form, short_names)
    while len(payload) > limit:
        _cut_longest(report, len(payload) - limit, form, short_names, chance)
        payload = encode(report, form, short_names)
    return payload


def shorten(report: Report) -> Report:
    """Return the report in short names; of custom metrics only the block's name has one."""
    return {SHORT_NAMES[key]: value if key == "custom_metrics" else _shortened(value) for key, value in report.items()}


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {SHORT_NAMES[key]: _shortened(each) for key, each in value.items()}
    return [_shortened(each) for each in value] if isinstance(value, list) else value


def _bytes(value: Any, form: str) -> bytes:
    if form == "json":
        return msgspec.json.encode(value)
    import cbor2  # here, because it costs memory that a device with JSON keeps

    return cbor2.dumps(value)


def _cut_longest(report: Report, excess: int, form: str, short_names: bool, chance: random.Random | None) -> None:
    """Cut the list that takes most bytes by about `excess` bytes, and by one entry at least."""
    sizes = [
        (len(_bytes(_shortened(holder[key]) if short_names else holder[key], form)), holder, key)
        for holder, key in _lists(report)
        if len(holder[key]) > 1
    ]
    if not sizes:
        raise CollectError("the report does not fit into a message, and it has no list left that can be sampled")
    size, holder, key = max(sizes, key=lambda each: each[0])
    entries = holder[key]
    kept = int(len(entries) * max(0.0, 1 - excess / size))
    holder[key] = sample(entries, min(max(kept, 1), len(entries) - 1), chance)


def _lists(report: Report) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every list of values in a report, as the object that holds it and its key there."""
    metrics = report.get("metrics", {})
    holders = [
        metrics.get("listening_tcp_ports", {}),
        metrics.get("listening_udp_ports", {}),
        metrics.get("tcp_connections", {}).get("established_connections", {}),
        *(values[0] for values in report.get("custom_metrics", {}).values()),
    ]
    for holder in holders:
        yield from ((holder, key) for key, value in holder.items() if isinstance(value, list))
