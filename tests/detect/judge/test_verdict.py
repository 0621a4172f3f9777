"""Every published rule has a good and a bad report here, in both encodings and with both kinds of names."""

from __future__ import annotations

import copy
import json
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, LastReport, Rejected, judge
from tests.examples import examples

NOW = 1_700_000_000.5
GOOD = {
    "header": {"report_id": 1530304554, "version": "1.0"},
    "metrics": {
        "listening_tcp_ports": {
            "ports": [
                {"port": 24800, "interface": "en0"},
                {"port": 22, "interface": "lo0"},
                {"port": 80},
                {"port": 443},
            ],
            "total": 4,
        },
        "listening_udp_ports": {"ports": [{"port": 5353, "interface": "en0"}, {"port": 67}], "total": 2},
        "network_stats": {"bytes_in": 29358693495, "bytes_out": 26485035, "packets_in": 7376, "packets_out": 0},
        "tcp_connections": {
            "established_connections": {
                "connections": [
                    {"local_interface": "en0", "local_port": 80, "remote_addr": "192.0.2.1:8000"},
                    {"remote_addr": "[2001:db8::1]:443"},
                ],
                "total": 2,
            }
        },
    },
    "custom_metrics": {
        "cpu_usage": [{"number": 26.1}],
        "ports_seen": [{"number_list": [1, 2.5, -3]}],
        "processes": [{"string_list": ["sshd", "cron"]}],
        "neighbours": [{"ip_list": ["172.16.0.1", "fe80::1"]}],
    },
}
SHORT = {  # AWS's table, written down again: the product's own must agree with it
    "header": "hed",
    "report_id": "rid",
    "version": "v",
    "metrics": "met",
    "custom_metrics": "cmet",
    "tcp_connections": "tc",
    "established_connections": "ec",
    "connections": "cs",
    "remote_addr": "rad",
    "local_port": "lp",
    "local_interface": "li",
    "total": "t",
    "listening_tcp_ports": "tp",
    "listening_udp_ports": "up",
    "ports": "pts",
    "port": "pt",
    "interface": "if",
    "network_stats": "ns",
    "bytes_in": "bi",
    "bytes_out": "bo",
    "packets_in": "pi",
    "packets_out": "po",
}
MISSING = object()
HEADER, TCP, UDP = ("header",), ("metrics", "listening_tcp_ports"), ("metrics", "listening_udp_ports")
STATS = ("metrics", "network_stats")
ESTABLISHED = ("metrics", "tcp_connections", "established_connections")
CONNECTION = (*ESTABLISHED, "connections", 0)
CPU = ("custom_metrics", "cpu_usage")
NOT_AN_ID = "must be a positive integer of at most 40 digits, got "
NOT_A_PORT = "must be an integer from 1 to 65535, got "
NOT_A_PORT_OR_ZERO = "must be an integer from 0 to 65535, got "
NOT_AN_ADDRESS = "must be a string of the form ip:port or [ipv6]:port with a port of at most 65535, got "
NOT_A_NUMBER = "must be a number of at least 0, got "
NOT_A_CUSTOM_NUMBER = "must be a number of at most 15 digits, got "

