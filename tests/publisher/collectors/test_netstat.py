"""netstat's output on macOS, and programs that stand in for it."""

from __future__ import annotations

import sys

import pytest

from defender_publisher.collectors import netstat
from defender_publisher.collectors.sockets import collect_sockets, select_reader
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Port

# Put together after published output of macOS's netstat and its source (inet6print, for the columns -l makes wide);
# not recorded by ourselves, for want of a Mac. The addresses are documentation's.
INET = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    
tcp4       0      0  192.0.2.5.52433        198.51.100.7.443       ESTABLISHED
tcp4       0      0  127.0.0.1.12345        127.0.0.1.62965        CLOSE_WAIT 
tcp4       0      0  192.0.2.5.52434        198.51.100.7.443       TIME_WAIT  
tcp4       0      0  192.0.2.5.52435        198.51.100.8.443       SYN_SENT   
tcp4       0      0  127.0.0.1.631          *.*                    LISTEN     
tcp46      0      0  *.3283                 *.*                    LISTEN     
tcp4       0      0  *.88                   *.*                    LISTEN     
tcp4       0      0  *.*                    *.*                    CLOSED     
udp4       0      0  *.*                    *.*                               
udp46      0      0  *.53117                *.*                               
udp4       0      0  *.5353                 *.*                               
udp4       0      0  192.0.2.5.123          *.*                               
udp4       0      0  192.0.2.5.58351        203.0.113.9.443                   
Active Multipath Internet connections
Proto/ID  Flags      Local Address          Foreign Address        (state)    
icm4       0      0  *.*                    *.*                               
"""  # noqa: W291
INET6 = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address                                 Foreign Address                               (state)    
tcp6       0      0  2001:db8:4041:4498:2a00:1dff:fe00:1.63259     2001:db8:f35a:8::1.443                        ESTABLISHED
tcp6       0      0  fe80::aede:48ff:fe00:1122%en5.49159           fe80::aede:48ff:fe33:4455%en5.52000           ESTABLISHED
tcp6       0      0  fe80::1%lo0.49158                             *.*                                           LISTEN     
tcp46      0      0  *.3283                                        *.*                                           LISTEN     
tcp6       0      0  ::1.631                                       *.*                                           LISTEN     
tcp46      0      0  ::ffff:192.0.2.5.22                           ::ffff:192.0.2.9.50000                        ESTABLISHED
udp6       0      0  *.5353                                        *.*                                           
udp46      0      0  *.53117                                       *.*                                           
udp6       0      0  fe80::1%lo0.123                               *.*                                           
"""  # noqa: E501, W291


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        (
            INET,
            "tcp",
            [
                SocketRow(ESTABLISHED, "192.0.2.5", 52433, "198.51.100.7", 443),
                SocketRow(LISTEN, "127.0.0.1", 631, "0.0.0.0", 0),
                SocketRow(LISTEN, "::", 3283, "::", 0),
                SocketRow(LISTEN, "0.0.0.0", 88, "0.0.0.0", 0),
            ],
        ),
        (
            INET,
            "udp",
            [
                SocketRow(UNCONNECTED, "::", 53117, "::", 0),
                SocketRow(UNCONNECTED, "0.0.0.0", 5353, "0.0.0.0", 0),
                SocketRow(UNCONNECTED, "192.0.2.5", 123, "0.0.0.0", 0),
                SocketRow(ESTABLISHED, "192.0.2.5", 58351, "203.0.113.9", 443),
            ],
        ),
        (
            INET6,
            "tcp",
            [
                SocketRow(ESTABLISHED, "2001:db8:4041:4498:2a00:1dff:fe00:1", 63259, "2001:db8:f35a:8::1", 443),
                SocketRow(ESTABLISHED, "fe80::aede:48ff:fe00:1122", 49159, "fe80::aede:48ff:fe33:4455", 52000, "en5"),
                SocketRow(LISTEN, "fe80::1", 49158, "::", 0, "lo0"),
                SocketRow(LISTEN, "::", 3283, "::", 0),
                SocketRow(LISTEN, "::1", 631, "::", 0),
                SocketRow(ESTABLISHED, "192.0.2.5", 22, "192.0.2.9", 50000),
            ],
        ),
        (
            INET6,
            "udp",
            [
                SocketRow(UNCONNECTED, "::", 5353, "::", 0),
                SocketRow(UNCONNECTED, "::", 53117, "::", 0),
                SocketRow(UNCONNECTED, "fe80::1", 123, "::", 0, "lo0"),
            ],
        ),
        ("", "tcp", []),
    ],
)
def test_netstats_lines_become_rows(text, protocol, expected):
    assert expected == list(netstat.parse_rows(text, protocol))


