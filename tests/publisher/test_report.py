"""A report holds what was collected, in Device Defender's form, and nothing that was not."""

from __future__ import annotations

import random

import pytest

from defender_daemon.collected import Connections, Metrics, NetworkStats, Ports
from defender_publisher.errors import CollectError
from defender_publisher.report import build_report, sample, summarize
from defender_publisher.snapshot import Connection, Counters, CustomValue, Port, Snapshot, Sockets
from defender_publisher.state import Baseline

SOCKETS = Sockets(
    frozenset({Port(22, "0.0.0.0"), Port(22, "::"), Port(631, "lo")}),
    frozenset(),
    frozenset({Connection("10.0.0.9:443", 50000, "eth0"), Connection("[::1]:80", 40000, "lo")}),
)
COUNTERS = {"eth0": Counters(1000, 2000, 10, 20), "lo": Counters(5, 5, 1, 1)}
BASELINE = Baseline(0.0, "boot", {"eth0": Counters(400, 500, 4, 5), "lo": Counters(5, 5, 1, 1)})


def snapshot(**fields: object) -> Snapshot:
    return Snapshot(**{"taken_at": 1.0, "boot_id": "boot", "sockets": SOCKETS, "interfaces": COUNTERS, **fields})


def test_a_whole_report_has_device_defenders_form() -> None:
    custom = {
        "cpu_usage": CustomValue("number", 26.1),
        "loads": CustomValue("number-list", [1, 2.5]),
        "names": CustomValue("string-list", ["cron"]),
        "addresses": CustomValue("ip-address-list", ["172.16.0.1"]),
    }
    expected = {
        "header": {"report_id": 7, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {
                "ports": [
                    {"port": 22, "interface": "0.0.0.0"},
                    {"port": 22, "interface": "::"},
                    {"port": 631, "interface": "lo"},
                ],
                "total": 3,
            },
            "listening_udp_ports": {"ports": [], "total": 0},
            "tcp_connections": {
                "established_connections": {
                    "connections": [
                        {"remote_addr": "10.0.0.9:443", "local_port": 50000, "local_interface": "eth0"},
                        {"remote_addr": "[::1]:80", "local_port": 40000, "local_interface": "lo"},
                    ],
                    "total": 2,
                }
            },
            "network_stats": {"bytes_in": 600, "bytes_out": 1500, "packets_in": 6, "packets_out": 15},
        },
        "custom_metrics": {
            "cpu_usage": [{"number": 26.1}],
            "loads": [{"number_list": [1, 2.5]}],
            "names": [{"string_list": ["cron"]}],
            "addresses": [{"ip_list": ["172.16.0.1"]}],
        },
    }
    assert expected == build_report(7, snapshot(custom_metrics=custom), BASELINE, Metrics())


def test_a_block_that_was_not_collected_is_left_out_and_an_empty_one_is_sent() -> None:
    report = build_report(1, snapshot(sockets=Sockets(None, frozenset(), None)), BASELINE, Metrics())
    assert {"listening_udp_ports", "network_stats"} == set(report["metrics"])
    assert {"ports": [], "total": 0} == report["metrics"]["listening_udp_ports"]


def test_a_block_that_is_switched_off_is_left_out() -> None:
    report = build_report(1, snapshot(), BASELINE, Metrics(tcp_connections=False, network_stats=False))
    assert {"listening_tcp_ports", "listening_udp_ports"} == set(report["metrics"])


def test_metrics_and_custom_metrics_are_left_out_when_empty() -> None:
    only_custom = Snapshot(1.0, custom_metrics={"x": CustomValue("number", 1)})
    assert {"header", "custom_metrics"} == set(build_report(1, only_custom, None, Metrics()))
    assert {"header", "metrics"} == set(build_report(1, snapshot(), None, Metrics()))


def test_nothing_at_all_is_no_report() -> None:
    with pytest.raises(CollectError):
        build_report(1, Snapshot(1.0), None, Metrics())


