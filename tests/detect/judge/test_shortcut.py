"""The shortcut takes nothing that the long way would refuse, and reads it alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_detect.errors import Malformed
from defender_detect.fields import check_report
from defender_detect.judge.encodings import decode_json
from defender_detect.shortcut import read_ordinary

NAMES = {
    False: [
        "header",
        "report_id",
        "version",
        "metrics",
        "custom_metrics",
        "tcp_connections",
        "established_connections",
        "connections",
        "remote_addr",
        "local_port",
        "local_interface",
        "total",
        "listening_tcp_ports",
        "ports",
        "port",
        "interface",
        "network_stats",
        "bytes_in",
        "number",
        "number_list",
        "string_list",
        "ip_list",
    ],
    True: [
        "hed",
        "rid",
        "v",
        "met",
        "cmet",
        "tc",
        "ec",
        "cs",
        "rad",
        "lp",
        "li",
        "t",
        "tp",
        "pts",
        "pt",
        "if",
        "ns",
        "bi",
        "number",
        "number_list",
        "string_list",
        "ip_list",
    ],
}
NUMBERS = st.one_of(
    st.integers(-2, 70_000), st.floats(allow_nan=False, allow_infinity=False), st.integers(),
    st.sampled_from([22.0, -0.0, 10**15, 10**15 - 1, 999_999_999_999_999.5, 1e300, 2**63, 10**45, 0.1 + 0.2]),
)  # fmt: skip
LEAVES = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["10.0.0.1:443", "[::1]:22", "10.0.0.256:1", "10.0.0.1:70000", "::1", "10.0.0.1"]),
    st.sampled_from(["1.0", "1.0\n", "1"]),
)


def ordinary(short: bool) -> dict[str, Any]:
    """Return a report that follows every rule."""
    long = {
        "header": {"report_id": 7, "version": "1.0"},
        "metrics": {
            "tcp_connections": {
                "established_connections": {
                    "connections": [
                        {"remote_addr": "10.0.0.1:443", "local_port": 5000, "local_interface": "eth0"},
                        {"remote_addr": "[2001:db8::1]:443"},
                    ],
                    "total": 2,
                }
            },
            "listening_tcp_ports": {"ports": [{"port": 22, "interface": "eth0"}], "total": 1},
            "network_stats": {"bytes_in": 1},
        },
        "custom_metrics": {
            "a": [{"number": 1.5}], "b": [{"number_list": [1, 2.5]}], "c": [{"string_list": ["x"]}],
            "d": [{"ip_list": ["::1", "10.0.0.1"]}],
        },
    }  # fmt: skip
    return renamed(long, dict(zip(NAMES[False], NAMES[True]))) if short else long


def renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): renamed(inner, names) for key, inner in value.items()}
    return [renamed(each, names) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("short", [False, True])
def test_an_ordinary_report_takes_the_shortcut_and_reads_alike(short: bool) -> None:
    read = read_ordinary(json.dumps(ordinary(short)).encode())
    assert ordinary(False) == read == check_report(ordinary(short))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw an ordinary report in which a few values or keys are anything."""
    short = draw(st.booleans())
    report = ordinary(short)
    for _ in range(draw(st.integers(0, 4))):
        place: Any = report
        while isinstance(place, (dict, list)) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if draw(st.booleans()) or not isinstance(place[key], (dict, list)):
                change = draw(st.sampled_from(["value", "remove", "key"]))
                if change == "value":
                    place[key] = draw(st.one_of(LEAVES, st.lists(LEAVES, max_size=2), st.just({}), st.just([])))
                elif isinstance(place, dict) and change == "key":
                    place[draw(st.sampled_from(NAMES[draw(st.booleans())] + ["aws:x", "", "x y", "n"]))] = place.pop(
                        key
                    )
                else:
                    del place[key]
                break
            place = place[key]
    return json.dumps(report).encode()


@given(mutated())
@settings(max_examples=1500, deadline=None)
def test_whatever_takes_the_shortcut_is_what_the_long_way_returns(payload: bytes) -> None:
    read = read_ordinary(payload)
    if read is not None:
        assert check_report(decode_json(payload)) == read


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_shortcut(payload: bytes) -> None:
    assert read_ordinary(payload) is None or payload


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"header": ' * 20_000,
        b'{"header":{"report_id":1,"version":"1.0"},"custom_metrics":{"a":[{"number":1e999}]}}',
        b'{"header":{"report_id":1,"version":"1.0"},"metrics":{},"met":{}}',
        b'{"header":{"report_id":1,"version":"1.0"}}',
        b'{"header":{"report_id":1,"version":"1.0"},"metrics":{},"x":"\xff"}',
    ],
)
def test_what_is_not_ordinary_goes_the_long_way(payload: bytes) -> None:
    assert read_ordinary(payload) is None


def test_what_goes_the_long_way_is_explained_there() -> None:
    with pytest.raises(Malformed, match="version"):
        check_report({"header": {"report_id": 1, "version": 1}})