ACCEPTED = [
    (("metrics",), MISSING),
    (("custom_metrics",), MISSING),
    (("metrics",), {}),
    ((*HEADER, "version"), "2.15"),
    ((*HEADER, "report_id"), 1),
    ((*HEADER, "unknown"), {"a": [None]}),
    (("unknown",), "ignored"),
    ((*TCP, "ports"), []),
    ((*TCP, "total"), MISSING),
    ((*TCP, "total"), 0),
    ((*TCP, "ports", 0, "port"), 1),
    ((*TCP, "ports", 0, "port"), 65535),
    ((*TCP, "ports", 0, "port"), 22.0),
    ((*TCP, "ports", 0, "interface"), ""),
    ((*CONNECTION, "local_port"), 0),
    ((*CONNECTION, "local_port"), 22.0),
    ((*CONNECTION, "local_port"), None),
    ((*CONNECTION, "local_port"), "443"),
    ((*CONNECTION, "local_interface"), None),
    ((*CONNECTION, "remote_addr"), "::ffff:127.0.0.1:41632"),
    ((*CONNECTION, "remote_addr"), "2001:db8::1:443"),
    ((*CONNECTION, "remote_addr"), "fe80::1%eth0:22"),
    ((*CONNECTION, "remote_addr"), "::1:0"),
    ((*ESTABLISHED, "connections"), None),
    ((*ESTABLISHED, "total"), None),
    (ESTABLISHED, None),
    (("metrics", "tcp_connections"), None),
    (TCP, None),
    ((*UDP, "ports"), None),
    ((*UDP, "ports", 0, "interface"), None),
    (STATS, None),
    ((*STATS, "packets_out"), None),
    (("metrics",), None),
    (("custom_metrics",), None),
    (CPU, None),
    (CPU, [{"number": 1, "number_list": None, "string_list": None, "ip_list": None}]),
    (CPU, [{"number": 0.1 + 0.2}]),
    ((*CONNECTION, "remote_addr"), "[fe80::1%eth0]:22"),
    ((*CONNECTION, "remote_addr"), "[::ffff:192.0.2.1]:0"),
    ((*ESTABLISHED, "connections"), []),
    ((*STATS, "bytes_in"), 2**64 - 1),
    ((*STATS, "bytes_in"), MISSING),
    (("custom_metrics",), {}),
    (CPU, [{"number": 123456789012345}]),
    (CPU, [{"number": -123456789.01234}]),
    (CPU, [{"number": 0}]),
    (CPU, [{"number": 1e-9}]),
    (CPU, [{"number": 1, "unknown": 2}]),
    (CPU, [{"number_list": []}]),
    (CPU, [{"string_list": []}]),
    (CPU, [{"ip_list": []}]),
    (("custom_metrics", "a" * 128), [{"number": 1}]),
    (("custom_metrics", "A_0:-"), [{"number": 1}]),
]
REJECTED = [
    (("header",), MISSING, "is missing"),
    (("header",), None, "must be an object, got null"),
    (("header",), [], "must be an object, got an array of 0"),
    ((*HEADER, "report_id"), None, f"{NOT_AN_ID}null"),
    ((*HEADER, "version"), None, 'must be a string of the form "Major.Minor", got null'),
    ((*HEADER, "report_id"), MISSING, "is missing"),
    ((*HEADER, "report_id"), 0, f"{NOT_AN_ID}0"),
    ((*HEADER, "report_id"), -1, f"{NOT_AN_ID}-1"),
    ((*HEADER, "report_id"), True, f"{NOT_AN_ID}true"),
    ((*HEADER, "report_id"), 1.5, f"{NOT_AN_ID}1.5"),
    ((*HEADER, "report_id"), "1", f'{NOT_AN_ID}"1"'),
    ((*HEADER, "version"), MISSING, "is missing"),
    ((*HEADER, "version"), 1.0, 'must be a string of the form "Major.Minor", got 1.0'),
    ((*HEADER, "version"), "1", 'must be a string of the form "Major.Minor", got "1"'),
    ((*HEADER, "version"), "1.0\n", 'must be a string of the form "Major.Minor", got "1.0\\n"'),
    (("metrics",), [], "must be an object, got an array of 0"),
    (TCP, [80], "must be an object, got an array of 1"),
    (UDP, 7, "must be an object, got 7"),
    ((*TCP, "ports"), {}, "must be an array of objects, got an object"),
    ((*TCP, "ports", 3), 443, "must be an object, got 443"),
    ((*TCP, "ports", 3, "port"), MISSING, "is missing"),
    ((*TCP, "ports", 3, "port"), -1, f"{NOT_A_PORT}-1"),
    ((*TCP, "ports", 3, "port"), 0, f"{NOT_A_PORT}0"),
    ((*TCP, "ports", 3, "port"), 65536, f"{NOT_A_PORT}65536"),
    ((*TCP, "ports", 3, "port"), 22.5, f"{NOT_A_PORT}22.5"),
    ((*TCP, "ports", 3, "port"), "22", f'{NOT_A_PORT}"22"'),
    ((*TCP, "ports", 3, "port"), True, f"{NOT_A_PORT}true"),
    ((*UDP, "ports", 1, "port"), 0, f"{NOT_A_PORT}0"),
    ((*TCP, "ports", 0, "interface"), 1, "must be a string, got 1"),
    ((*TCP, "total"), -1, f"{NOT_A_NUMBER}-1"),
    ((*UDP, "total"), "2", f'{NOT_A_NUMBER}"2"'),
    ((*ESTABLISHED, "total"), False, f"{NOT_A_NUMBER}false"),
    (("metrics", "tcp_connections"), "none", 'must be an object, got "none"'),
    (ESTABLISHED, [], "must be an object, got an array of 0"),
    ((*CONNECTION, "remote_addr"), MISSING, "is missing"),
    ((*CONNECTION, "remote_addr"), "192.0.2.1", f'{NOT_AN_ADDRESS}"192.0.2.1"'),
    ((*CONNECTION, "remote_addr"), "192.0.2.256:80", f'{NOT_AN_ADDRESS}"192.0.2.256:80"'),
    ((*CONNECTION, "remote_addr"), "[192.0.2.1]:443", f'{NOT_AN_ADDRESS}"[192.0.2.1]:443"'),
    ((*CONNECTION, "remote_addr"), "example.com:443", f'{NOT_AN_ADDRESS}"example.com:443"'),
    ((*CONNECTION, "remote_addr"), 80, f"{NOT_AN_ADDRESS}80"),
    ((*CONNECTION, "remote_addr"), "192.0.2.1:65536", f'{NOT_AN_ADDRESS}"192.0.2.1:65536"'),
    ((*CONNECTION, "local_port"), -1, f"{NOT_A_PORT_OR_ZERO}-1"),
    (STATS, 0, "must be an object, got 0"),
    ((*STATS, "bytes_in"), -1, f"{NOT_A_NUMBER}-1"),
    ((*STATS, "bytes_out"), "1", f'{NOT_A_NUMBER}"1"'),
    ((*STATS, "packets_in"), True, f"{NOT_A_NUMBER}true"),
    (("custom_metrics",), [], "must be an object, got an array of 0"),
    (CPU, {"number": 1}, "must be an array of exactly one object, got an object"),
    (CPU, [], "must be an array of exactly one object, got an array of 0"),
    (CPU, [{"number": 1}, {"number": 2}], "must be an array of exactly one object, got an array of 2"),
    ((*CPU, 0), 1, "must be an object, got 1"),
    ((*CPU, 0), {}, "must have exactly one of number, number_list, string_list, ip_list, got none of them"),
    (
        (*CPU, 0),
        {"number": None, "ip_list": None},
        "must have exactly one of number, number_list, string_list, ip_list, got none of them",
    ),
    (
        (*CPU, 0),
        {"number": 1, "ip_list": []},
        "must have exactly one of number, number_list, string_list, ip_list, got number and ip_list",
    ),
    ((*CPU, 0, "number"), "1", f'{NOT_A_CUSTOM_NUMBER}"1"'),
    ((*CPU, 0, "number"), True, f"{NOT_A_CUSTOM_NUMBER}true"),
    ((*CPU, 0), {"number_list": 1}, ""),
    (("custom_metrics", "ports_seen", 0, "number_list", 1), None, f"{NOT_A_CUSTOM_NUMBER}null"),
    (("custom_metrics", "processes", 0, "string_list", 0), 1, "must be a string, got 1"),
    (("custom_metrics", "neighbours", 0, "ip_list", 1), 1, "must be an IPv4 or IPv6 address, got 1"),
]
BAD_NAMES = ["", "a" * 129, "a b", "a.b", "ümlaut", "aws:all-bytes-in"]
ENCODINGS = {"json": lambda document: json.dumps(document).encode(), "cbor": cbor2.dumps}
both_encodings = pytest.mark.parametrize("encoding", ["json", "cbor"])
both_styles = pytest.mark.parametrize("short", [False, True], ids=["long", "short"])


