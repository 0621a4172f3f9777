"""A report's bytes say what the report says, in either encoding, and always fit into a message."""

from __future__ import annotations

import json
import random
from typing import Any

import cbor2
import pytest

from defender_publisher.encoding import encode, encode_within, shorten
from defender_publisher.errors import CollectError
from device_defender.report import LARGEST_PAYLOAD

REPORT: dict[str, Any] = {
    "header": {"report_id": 1, "version": "1.0"},
    "metrics": {
        "listening_tcp_ports": {"ports": [{"port": 22, "interface": "eth0"}], "total": 1},
        "listening_udp_ports": {"ports": [], "total": 0},
        "tcp_connections": {
            "established_connections": {
                "connections": [{"remote_addr": "192.0.2.1:8000", "local_port": 80, "local_interface": "lo"}],
                "total": 1,
            }
        },
        "network_stats": {"bytes_in": 1, "bytes_out": 2, "packets_in": 3, "packets_out": 4},
    },
    "custom_metrics": {"total": [{"number": 1.5}], "ports": [{"ip_list": ["::1"]}]},
}
SHORT = {
    "hed": {"rid": 1, "v": "1.0"},
    "met": {
        "tp": {"pts": [{"pt": 22, "if": "eth0"}], "t": 1},
        "up": {"pts": [], "t": 0},
        "tc": {"ec": {"cs": [{"rad": "192.0.2.1:8000", "lp": 80, "li": "lo"}], "t": 1}},
        "ns": {"bi": 1, "bo": 2, "pi": 3, "po": 4},
    },
    "cmet": {"total": [{"number": 1.5}], "ports": [{"ip_list": ["::1"]}]},
}


def test_short_names_are_those_of_the_guide_and_custom_metrics_keep_their_own() -> None:
    assert SHORT == shorten(REPORT)


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize(("short_names", "expected"), [(False, REPORT), (True, SHORT)])
def test_what_is_encoded_can_be_read_again(form: str, short_names: bool, expected: object) -> None:
    payload = encode(REPORT, form, short_names)
    assert expected == (json.loads(payload) if form == "json" else cbor2.loads(payload))


def big_report(connections: int = 0, ports: int = 0, names: int = 0) -> dict[str, Any]:
    return {
        "header": {"report_id": 1, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {"ports": [{"port": number} for number in range(1, ports + 1)], "total": ports},
            "tcp_connections": {
                "established_connections": {
                    "connections": [
                        {"remote_addr": f"[2001:db8::{number:x}]:443", "local_port": number, "local_interface": "eth0"}
                        for number in range(1, connections + 1)
                    ],
                    "total": connections,
                }
            },
        },
        "custom_metrics": {"process_names": [{"string_list": [f"process-{number}" for number in range(names)]}]},
    }


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("short_names", [False, True])
@pytest.mark.parametrize(
    "sizes", [(50_000, 20, 50), (3_000, 60_000, 0), (3_000, 3_000, 30_000), (0, 0, 100_000)], ids=str
)
def test_a_report_never_exceeds_a_message_nor_wastes_it(
    form: str, short_names: bool, sizes: tuple[int, int, int]
) -> None:
    payload = encode_within(big_report(*sizes), form, short_names, chance=random.Random(2))
    assert 0.8 * LARGEST_PAYLOAD < len(payload) <= LARGEST_PAYLOAD


def test_only_long_lists_are_cut_and_totals_stay_true() -> None:
    report = json.loads(encode_within(big_report(50_000, 20, 50), "json", False))
    assert 20 == len(report["metrics"]["listening_tcp_ports"]["ports"])
    assert 50 == len(report["custom_metrics"]["process_names"][0]["string_list"])
    established = report["metrics"]["tcp_connections"]["established_connections"]
    assert 50_000 == established["total"] > len(established["connections"]) > 1000


def test_a_report_that_fits_is_not_touched() -> None:
    assert encode(REPORT, "json", False) == encode_within(REPORT, "json", False)


def test_what_cannot_be_made_to_fit_is_an_error_and_no_empty_list() -> None:
    report = {"header": {}, "custom_metrics": {"x": [{"string_list": ["y" * LARGEST_PAYLOAD]}]}}
    with pytest.raises(CollectError, match="does not fit"):
        encode_within(report, "json", False)
