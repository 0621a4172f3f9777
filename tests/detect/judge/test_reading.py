"""A report is the same however it was written, and what is read in msgspec's time is what a closer look finds."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.judge.encodings import decode_cbor
from defender_detect.judge.reading import find_report_id, read_at_once, read_report
from device_defender.report import LARGEST_ID, SHORT_NAMES, Malformed, Report
from tests.examples import examples

REQUIRED = {SHORT_NAMES[name]: name for name in ("header", "report_id", "version", "remote_addr", "port")}
CUSTOM = {"number", "number_list", "string_list", "ip_list"}
LONG: dict[str, Any] = {
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
        "listening_udp_ports": {"ports": [{"port": 53, "interface": "lo"}], "total": 1},
        "network_stats": {"bytes_in": 1, "bytes_out": 2, "packets_in": 3, "packets_out": 4},
    },
    "custom_metrics": {
        "a": [{"number": 1.5}],
        "b": [{"number_list": [1, 2.5]}],
        "c": [{"string_list": ["x"]}],
        "d": [{"ip_list": ["::1", "10.0.0.1"]}],
    },
}
NUMBERS = st.one_of(
    st.integers(-2, 70_000), st.floats(allow_nan=False, allow_infinity=False), st.integers(),
    st.sampled_from([22.0, -0.0, 10**15, 10**15 - 1, 999_999_999_999_999.5, 1e300, 2**63, 10**39, 10**400, 0.1 + 0.2]),
)  # fmt: skip
LEAVES = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["10.0.0.1:443", "[::1]:22", "::1:22", "10.0.0.256:1", "10.0.0.1:70000", "::1", "10.0.0.1"]),
    st.sampled_from(["1.0", "1.0\n", "1", "\ud800"]),
)


def shortened(value: Any) -> Any:
    """Return a report in short names, which custom metrics do not have."""
    if isinstance(value, dict):
        return {SHORT_NAMES.get(key, key): each if key == "custom_metrics" else shortened(each)
                for key, each in value.items()}  # fmt: skip
    return [shortened(each) for each in value] if isinstance(value, list) else value


def ordinary(short: bool) -> dict[str, Any]:
    report = copy.deepcopy(LONG)
    return shortened(report) if short else report


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


def read(document: Any) -> Any:
    """Return what a report says, in long names."""
    return msgspec.to_builtins(read_report(document).report)


@pytest.mark.parametrize("short", [False, True])
def test_a_report_reads_alike_whatever_its_names_are_and_however_it_is_decoded(short: bool) -> None:
    reading = read_at_once(json.dumps(ordinary(short)).encode(), "json")
    assert reading is not None
    assert read_report(ordinary(short)) == reading == read_report(LONG)
    assert reading == read_at_once(cbor2.dumps(ordinary(short)), "cbor")
    assert reading == read_at_once(b"\xd9\xd9\xf7" + cbor2.dumps(ordinary(short)), "cbor")
    assert isinstance(reading.report, Report)
    assert msgspec.to_builtins(reading.report) == LONG


@pytest.mark.parametrize("short", [False, True])
def test_a_null_and_a_key_that_nobody_knows_say_nothing_wherever_they_stand(short: bool) -> None:
    """For every object of a report, and each of the fields that it can do without."""
    cannot_be_null = {*REQUIRED, *REQUIRED.values(), *CUSTOM}
    for index, each in enumerate(objects(ordinary(short))):
        unknown = {} if each == LONG["custom_metrics"] else {"unknown": {"a": [None, {}]}}
        for key in each:
            nulls, without = ordinary(short), ordinary(short)
            place = list(objects(nulls))[index]
            place.update(unknown)
            if key not in cannot_be_null:
                place[key] = None
                del list(objects(without))[index][key]
            assert read(without) == read(nulls), key


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Draw an ordinary report in which a few values or keys are anything."""
    short = draw(st.booleans())
    report = ordinary(short)
    names = [*SHORT_NAMES, *SHORT_NAMES.values(), *CUSTOM, "aws:x", "", "x y", "n", "\ud800"]
    for _ in range(draw(st.integers(0, 4))):
        place: Any = report
        while isinstance(place, (dict, list)) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if draw(st.booleans()) or not isinstance(place[key], (dict, list)):
                change = draw(st.sampled_from(["value", "remove", "key"]))
                if change == "value":
                    place[key] = draw(st.one_of(LEAVES, st.lists(LEAVES, max_size=2), st.just({}), st.just([])))
                elif isinstance(place, dict) and change == "key":
                    place[draw(st.sampled_from(names))] = place.pop(key)
                else:
                    del place[key]
                break
            place = place[key]
    return report


def in_cbor(document: Any, canonical: bool = False) -> bytes:
    """Return a document in CBOR, without the halves of surrogate pairs that it does not have."""
    text = json.dumps(document).replace("\\ud800", "?")
    return cbor2.dumps(json.loads(text), canonical=canonical)


@given(mutated())
@examples(1500)
def test_what_is_read_at_once_is_what_a_closer_look_finds(document: Any) -> None:
    """Where JSON is decoded right into a report, Python's decoder and `read_report` come to the same one."""
    payload = json.dumps(document).encode()
    at_once = read_at_once(payload, "json")
    if at_once is not None:
        assert read_report(json.loads(payload)) == at_once


@given(mutated(), st.booleans())
@examples(1000)
def test_what_is_read_of_cbor_at_once_is_what_a_closer_look_finds(document: Any, canonical: bool) -> None:
    """And cbor2 and `read_report` come to the same where CBOR is read as MessagePack."""
    payload = in_cbor(document, canonical)
    at_once = read_at_once(payload, "cbor")
    if at_once is not None:
        assert read_report(decode_cbor(payload)) == at_once