def topic(encoding: str = "json") -> ReportTopic:
    return ReportTopic("gateway-1", encoding)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The good report with one value changed or taken away."""
    document = copy.deepcopy(GOOD)
    block: Any = document
    for key in path[:-1]:
        block = block[key]
    if value is MISSING:
        del block[path[-1]]
    else:
        block[path[-1]] = value
    return document


def shortened(value: Any, inside_custom: bool = False) -> Any:
    """The report with short names, which names and keys of custom metrics do not have."""
    if isinstance(value, list):
        return [shortened(item, inside_custom) for item in value]
    if not isinstance(value, dict) or inside_custom:
        return value
    return {SHORT.get(key, key): shortened(item, key == "custom_metrics") for key, item in value.items()}


def shown(path: tuple[Any, ...], short: bool) -> str:
    """The path as a message has it."""
    names = [
        key if isinstance(key, int) or path[0] == "custom_metrics" and n else name(key, short)
        for n, key in enumerate(path)
    ]
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in names).lstrip(".")


def name(key: str, short: bool) -> str:
    return SHORT.get(key, key) if short else key


def verdict_on(document: Any, encoding: str = "json", **options: Any) -> Accepted | Rejected:
    return judge(topic(encoding), ENCODINGS[encoding](document), NOW, **options)


def message_of(verdict: Accepted | Rejected) -> str:
    assert isinstance(verdict, Rejected)
    assert verdict.code == "InvalidPayload"
    return verdict.message


FORMS = [(short, encoding) for short in (False, True) for encoding in ("json", "cbor")]


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_a_report_within_the_rules_is_accepted(path, value):
    document = changed(path, value)
    for short, encoding in FORMS:
        verdict = verdict_on(shortened(document) if short else document, encoding)
        assert isinstance(verdict, Accepted), (short, encoding, verdict)
        assert document["header"]["report_id"] == verdict.report_id


@pytest.mark.parametrize(("path", "value", "complaint"), REJECTED)
def test_a_broken_rule_is_rejected_with_its_place(path, value, complaint):
    document = changed(path, value)
    for asked_short, encoding in FORMS:
        short = asked_short and path != ("header",)  # without its header a report has no short names
        message = message_of(verdict_on(shortened(document) if short else document, encoding))
        assert message.startswith(f"Malformed metrics report: {shown(path, short)}"), encoding
        assert message.endswith(complaint), (short, encoding)


def test_the_message_reads_as_a_sentence():
    message = message_of(verdict_on(changed((*TCP, "ports", 3, "port"), -1)))
    place = "metrics.listening_tcp_ports.ports[3].port"
    expected = f"Malformed metrics report: {place} must be an integer from 1 to 65535, got -1"
    assert expected == message


@both_encodings
@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_custom_metric_with_a_bad_name_is_rejected(bad, encoding):
    message = message_of(verdict_on(changed(("custom_metrics", bad), [{"number": 1}]), encoding))
    assert message.startswith("Malformed metrics report: custom_metrics must ")


@both_encodings
@both_styles
def test_what_was_accepted_has_long_names_whatever_the_report_had(short, encoding):
    verdict = verdict_on(shortened(GOOD) if short else GOOD, encoding)
    assert isinstance(verdict, Accepted)
    assert msgspec.to_builtins(verdict.report) == GOOD


@both_encodings
@both_styles
def test_a_null_says_nothing(short, encoding):
    """As if the field were not there: AWS's own agent sends one for an interface that it does not know."""
    absent, null = changed((*CONNECTION, "local_interface"), MISSING), changed((*CONNECTION, "local_interface"), None)
    del absent["custom_metrics"]["cpu_usage"]
    null["custom_metrics"]["cpu_usage"] = None
    verdicts = [verdict_on(shortened(each) if short else each, encoding) for each in (absent, null)]
    assert verdicts[0] == verdicts[1]
    assert msgspec.to_builtins(verdicts[1].report) == absent
    assert verdicts[1].left_out == ()