@pytest.mark.parametrize(
    ("baseline", "fields"),
    [
        (None, {}),  # a first report
        (BASELINE, {"boot_id": "another"}),  # a reboot
        (BASELINE, {"boot_id": None}),  # unknown
        (Baseline(0.0, None, {}), {"boot_id": None}),
        (BASELINE, {"interfaces": None}),  # not collected
        (BASELINE, {"interfaces": {}}),  # all are gone
        (BASELINE, {"interfaces": {"eth0": Counters(0, 999, 0, 9)}}),  # counters fell, and no wrap can be why
    ],
)
def test_growth_that_is_unknown_is_left_out(baseline: Baseline | None, fields: dict[str, object]) -> None:
    assert "network_stats" not in build_report(1, snapshot(**fields), baseline, Metrics())["metrics"]


def test_interfaces_can_be_chosen_by_pattern() -> None:
    for options in (NetworkStats(interfaces=["eth*"]), NetworkStats(exclude_interfaces=["l?"])):
        moved = {"eth0": COUNTERS["eth0"], "lo": Counters(99, 99, 99, 99)}
        report = build_report(1, snapshot(interfaces=moved), BASELINE, Metrics(network_stats=options))
        assert 600 == report["metrics"]["network_stats"]["bytes_in"]


def test_options_leave_out_what_they_say() -> None:
    metrics = Metrics(
        listening_tcp_ports=Ports(interface=False, exclude_loopback=True),
        tcp_connections=Connections(local_port=False, interface=False, exclude_loopback=True),
    )
    report = build_report(1, snapshot(), None, metrics)["metrics"]
    assert {"ports": [{"port": 22}], "total": 1} == report["listening_tcp_ports"]
    assert [{"remote_addr": "10.0.0.9:443"}] == report["tcp_connections"]["established_connections"]["connections"]


def test_a_connection_to_an_address_of_the_devices_own_goes_from_the_device_to_itself() -> None:
    own = frozenset({"10.1.1.1", "fe80::1", "127.0.0.1"})
    kept = {Connection("10.1.1.2:80", 50000, "eth0"), Connection("[fe80::11]:80", 50001, "eth0")}
    inside = {Connection("10.1.1.1:80", 50002, "eth0"), Connection("[fe80::1]:80", 50003, "eth0")}
    sockets = Sockets(tcp_connections=frozenset(kept | inside), own_addresses=own)
    for exclude, expected in ((True, kept), (False, kept | inside)):
        metrics = Metrics(tcp_connections=Connections(exclude_loopback=exclude))
        block = build_report(1, snapshot(sockets=sockets), None, metrics)["metrics"]["tcp_connections"]
        entries = block["established_connections"]["connections"]
        assert expected == {Connection(*each.values()) for each in entries}


def test_a_list_that_is_too_long_is_sampled_and_its_total_stays_true() -> None:
    ports = frozenset(Port(number, "") for number in range(1, 101))
    for metrics in (Metrics(max_list_size=10), Metrics(max_list_size=99, listening_udp_ports=Ports(max_list_size=10))):
        report = build_report(1, snapshot(sockets=Sockets(None, ports, None)), None, metrics)
        block = report["metrics"]["listening_udp_ports"]
        assert (10, 100) == (len(block["ports"]), block["total"])


def test_connections_that_were_sampled_when_they_were_collected_keep_their_total() -> None:
    sockets = Sockets(tcp_connections=SOCKETS.tcp_connections, connections_total=50_000)
    report = build_report(1, snapshot(sockets=sockets), None, Metrics(max_list_size=1))
    block = report["metrics"]["tcp_connections"]["established_connections"]
    assert (1, 50_000) == (len(block["connections"]), block["total"])


def test_every_entry_is_as_likely_as_any_other_to_be_in_a_sample() -> None:
    chance, hits = random.Random(1), [0] * 20
    for _ in range(4000):
        for entry in sample(list(range(20)), 5, chance):
            hits[entry] += 1
    assert 900 < min(hits)
    assert max(hits) < 1100


def test_a_report_is_told_in_a_line() -> None:
    assert "3 TCP ports, 0 UDP ports, 2 connections, 600 bytes in, 1500 bytes out" == summarize(
        build_report(1, snapshot(), BASELINE, Metrics())
    )