@given(mutated(), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), min_size=1, max_size=3))
@examples(1000)
def test_nothing_is_read_of_cbor_that_cbor2_would_not_read_so(document: Any, changes: list[tuple[int, bytes]]) -> None:
    payload = in_cbor(document)
    for place, change in changes:
        at = place % len(payload)
        payload = payload[:at] + change + payload[at + max(1, len(change)) :] or b"\x00"
    at_once = read_at_once(payload, "cbor")
    if at_once is not None:
        assert read_report(decode_cbor(payload)) == at_once


@given(mutated())
@examples(500)
def test_what_is_read_says_the_same_when_it_is_written_and_read_again(document: Any) -> None:
    try:
        first = read_report(document).report
    except Malformed:
        return
    assert first == read_report(msgspec.to_builtins(first)).report


@given(st.binary(max_size=60), st.sampled_from(["json", "cbor"]))
@examples(300)
def test_no_bytes_break_what_reads_at_once(payload: bytes, encoding: str) -> None:
    assert read_at_once(payload, encoding) is None or payload


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"header": ' * 20_000,
        b'{"header":{"report_id":1,"version":"1.0"},"custom_metrics":{"a":[{"number":1e999}]}}',
        b'{"header":{"report_id":1,"version":"1.0"},"metrics":{},"met":{}}',
        b'{"header":{"report_id":1,"version":"1.0"}}',
        b'{"header":{"report_id":1,"version":"1.0"},"metrics":{},"x":"\xff"}',
        b'{"header":{"report_id":1' + b"0" * 40 + b',"version":"1.0"},"metrics":{}}',
    ],
)
def test_what_is_not_ordinary_is_not_read_at_once(payload: bytes) -> None:
    assert read_at_once(payload, "json") is None


REFUSED = [
    ({}, "header", "is missing", ""),
    ([], "the report", "must be an object", "an array of 0"),
    ({"hed": {"rid": 1}}, "hed.v", "is missing", ""),
    ({**LONG, "metrics": {"network_stats": {"bytes_in": -1}}}, "metrics.network_stats.bytes_in",
     "must be a number of at least 0", "-1"),
    ({**shortened(LONG), "met": {"tp": {"pts": [{"pt": 22}, {"pt": "22"}]}}}, "met.tp.pts[1].pt",
     "must be an integer from 1 to 65535", '"22"'),
    ({**LONG, "custom_metrics": {"a b": [{"number": 1}]}}, "custom_metrics",
     "must name its metrics with 1 to 128 of the characters a-z A-Z 0-9 : _ -, and none aws:..., "
     "which AWS keeps for itself", '"a b"'),
    ({**LONG, "custom_metrics": {7: []}}, "custom_metrics",
     "must name its metrics with 1 to 128 of the characters a-z A-Z 0-9 : _ -, and none aws:..., "
     "which AWS keeps for itself", "7"),
    ({**LONG, "custom_metrics": {"a\x1b[31m": 1}}, 'custom_metrics."a\\u001b[31m"',
     "must be an array of exactly one object", "1"),
    ({**shortened(LONG), "cmet": {"a": [{"ip_list": ["::1", 7]}]}}, "cmet.a[0].ip_list[1]",
     "must be an IPv4 or IPv6 address", "7"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "path", "rule", "found"), REFUSED)
def test_a_refusal_says_where_and_which_rule_and_what_was_found(
    document: Any, path: str, rule: str, found: str
) -> None:
    with pytest.raises(Malformed) as refused:
        read_report(document)
    assert (path, rule, found) == (refused.value.path, refused.value.rule, refused.value.found)
    assert str(refused.value) == f"{path} {rule}" + (f", got {found}" if found else "")


@pytest.mark.parametrize("number", [10**15, -(10**15), 1e15, 1.23457e16, 10**300, 2**63])
def test_a_custom_metric_with_too_long_a_number_is_left_out(number: float) -> None:
    custom = {"a": [{"number": number}], "b": [{"number_list": [1, number]}], "c": [{"number": 10**15 - 1}]}
    assert {"c": [{"number": 10**15 - 1}]} == read({**LONG, "custom_metrics": custom})["custom_metrics"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [({"header": {"report_id": 5}}, 5), ({"hed": {"rid": 6}, "met": 1}, 6), ({"header": {"report_id": True}}, None),
     ({"header": {"report_id": LARGEST_ID + 1}}, None), ({"header": 7}, None), ([], None)],
)  # fmt: skip
def test_a_report_id_is_found_however_wrong_the_rest_is(document: Any, expected: int | None) -> None:
    assert expected == find_report_id(document)


LONG_LISTS = [
    {"number_list": [*range(30_000), "x"]},
    {"number_list": ["x"] * 30_000},
    {"string_list": [*map(str, range(30_000)), 1]},
    {"ip_list": ["::1"] * 20_000 + [1]},
]


@pytest.mark.parametrize("value", LONG_LISTS, ids=["a number", "numbers", "a string", "an address"])
def test_the_first_fault_is_found_in_work_that_grows_with_the_report(value: dict[str, Any]) -> None:
    """A stranger's report is looked at by calls, not by time: at most 20 for each of its items."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with pytest.raises(Malformed):
            read_report({**LONG, "custom_metrics": {"a": [value]}})
    finally:
        sys.setprofile(None)
    assert calls < 20 * len(next(iter(value.values())))