LONG = [1234567890123456, -(10**15), 1.23457e16, 1e300, 2**70]


@both_encodings
@both_styles
@pytest.mark.parametrize("number", LONG)
def test_a_metric_with_too_long_a_number_is_left_out_with_a_sentence(number, short, encoding):
    if number == 2**70 and encoding == "cbor":
        number = float(number)  # an integer of that size has a tag in CBOR
    expected = changed(CPU, MISSING)
    del expected["custom_metrics"]["ports_seen"]
    document = changed((*CPU, 0, "number"), number)
    document["custom_metrics"]["ports_seen"][0]["number_list"] = [1, number]
    verdict = verdict_on(shortened(document) if short else document, encoding)
    assert isinstance(verdict, Accepted)
    assert msgspec.to_builtins(verdict.report) == expected
    block = "cmet" if short else "custom_metrics"
    assert [
        f"{block}.{each}[0] is left out: its numbers must have at most 15 digits, got {json.dumps(number)}"
        for each in ("cpu_usage", "ports_seen")
    ] == list(verdict.left_out)


@both_encodings
@pytest.mark.parametrize("address", ["fe80::g", "10.0.0.0/8", "", "127.0.0.1.1", "localhost"])
def test_a_metric_with_something_else_than_an_address_is_left_out_with_a_sentence(address, encoding):
    verdict = verdict_on(changed(("custom_metrics", "neighbours", 0, "ip_list", 1), address), encoding)
    assert isinstance(verdict, Accepted)
    assert msgspec.to_builtins(verdict.report) == changed(("custom_metrics", "neighbours"), MISSING)
    rule = "its addresses must be IPv4 or IPv6 ones"
    assert [f'custom_metrics.neighbours[0] is left out: {rule}, got "{address}"'] == list(verdict.left_out)


