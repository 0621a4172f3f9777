"""Ports and connections: real sockets on loopback, and readers that answer what a test wants."""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import ExitStack

import pytest

from defender_publisher.collectors import procfs, psutil_sockets
from defender_publisher.collectors.linux_sockets import LinuxSockets
from defender_publisher.collectors.names import interface_names
from defender_publisher.collectors.sockets import BLOCKS, collect_sockets
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Connection, Port, Sockets
from demo.ports import has_address
from tests.ports import unused_port

LINUX = sys.platform.startswith("linux")
LOOPBACK = "lo" if LINUX else "lo0"
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
ALL = list(BLOCKS)
READERS = [LinuxSockets(), procfs.read_rows, psutil_sockets.read_rows] if LINUX else [psutil_sockets.read_rows]


needs_linux = pytest.mark.skipif(not LINUX, reason="there is no /proc")


@pytest.fixture
def opened():
    """Open sockets on ports that only they have, and close them when the test ends."""
    with ExitStack() as stack:

        def open_socket(family, kind, address=None, reuse_port=False, v6_only=None):
            host, port = address or (HOSTS[family], 0)
            if family == socket.AF_INET6 and not has_address(family):
                pytest.skip("this machine has no IPv6")
            one = stack.enter_context(socket.socket(family, kind))
            if reuse_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if v6_only is not None:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
            one.bind((host, port or unused_port()))
            return one

        yield open_socket


@pytest.fixture(params=READERS, ids=lambda reader: reader.__module__.rpartition(".")[2])
def reader(request):
    return request.param


def port_of(one):
    return one.getsockname()[1]


def tcp_listener(opened, family=socket.AF_INET, address=("127.0.0.1", 0), **options):
    listener = opened(family, socket.SOCK_STREAM, address, **options)
    listener.listen()
    return listener


def ports_named(ports, number):
    return [port for port in ports if port.port == number]


@pytest.mark.parametrize(
    ("family", "address", "interface"),
    [
        (socket.AF_INET, "127.0.0.1", LOOPBACK),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0"),
        (socket.AF_INET6, "::1", LOOPBACK),
        (socket.AF_INET6, "::", "::"),
        pytest.param(socket.AF_INET, "127.3.2.1", LOOPBACK, marks=needs_linux),
    ],
)
@pytest.mark.parametrize(
    ("kind", "block"), [(socket.SOCK_STREAM, "listening_tcp_ports"), (socket.SOCK_DGRAM, "listening_udp_ports")]
)
def test_a_port_is_listed_with_the_interface_it_is_bound_to(opened, reader, family, address, interface, kind, block):
    one = opened(family, kind, (address, 0), v6_only=True if family == socket.AF_INET6 else None)
    if kind == socket.SOCK_STREAM:
        one.listen()
    ports = getattr(collect_sockets([block], reader=reader), block)
    assert [Port(port_of(one), interface)] == ports_named(ports, port_of(one))


