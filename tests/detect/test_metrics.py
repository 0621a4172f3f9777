"""Every metric comes out of a report with its value, and what is not in the report comes out of it with none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.judge.reading import read_report
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, judge
from defender_detect.metrics import LARGEST_COUNT, METRICS, Value, metric_values
from tests.examples import examples

HEADER = {"report_id": 1, "version": "1.0"}
FULL: dict[str, Any] = {
    "header": HEADER,
    "metrics": {
        "listening_tcp_ports": {"ports": [{"port": 22}, {"port": 80, "interface": "lo"}, {"port": 22}], "total": 3},
        "listening_udp_ports": {"ports": [{"port": 5353}]},
        "network_stats": {"bytes_in": 1, "bytes_out": 2, "packets_in": 3, "packets_out": 4},
        "tcp_connections": {
            "established_connections": {
                "connections": [
                    {"remote_addr": "192.0.2.1:8000"},
                    {"remote_addr": "[2001:db8::1]:443"},
                    {"remote_addr": "192.0.2.1:8001"},
                    {"remote_addr": "[fe80::1%eth0]:22"},
                ],
                "total": 9,
            }
        },
    },
    "custom_metrics": {
        "cpu_usage": [{"number": 26.5}],
        "sizes": [{"number_list": [1, 2.5, 1]}],
        "processes": [{"string_list": ["sshd", "cron"]}],
        "neighbours": [{"ip_list": ["172.16.0.1", "fe80::1"]}],
    },
}
VALUES: dict[str, Value] = {
    "aws:all-bytes-in": 1,
    "aws:all-bytes-out": 2,
    "aws:all-packets-in": 3,
    "aws:all-packets-out": 4,
    "aws:num-listening-tcp-ports": 3,
    "aws:num-listening-udp-ports": 1,
    "aws:num-established-tcp-connections": 9,
    "aws:listening-tcp-ports": (22, 80),
    "aws:listening-udp-ports": (5353,),
    "aws:destination-ip-addresses": ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"),
    "cpu_usage": 26.5,
    "sizes": (1, 2.5, 1),
    "processes": ("sshd", "cron"),
    "neighbours": ("172.16.0.1", "fe80::1"),
}


def values_of(metrics: Any = None, custom: Any = None) -> dict[str, Value]:
    blocks = {"metrics": metrics, "custom_metrics": custom}
    present = {name: block for name, block in blocks.items() if block is not None}
    return metric_values(read_report({"header": HEADER, **present}).report)


def test_a_report_holds_every_device_side_metric_and_its_custom_metrics() -> None:
    assert VALUES == metric_values(read_report(FULL).report)
    assert set(METRICS) <= set(VALUES)


def test_an_accepted_report_with_short_names_holds_the_same_metrics() -> None:
    payload = json.dumps(
        {"hed": {"rid": 1, "v": "1.0"}, "met": {"ns": {"bi": 7}, "up": {"t": 0, "pts": []}}, "cmet": {}}
    ).encode()
    verdict = judge(ReportTopic("thing", "json"), payload, 1.0)
    assert isinstance(verdict, Accepted)
    expected = {"aws:all-bytes-in": 7, "aws:num-listening-udp-ports": 0, "aws:listening-udp-ports": ()}
    assert expected == metric_values(verdict.report)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"network_stats": {}},
        {"listening_tcp_ports": {}, "listening_udp_ports": {}},
        {"tcp_connections": {}},
        {"tcp_connections": {"established_connections": {}}},
    ],
)
def test_what_a_report_leaves_out_is_not_zero(metrics: Any) -> None:
    assert {} == values_of(metrics)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1:443", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1:443", "2001:db8::1"),
        ("::ffff:127.0.0.1:41632", "::ffff:127.0.0.1"),
        ("[fe80::1%eth0]:22", "fe80::1%eth0"),
        ("fe80::1%wlan0.5:22", "fe80::1%wlan0.5"),
    ],
)
def test_an_address_is_a_destination_however_an_agent_writes_it(written: str, address: str) -> None:
    connections = {"established_connections": {"connections": [{"remote_addr": written}]}}
    expected = {"aws:destination-ip-addresses": (address,), "aws:num-established-tcp-connections": 1}
    assert expected == values_of({"tcp_connections": connections})


def test_a_port_is_a_whole_number_however_it_is_written() -> None:
    (ports, *_) = values_of({"listening_tcp_ports": {"ports": [{"port": 22.0}, {"port": 22}]}}).values()
    assert "(22,)" == repr(ports)


def test_what_is_null_has_no_entry() -> None:
    listening = {"listening_tcp_ports": {"ports": None, "total": None}, "network_stats": {"bytes_in": None}}
    assert {"b": 1} == values_of({**listening, "tcp_connections": None}, {"a": None, "b": [{"number": 1}]})


def test_a_total_without_a_list_says_how_many_but_not_which() -> None:
    metrics = {"listening_tcp_ports": {"total": 4}, "tcp_connections": {"established_connections": {"total": 5}}}
    assert {"aws:num-listening-tcp-ports": 4, "aws:num-established-tcp-connections": 5} == values_of(metrics)


def test_an_empty_list_is_a_value() -> None:
    metrics = {
        "listening_tcp_ports": {"ports": []},
        "tcp_connections": {"established_connections": {"connections": []}},
    }
    expected = {
        "aws:num-listening-tcp-ports": 0,
        "aws:listening-tcp-ports": (),
        "aws:num-established-tcp-connections": 0,
        "aws:destination-ip-addresses": (),
    }
    assert expected == values_of(metrics)


def test_a_total_of_zero_beside_a_list_counts() -> None:
    assert 0 == values_of({"listening_tcp_ports": {"ports": [{"port": 1}], "total": 0}})["aws:num-listening-tcp-ports"]


@given(st.integers(0, 10**45) | st.floats(0, allow_nan=False, allow_infinity=False))
@examples(100)
def test_a_count_however_large_can_be_kept(claimed: float) -> None:
    values = values_of({"network_stats": {"bytes_in": claimed}, "listening_udp_ports": {"total": claimed}})
    assert set(values.values()) == {min(claimed, LARGEST_COUNT)}
    assert values == msgspec.msgpack.decode(msgspec.msgpack.encode(values))