def test_the_warning_is_short_however_much_is_left_out():
    custom = {f"m{number}": [{"number": 10**15}] for number in range(2_000)}
    verdict = verdict_on({**GOOD, "custom_metrics": custom})
    assert isinstance(verdict, Accepted)
    assert verdict.warning.endswith("; and 1997 more")
    assert verdict.warning.count("is left out") == 3


def test_a_report_without_metrics_and_custom_metrics_is_rejected():
    message = message_of(verdict_on({"header": GOOD["header"]}))
    assert message == "Malformed metrics report: the report must have at least one of metrics and custom_metrics"


MIXED = [
    ({"header": GOOD["header"], "met": {}}, "met must be called metrics"),
    ({"hed": {"rid": 1, "v": "1.0"}, "met": {}, "metrics": {}}, "metrics must be called met"),
    ({"hed": {"rid": 1, "v": "1.0"}, **GOOD}, "hed must be called header"),
    ({"header": {"rid": 1, "version": "1.0"}, "metrics": {}}, "header.rid must be called report_id"),
    (
        {"hed": {"rid": 1, "v": "1.0"}, "met": {"tp": {"pts": [{"pt": 1, "port": 2}]}}},
        "met.tp.pts[0].port must be called pt",
    ),
    ({**GOOD, "cmet": {}}, "cmet must be called custom_metrics"),
]


@both_encodings
@pytest.mark.parametrize(("document", "complaint"), MIXED)
def test_short_names_are_not_for_reports_with_a_long_header_and_no_field_has_two(document, complaint, encoding):
    assert message_of(verdict_on(document, encoding)).startswith(f"Malformed metrics report: {complaint}, because")


@both_encodings
@pytest.mark.parametrize(
    "document",
    [
        {"hed": {"rid": 1, "v": "1.0"}, "metrics": {"listening_tcp_ports": {"pts": [{"port": 22}], "t": 1}}},
        {"hed": {"rid": 1, "version": "1.0"}, "met": {"tp": {"ports": [{"pt": 22}], "total": 1}}},
    ],
)
def test_a_report_with_a_short_header_may_have_long_names(document, encoding):
    """AWS takes the reports of rustot, which has both."""
    verdict = verdict_on(document, encoding)
    assert isinstance(verdict, Accepted)
    listening = {"listening_tcp_ports": {"ports": [{"port": 22}], "total": 1}}
    assert {"header": {"report_id": 1, "version": "1.0"}, "metrics": listening} == msgspec.to_builtins(verdict.report)


def test_the_inner_keys_of_custom_metrics_may_look_like_short_names():
    assert isinstance(verdict_on(changed(("custom_metrics", "t"), [{"number": 1}])), Accepted)