def test_a_tcp_socket_that_is_only_bound_does_not_listen(opened, reader):
    bound = opened(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    seen = collect_sockets(ALL, reader=reader)
    assert [] == ports_named(seen.listening_tcp_ports, port_of(bound))
    bound.listen()
    assert [] != ports_named(collect_sockets(ALL, reader=reader).listening_tcp_ports, port_of(bound))


def test_a_udp_socket_is_listed_until_it_is_connected(opened, reader):
    server = opened(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    client = opened(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    before = collect_sockets(ALL, reader=reader).listening_udp_ports
    client.connect(server.getsockname())
    after = collect_sockets(ALL, reader=reader).listening_udp_ports
    assert [Port(port_of(client), LOOPBACK)] == ports_named(before, port_of(client))
    assert [] == ports_named(after, port_of(client))
    assert [Port(port_of(server), LOOPBACK)] == ports_named(after, port_of(server))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_two_sockets_that_share_a_port_are_one_port(opened, reader, kind):
    first = opened(socket.AF_INET, kind, ("127.0.0.1", 0), reuse_port=True)
    second = opened(socket.AF_INET, kind, first.getsockname(), reuse_port=True)
    if kind == socket.SOCK_STREAM:
        first.listen()
        second.listen()
    seen = collect_sockets(ALL, reader=reader)
    ports = seen.listening_tcp_ports if kind == socket.SOCK_STREAM else seen.listening_udp_ports
    assert [Port(port_of(first), LOOPBACK)] == ports_named(ports, port_of(first))


def test_both_ends_of_a_connection_over_ipv4_are_listed(opened, reader):
    listener = tcp_listener(opened)
    client = opened(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    connections = collect_sockets(ALL, reader=reader).tcp_connections
    ours = {seen for seen in connections if seen.local_port in (port_of(listener), port_of(client))}
    assert {
        Connection(f"127.0.0.1:{port_of(client)}", port_of(listener), LOOPBACK),
        Connection(f"127.0.0.1:{port_of(listener)}", port_of(client), LOOPBACK),
    } == ours


def test_an_ipv6_peer_is_written_in_brackets(opened, reader):
    listener = tcp_listener(opened, socket.AF_INET6, ("::1", 0))
    client = opened(socket.AF_INET6, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    connections = collect_sockets(ALL, reader=reader).tcp_connections
    assert Connection(f"[::1]:{port_of(client)}", port_of(listener), LOOPBACK) in connections


def test_ipv4_through_a_dual_stack_socket_is_ipv4(opened, reader):
    listener = tcp_listener(opened, socket.AF_INET6, ("::", 0), v6_only=False)
    client = opened(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(("127.0.0.1", port_of(listener)))
    seen = collect_sockets(ALL, reader=reader)
    assert Connection(f"127.0.0.1:{port_of(client)}", port_of(listener), LOOPBACK) in seen.tcp_connections
    assert [Port(port_of(listener), "::")] == ports_named(seen.listening_tcp_ports, port_of(listener))


def test_a_connection_that_is_closed_is_not_listed(opened, reader):
    listener = tcp_listener(opened)
    client = opened(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    client_port = port_of(client)
    client.close()  # first, so that its end waits (TIME_WAIT) in the table
    server.close()
    connections = collect_sockets(ALL, reader=reader).tcp_connections
    assert [] == [seen for seen in connections if client_port == seen.local_port]
    assert [] == [seen for seen in connections if seen.remote_addr.endswith(f":{client_port}")]


@needs_linux
@pytest.mark.parametrize(("protocol", "states"), [("tcp", {LISTEN, ESTABLISHED}), ("udp", {UNCONNECTED, ESTABLISHED})])
def test_netlink_and_proc_and_psutil_give_the_same_rows(opened, protocol, states):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    servers = [
        opened(family, kind, (address, 0), v6_only=v6_only)
        for family, address, v6_only in [
            (socket.AF_INET, "127.0.0.1", None),
            (socket.AF_INET, "0.0.0.0", None),
            (socket.AF_INET6, "::1", None),
            (socket.AF_INET6, "::", False),
        ]
    ]
    ours = {port_of(server) for server in servers}
    for server, host in zip(servers, ["127.0.0.1", "127.0.0.1", "::1", "127.0.0.1"]):
        if protocol == "tcp":
            server.listen()
        client = opened(socket.AF_INET6 if host == "::1" else socket.AF_INET, kind)
        client.connect((host, port_of(server)))
        ours.add(port_of(client))

    def rows(read):
        seen = (row for row in read(protocol, states) if row.local_port in ours)
        return {row if row.remote_port else row._replace(remote_ip="") for row in seen}

    assert rows(procfs.read_rows) == rows(psutil_sockets.read_rows) == rows(LinuxSockets())
    assert len(rows(procfs.read_rows)) == (12 if protocol == "tcp" else 8)  # TCP: also the servers' end of each


def test_a_block_that_is_not_wanted_is_none_and_its_protocol_is_not_read():
    asked = []

    def reader(protocol, states):
        asked.append((protocol, set(states)))
        return []

    assert Sockets(tcp_connections=frozenset()) == collect_sockets({"tcp_connections"}, reader=reader)
    assert [("tcp", {ESTABLISHED})] == asked


def test_both_blocks_of_tcp_come_from_one_pass_over_its_table():
    asked = []

    def reader(protocol, states):
        asked.append((protocol, set(states)))
        return []

    assert Sockets(frozenset(), frozenset(), frozenset()) == collect_sockets(ALL, reader=reader)
    assert [("tcp", {LISTEN, ESTABLISHED}), ("udp", {UNCONNECTED})] == asked


def test_nothing_wanted_collects_nothing():
    def reader(protocol, states):
        raise AssertionError("nothing should be read")

    assert Sockets() == collect_sockets([], reader=reader)


@pytest.mark.parametrize(
    ("broken", "expected", "named"),
    [
        ("udp", Sockets(frozenset(), None, frozenset()), "listening_udp_ports"),
        ("tcp", Sockets(None, frozenset(), None), "listening_tcp_ports, tcp_connections"),
    ],
)
def test_a_block_that_fails_is_none_and_one_warning_and_the_others_are_there(broken, expected, named, caplog):
    def reader(protocol, states):
        if protocol == broken:
            raise CollectError("the table is gone")
        return []

    assert expected == collect_sockets(ALL, reader=reader)
    assert [f"{named} left out of the report: the table is gone"] == [record.getMessage() for record in caplog.records]
    assert [("defender_publisher", logging.WARNING)] == [(record.name, record.levelno) for record in caplog.records]


def test_a_bug_in_a_reader_does_not_take_the_other_blocks_down(caplog):
    def reader(protocol, states):
        return [] if protocol == "udp" else 1 / 0

    assert Sockets(None, frozenset(), None) == collect_sockets(ALL, reader=reader)
    assert [ZeroDivisionError] == [record.exc_info[0] for record in caplog.records]


def test_rows_that_no_block_can_be_made_of_take_no_other_block_down(caplog):
    def reader(protocol, states):
        return ["no row"] if protocol == "udp" else []

    expected = Sockets(frozenset(), None, frozenset())
    assert expected == collect_sockets(ALL, reader=reader)
    assert "listening_udp_ports left out of the report, unexpectedly" in caplog.text


def test_an_address_that_no_interface_has_gives_an_unknown_interface():
    def reader(protocol, states):
        return [SocketRow(LISTEN, "203.0.113.9", 80, "0.0.0.0", 0)]

    assert frozenset({Port(80, "")}) == collect_sockets(["listening_tcp_ports"], reader=reader).listening_tcp_ports


def test_every_address_of_this_machine_leads_to_its_interface():
    names = {ip: name for ip, name in interface_names().items() if name}

    def reader(protocol, states):
        return [SocketRow(LISTEN, ip, number, "::", 0) for number, ip in enumerate(names, 1)]

    expected = {Port(number, name) for number, name in enumerate(names.values(), 1)}
    assert expected == collect_sockets(["listening_tcp_ports"], reader=reader).listening_tcp_ports
    assert LOOPBACK in names.values()


def test_a_named_proc_that_is_not_there_is_an_error_and_never_this_containers_sockets(tmp_path, caplog):
    assert Sockets() == collect_sockets(ALL, str(tmp_path / "nowhere"))
    assert ["WARNING", "WARNING"] == [record.levelname for record in caplog.records]