# Rewritten from what users of macOS 14 and 15 published, with an address that cannot be read in each; the addresses
# are documentation's. A system extension's sockets have such, and those that end while netstat looks.
MACOS_14 = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    
tcp4       0      0  192.0.2.191.52044      198.51.100.35.443      ESTABLISHED
tcp4      24      0  192.0.2.191.52040      198.51.100.4.443       CLOSE_WAIT 
tcp46      0      0  *.8809                 *.*                    LISTEN     
tcp4       0      0  127.0.0.1.44960        *.*                    LISTEN     
tcp4       0      0  *.*                    *.*                    CLOSED     
tcp4       0      0  192.0.2.191.52050      ?.443                  ESTABLISHED
udp4       0      0  ?.5353                 *.*                               
udp46      0      0  *.50120                *.*                               
udp4       0      0  *.*                    *.*                               
udp6       0      0  *.*                    *.*                               
"""  # noqa: W291
MACOS_15 = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address                                 Foreign Address                               (state)    
tcp6       0      0  2001:db8:c:208b::1.56624                      2001:db8:4860::8888.443                       ESTABLISHED
tcp6       0      0  ?.56625                                       2001:db8:4860::8888.443                       ESTABLISHED
tcp6       0      0  *.7000                                        *.*                                           LISTEN     
tcp6       0      0  ?.*                                           *.*                                           LISTEN     
udp6       0      0  ?.?                                           *.*                                           
udp6       0      0  *.5353                                        *.*                                           
udp6       0      0  fe80::1%lo0.123                               *.*                                           
"""  # noqa: E501, W291


@pytest.mark.parametrize(
    ("text", "protocol", "expected", "said"),
    [
        (
            MACOS_14,
            "tcp",
            [
                SocketRow(ESTABLISHED, "192.0.2.191", 52044, "198.51.100.35", 443),
                SocketRow(LISTEN, "::", 8809, "::", 0),
                SocketRow(LISTEN, "127.0.0.1", 44960, "0.0.0.0", 0),
            ],
            ["a socket left out of the report: netstat printed '?.443', which is no address and port"],
        ),
        (
            MACOS_14,
            "udp",
            [SocketRow(UNCONNECTED, "", 5353, "0.0.0.0", 0), SocketRow(UNCONNECTED, "::", 50120, "::", 0)],
            [
                "the interface of port 5353 left out of the report: "
                "netstat printed '?.5353', which is no address and port"
            ],
        ),
        (
            MACOS_15,
            "tcp",
            [
                SocketRow(ESTABLISHED, "2001:db8:c:208b::1", 56624, "2001:db8:4860::8888", 443),
                SocketRow(LISTEN, "::", 7000, "::", 0),
            ],
            ["a socket left out of the report: netstat printed '?.56625', which is no address and port"],
        ),
        (
            MACOS_15,
            "udp",
            [SocketRow(UNCONNECTED, "::", 5353, "::", 0), SocketRow(UNCONNECTED, "fe80::1", 123, "::", 0, "lo0")],
            ["a socket left out of the report: netstat printed '?.?', which is no address and port"],
        ),
    ],
)
def test_an_address_that_cannot_be_read_costs_itself_and_is_said(text, protocol, expected, said, caplog):
    assert expected == list(netstat.parse_rows(text, protocol))
    assert said == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "address", ["2600:4041:4498:2.63259", "fe80::aede:48ff:.49159", "localhost.80", "1.2.3.4.http", "?.5353", ".80"]
)
def test_an_address_that_was_cut_or_is_a_name_is_no_other_address(address):
    with pytest.raises(CollectError, match="which is no address and port"):
        netstat.parse_endpoint(address, "6")


def test_where_no_address_can_be_read_there_is_no_list_rather_than_an_empty_one():
    lines = [f"tcp6       0      0  2600:4041:4498:2.{port} 2a03:2880:f35a:8.443  ESTABLISHED" for port in (1, 2)]
    with pytest.raises(CollectError, match="nothing but addresses that cannot be read"):
        list(netstat.parse_rows("\n".join(lines), "tcp"))


@pytest.fixture
def program(tmp_path):
    """Write a program that stands in for netstat."""

    def write(script):
        path = tmp_path / "netstat"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_both_families_are_asked_for_numbers_and_whole_addresses(program, tmp_path):
    (tmp_path / "inet").write_text(INET)
    (tmp_path / "inet6").write_text(INET6)
    fake = program(f'[ "$1 $2" = "-anl -f" ] && cat {tmp_path}/$3')
    rows = netstat.read_rows("tcp", {LISTEN}, netstat=fake)
    assert [631, 3283, 88, 49158, 3283, 631] == [row.local_port for row in rows]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo netstat: sysctl: not permitted >&2; exit 1", "not permitted"),
        ("echo something else", "printed no table"),
        (None, "was not found"),
    ],
)
def test_a_netstat_that_does_not_answer_leaves_the_blocks_out_and_says_why(
    program, monkeypatch, caplog, script, sentence
):
    path = program(script) if script else "/nowhere/netstat"

    def reader(protocol, states):
        return netstat.read_rows(protocol, states, netstat=path)

    seen = collect_sockets(["listening_tcp_ports", "tcp_connections"], reader=reader)
    assert (None, None) == (seen.listening_tcp_ports, seen.tcp_connections)
    (record,) = caplog.records
    assert record.getMessage().startswith("listening_tcp_ports, tcp_connections left out of the report: ")
    assert sentence in record.getMessage()


def test_macos_is_read_by_netstat(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("defender_publisher.collectors.procfs.OWN_PROCFS", str(tmp_path))
    assert netstat.read_rows == select_reader(str(tmp_path))


def test_the_interface_after_a_link_local_address_is_the_ports():
    def reader(protocol, states):
        return [row for row in netstat.parse_rows(INET6, protocol) if row.state in states]

    ports = collect_sockets(["listening_udp_ports"], reader=reader).listening_udp_ports
    assert {Port(5353, "::"), Port(53117, "::"), Port(123, "lo0")} == ports