UNREADABLE = [
    ("json", b""),
    ("json", b"\xff\xfe{}"),
    ("json", b'{"header": '),
    ("json", b"[1]"),
    ("json", b"null"),
    ("json", b"[" * 100_000),
    ("json", b'{"a":' * 20_000),
    ("json", json.dumps(changed((*STATS, "bytes_in"), float("nan"))).encode()),
    ("json", json.dumps(changed((*STATS, "bytes_in"), float("inf"))).encode()),
    ("json", json.dumps(GOOD).replace("29358693495", "1e999").encode()),
    ("json", json.dumps(GOOD).replace("29358693495", "9" * 5000).encode()),
    ("json", json.dumps(GOOD).replace("1530304554", "9" * 100_000).encode()),
    ("json", json.dumps({**GOOD, "unknown": float("nan")}).encode()),
    ("json", json.dumps(GOOD).encode() + b"x"),
    ("json", json.dumps(GOOD).encode("utf-16")),
    ("cbor", b""),
    ("cbor", b"\xff"),
    ("cbor", b"\x80"),
    ("cbor", b"\x81" * 131_072),
    ("cbor", b"\x9f" * 131_072),
    ("cbor", b"\xa1\x61a" * 40_000),
    ("cbor", b"\x9b" + b"\xff" * 8),
    ("cbor", b"\x5b" + b"\xff" * 8),
    ("cbor", b"\x1c"),
    ("cbor", b"\xa1\x61\xff\x01"),
    ("cbor", cbor2.dumps(GOOD)[:-1]),
    ("cbor", cbor2.dumps(GOOD) + b"\x00"),
    ("cbor", cbor2.dumps(changed((*STATS, "bytes_in"), float("nan")))),
    ("cbor", cbor2.dumps(changed((*STATS, "bytes_in"), float("inf")))),
    ("cbor", cbor2.dumps(changed((*STATS, "bytes_in"), 2**70))),
    ("cbor", cbor2.dumps(changed((*TCP, "ports", 0, "interface"), b"en0"))),
    ("cbor", cbor2.dumps(changed((*TCP, "ports", 0, "port"), cbor2.undefined))),
    ("cbor", cbor2.dumps({**GOOD, "unknown": cbor2.CBORTag(32, "a:")})),
    ("cbor", b"\xd8\x23\x67(a(b(c("),  # a regular expression
    ("cbor", b"\xc5\x82\x1a\x7f\xff\xff\xff\x01"),  # a number that decimal cannot hold
    ("cbor", b"\xd8\x1c\x81\xd8\x1d\x00"),  # a list that contains itself
]


@pytest.mark.parametrize(("encoding", "payload"), UNREADABLE)
def test_what_cannot_be_read_is_rejected(encoding, payload):
    message = message_of(judge(topic(encoding), payload, NOW))
    assert message.startswith("Malformed metrics report: ")
    assert len(message) < 300


def test_a_tag_is_refused_before_cbor2_makes_something_of_it():
    message = message_of(verdict_on({**GOOD, "unknown": cbor2.CBORTag(35, "(")}, "cbor"))
    assert message.startswith("Malformed metrics report: the CBOR must have no tags, got tag 35 at byte ")


@both_encodings
def test_a_payload_of_128_kb_is_accepted_and_one_byte_more_is_not(encoding):
    filler = 131_072 - len(ENCODINGS[encoding]({**GOOD, "unknown": "x" * 100_000})) + 100_000
    assert isinstance(verdict_on({**GOOD, "unknown": "x" * filler}, encoding), Accepted)
    message = message_of(verdict_on({**GOOD, "unknown": "x" * (filler + 1)}, encoding))
    assert message == "Malformed metrics report: the payload must be at most 131072 bytes, got 131073"


def test_a_long_number_where_nobody_looks_is_no_reason_to_reject():
    payload = json.dumps({**GOOD, "unknown": 1}).replace('"unknown": 1', f'"unknown": {"9" * 50_000}')
    assert isinstance(judge(topic(), payload.encode(), NOW), Accepted)


def test_cbor_may_say_that_it_is_cbor_and_may_have_indefinite_lengths():
    assert isinstance(judge(topic("cbor"), b"\xd9\xd9\xf7" + cbor2.dumps(GOOD), NOW), Accepted)
    header, metrics = (
        b"\x63hed\xbf\x63rid\x01\x61v\x7f\x621.\x610\xff\xff",
        b"\x63met\xbf\x62tp\xa1\x63pts\x9f\xa1\x62pt\x01\xff\xff",
    )
    assert isinstance(judge(topic("cbor"), b"\xbf" + header + metrics + b"\xff", NOW), Accepted)


@pytest.mark.parametrize(
    ("elapsed", "interval", "throttled"),
    [(0, 300, True), (296.9, 300, True), (297.1, 300, False), (300, 300, False), (-5, 300, False), (0, 0, False)],
)
def test_a_report_that_comes_too_soon_is_throttled(elapsed, interval, throttled):
    verdict = verdict_on(GOOD, last_accepted=LastReport(1, NOW - elapsed), minimum_interval=interval)
    assert throttled == (isinstance(verdict, Rejected) and verdict.code == "Throttled")
    assert GOOD["header"]["report_id"] == verdict.report_id


def test_a_report_that_is_both_malformed_and_too_soon_is_malformed():
    message_of(verdict_on({}, last_accepted=LastReport(1, NOW)))


@pytest.mark.parametrize("report_id", [1, 2])
def test_a_report_id_may_repeat_or_fall(report_id):
    verdict = verdict_on(changed((*HEADER, "report_id"), report_id), last_accepted=LastReport(2, NOW - 300))
    assert isinstance(verdict, Accepted)


def read(reply: tuple[str, bytes], encoding: str) -> tuple[str, Any]:
    return reply[0], (cbor2.loads if encoding == "cbor" else json.loads)(reply[1])


@both_encodings
def test_an_accepted_report_is_answered_in_aws_words(encoding):
    expected = {"thingName": "gateway-1", "reportId": 1530304554, "status": "ACCEPTED", "timestamp": 1_700_000_000_500}
    where = f"$aws/things/gateway-1/defender/metrics/{encoding}/accepted"
    assert (where, expected) == read(verdict_on(GOOD, encoding).reply(), encoding)


@both_encodings
def test_a_rejected_report_is_answered_in_aws_words(encoding):
    details = {
        "ErrorCode": "InvalidPayload",
        "ErrorMessage": "Malformed metrics report: the report must be an object, got an array of 0",
    }
    expected = {
        "thingName": "gateway-1",
        "status": "REJECTED",
        "statusDetails": details,
        "timestamp": 1_700_000_000_500,
    }
    where = f"$aws/things/gateway-1/defender/metrics/{encoding}/rejected"
    assert (where, expected) == read(verdict_on([], encoding).reply(), encoding)


@both_encodings
@both_styles
def test_a_rejection_names_the_report_if_it_can_be_read_that_far(short, encoding):
    document = changed((*HEADER, "version"), 1)
    reply = read(verdict_on(shortened(document) if short else document, encoding).reply(), encoding)
    assert reply[1]["reportId"] == 1530304554


def check_answer(encoding: str, payload: bytes) -> None:
    """Whatever the payload is, it is answered with JSON or CBOR on the right topic."""
    verdict = judge(topic(encoding), payload, NOW)
    where, reply = read(verdict.reply(), encoding)
    status = "ACCEPTED" if isinstance(verdict, Accepted) else "REJECTED"
    assert where == f"{topic(encoding)}/{status.lower()}"
    assert reply["status"] == status
    assert str(verdict).isprintable()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(list(SHORT) + list(SHORT.values()))
)
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
cbor_scalars = scalars | st.binary() | st.decimals() | st.fractions()
cbor_keys = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers())
cbor_values = st.recursive(
    cbor_scalars, lambda inner: st.lists(inner) | st.dictionaries(cbor_keys, inner), max_leaves=20
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [path for key, item in inner for path in paths(item, (*prefix, key))]
    return ([prefix] if prefix else []) + below


@examples(300)
@given(st.sampled_from(["json", "cbor"]), st.binary(max_size=300))
def test_any_bytes_are_answered(encoding, payload):
    check_answer(encoding, payload)


@examples(300)
@given(json_values)
def test_any_json_is_answered(value):
    check_answer("json", json.dumps(value).encode())


@examples(300)
@given(cbor_values)
def test_any_cbor_is_answered(value):
    check_answer("cbor", cbor2.dumps(value))


@examples(400)
@given(st.booleans(), st.sampled_from(paths(GOOD)), json_values)
def test_a_report_with_anything_anywhere_is_answered(short, path, value):
    document = shortened(changed(path, value)) if short else changed(path, value)
    check_answer("json", json.dumps(document).encode())
    check_answer("cbor", cbor2.dumps(document))


@examples(300)
@given(st.sampled_from(["json", "cbor"]), st.data())
def test_a_report_with_a_wrong_byte_is_answered(encoding, data):
    payload = bytearray(ENCODINGS[encoding](GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_answer(encoding, bytes(payload))
