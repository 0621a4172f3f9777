"""What is collected is what there is: known sockets and counters in network namespaces, seen in every way there is.

The ways: by netlink and from /proc, by root and by a user without privileges, and from a container through the host's
/proc.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from defender_daemon.collected import Connections, Metrics
from defender_publisher.collectors import inet_diag, procfs
from defender_publisher.collectors.linux_sockets import LinuxSockets
from defender_publisher.collectors.names import interface_names
from defender_publisher.collectors.sockets import BLOCKS, SocketCollector, collect_sockets
from defender_publisher.collectors.table import ESTABLISHED, SocketRow
from defender_publisher.collectors.traffic import collect_traffic
from defender_publisher.growth import growth, names_before
from defender_publisher.report import build_report
from defender_publisher.snapshot import Connection, Counters, Interface, Port, Snapshot, Sockets
from tests import namespaces
from tests.fakes.not_utf8 import LATIN_1
from tests.namespaces import (
    NOBODY,
    OTHER_FILES,
    Namespace,
    allow_files,
    as_user,
    child,
    connect_pairs,
    ip,
    widen_port_range,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(namespaces.refusal() is not None, reason=str(namespaces.refusal()))

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
V4, V6 = socket.AF_INET, socket.AF_INET6
# Each look of LinuxSockets on a socket of the namespace that is entered.
READERS = {"netlink": lambda *asked: LinuxSockets()(*asked), "proc": procfs.read_rows}
LOOKS = [(how, user) for how in READERS for user in (None, NOBODY)]


@pytest.fixture
def namespace():
    """A network namespace that the test, and whatever it opens, is in."""
    one = Namespace()
    with one.entered():
        ip("link", "set", "lo", "up")
        yield one
    one.close()


@pytest.fixture
def opened():
    """Open a socket that is closed when the test ends."""
    with ExitStack() as stack:

        def open_socket(kind, address=None, *options):
            family = V6 if address and ":" in address[0] else V4
            one = stack.enter_context(socket.socket(family, kind))
            for option in options:
                one.setsockopt(*option)
            if address:
                one.bind(address)
            return one

        yield open_socket


def add_interface(name="eth0", *addresses):
    """Add an interface with addresses that are in use at once; its other end is `name` + "p"."""
    ip("link", "add", name, "type", "veth", "peer", "name", name + "p")
    for each in (name, name + "p"):
        ip("link", "set", each, "addrgenmode", "none")  # no link-local address but what the test gives
        ip("link", "set", each, "up")
    for address in addresses:
        ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        if ":" in address:  # a connection that is made before takes four seconds
            assert wait_until(partial(is_local, address.partition("/")[0]))


def is_local(address: str) -> bool:
    """Tell whether the kernel knows an IPv6 address for its own, which it learns a moment after it was added."""
    wanted, host_route, local = socket.inet_pton(V6, address).hex(), "80", 0x80000000  # RTF_LOCAL of linux/ipv6_route.h
    rows = map(str.split, Path("/proc/net/ipv6_route").read_text(errors="replace").splitlines())
    return any(row[:2] == [wanted, host_route] and int(row[8], 16) & local for row in rows)


class Population:
    """Sockets of every kind, and what a report has to say about them."""

    def __init__(self, opened) -> None:
        add_interface("eth0", "10.1.0.1/24", "10.1.0.2/24", "2001:db8::1/64", "fe80::1/64")
        self._opened = opened
        self._link_local = ("fe80::1", 1005, 0, socket.if_nametoindex("eth0"))
        self.connections: set[Connection] = set()
        self.tcp, self.udp = self._listen(TCP, 1000), self._listen(UDP, 2000)
        self._connect()
        self._do_not_listen()

    @property
    def sockets(self) -> Sockets:
        own = frozenset({"127.0.0.1", "::1", "10.1.0.1", "10.1.0.2", "2001:db8::1", "fe80::1"})
        return Sockets(frozenset(self.tcp), frozenset(self.udp), frozenset(self.connections), own_addresses=own)

    def _listen(self, kind: int, base: int) -> set[Port]:
        reuse = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        dual = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.servers = {}
        for number, interface, address, *options in [
            (1, "0.0.0.0", ("0.0.0.0", base + 1)),
            (2, "lo", ("127.0.0.5", base + 2)),
            (3, "::", ("::", base + 3), dual),
            (4, "lo", ("::1", base + 4)),
            (5, "eth0", ("fe80::1", base + 5, 0, self._link_local[3])),
            (6, "eth0", ("10.1.0.1", base + 6)),
            (6, "eth0", ("10.1.0.2", base + 6)),
            *[(7, "0.0.0.0", ("0.0.0.0", base + 7), reuse)] * 3,
            (8, "eth0", ("2001:db8::1", base + 8)),
            (9, "0.0.0.0", ("0.0.0.0", base + 9)),
            (9, "::", ("::", base + 9), (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)),
        ]:
            one = self._opened(kind, address, *options)
            if kind == TCP:
                one.listen()
            self.servers.setdefault(Port(base + number, interface), one)
        return set(self.servers)

    def _connect(self) -> None:
        for server, local, interface in [
            (("127.0.0.1", 1003), "127.0.0.1", "lo"),  # an IPv4 client of a server on ::
            (("127.0.0.5", 1002), "127.0.0.1", "lo"),
            (("::1", 1004), "::1", "lo"),
            (self._link_local, "fe80::1", "eth0"),
            (("2001:db8::1", 1008), "2001:db8::1", "eth0"),
        ]:
            self._connection(server, (local, 0), interface)
        for local in ("10.1.0.1", "10.1.0.2"):  # two local addresses with the same ports, and so with one entry
            self._connection(("10.1.0.1", 1006), (local, 5001), "eth0")

    def _connection(self, server, local, interface) -> None:
        if local[0] == "fe80::1":
            local = (*local, 0, self._link_local[3])
        client = self._opened(TCP, local, (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1))
        client.connect(server)
        own, other = (
            f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
            for ip, port in (client.getsockname()[:2], client.getpeername()[:2])
        )
        self.connections |= {
            Connection(other, client.getsockname()[1], interface),
            Connection(own, server[1], interface),
        }

    def _do_not_listen(self) -> None:
        self._opened(TCP, ("0.0.0.0", 1100))  # only bound
        self._opened(UDP, ("127.0.0.1", 2100)).connect(("127.0.0.5", 2002))
        waiting = self._opened(TCP)  # whose end waits in the table (TIME_WAIT)
        with self._opened(TCP, ("127.0.0.1", 1101)) as listener:
            listener.listen()
            waiting.connect(("127.0.0.1", 1101))
            accepted, _ = listener.accept()
            waiting.close()
            accepted.close()
        ip("neigh", "add", "10.1.0.50", "lladdr", "02:00:00:00:00:99", "dev", "eth0")  # never answers
        dialling = self._opened(TCP)
        dialling.setblocking(False)
        assert dialling.connect_ex(("10.1.0.50", 80))  # SYN_SENT
        send_syn("10.1.0.50", "10.1.0.1", 1006)


def send_syn(source: str, destination: str, port: int) -> None:
    """Make a half-open connection (SYN_RECV), whose other end does not exist."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!HHIIBBHHH", 7777, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(header)) + header
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[18:]
    with socket.socket(V4, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        ip_header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(header), 1, 0, 64, socket.IPPROTO_TCP, 0) + addresses
        raw.sendto(ip_header + header, (destination, 0))


def states_in_proc() -> set[str]:
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    return {line.split()[3] for line in table.splitlines() if "local_address" not in line}


@pytest.mark.parametrize(("how", "user"), LOOKS)
def test_sockets_of_every_kind_are_reported_as_they_are(namespace, opened, how, user):
    if user is not None and not namespaces.has_user(user):
        pytest.skip(f"user {user} does not exist here, or may not be become")
    expected = Population(opened).sockets
    assert {"01", "02", "03", "06", "0A"} <= states_in_proc()  # connected, dialling, half open, waiting, listening
    looked = partial(collect_sockets, list(BLOCKS), reader=READERS[how])
    assert expected == (looked() if user is None else as_user(user, looked))


@pytest.mark.parametrize("most", [1, 5, 1000])
def test_a_sample_is_of_the_same_sockets_and_counts_the_same(namespace, opened, most):
    expected = Population(opened).sockets
    seen = SocketCollector(list(BLOCKS), most_connections=most).collect()
    assert expected.listening_tcp_ports == seen.listening_tcp_ports
    assert expected.listening_udp_ports == seen.listening_udp_ports
    assert seen.tcp_connections <= expected.tcp_connections
    total = len(seen.tcp_connections) if seen.connections_total is None else seen.connections_total
    assert len(expected.tcp_connections) == total


def test_a_container_sees_the_hosts_sockets_through_the_hosts_proc(tmp_path, opened):
    host = Namespace()
    with host.entered():
        ip("link", "set", "lo", "up")
        expected = Population(opened).sockets
        with child(lambda ready: (os.write(ready, b"."), time.sleep(60))) as pid:
            (tmp_path / "1").symlink_to(f"/proc/{pid}")
            container = Namespace()
            with container.entered():
                assert expected == collect_sockets(list(BLOCKS), str(tmp_path))
                assert Sockets(frozenset(), frozenset(), frozenset()) == collect_sockets(list(BLOCKS))
                assert "eth0" in collect_traffic(str(tmp_path))
                assert {"lo"} == set(collect_traffic())
                assert {"lo", "eth0"} == set(interface_names(str(tmp_path)).values())
            container.close()
    host.close()


def test_addresses_are_the_same_by_netlink_and_from_proc(namespace, opened, tmp_path):
    Population(opened)
    add_interface("eth1", "10.2.0.1/24", "192.0.2.1/32", "fe80::1/64")
    with child(lambda ready: (os.write(ready, b"."), time.sleep(60))) as pid:
        (tmp_path / "1").symlink_to(f"/proc/{pid}")
        by_netlink, from_proc = interface_names(), interface_names(str(tmp_path))
    assert "eth1" == by_netlink.pop("192.0.2.1")
    assert "" == from_proc.pop("192.0.2.1")  # no route tells where an address without a network is
    assert by_netlink == from_proc
    assert "" == by_netlink["fe80::1"]


@pytest.mark.parametrize("how", READERS)
def test_no_connection_that_stays_on_the_device_is_reported_where_these_are_excluded(namespace, opened, how):
    Population(opened)
    excluded = Metrics(tcp_connections=Connections(exclude_loopback=True))
    seen = Snapshot(0.0, sockets=collect_sockets(list(BLOCKS), reader=READERS[how]))
    block = build_report(1, seen, None, excluded)["metrics"]["tcp_connections"]
    assert {"connections": [], "total": 0} == block["established_connections"]


@pytest.mark.parametrize("how", [*READERS, "host"])
def test_an_interface_with_a_name_in_latin_1_is_reported_as_far_as_it_can_be_read(namespace, opened, tmp_path, how):
    add_interface(os.fsdecode(LATIN_1), "10.1.0.1/24", "2001:db8::1/64")
    for address, port in (("10.1.0.1", 80), ("2001:db8::1", 81)):
        opened(TCP, (address, port)).listen()
    opened(UDP, ("0.0.0.0", 68), (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LATIN_1))
    with child(lambda ready: (os.write(ready, b"."), time.sleep(60))) as pid:
        (tmp_path / "1").symlink_to(f"/proc/{pid}")
        procfs_path = str(tmp_path) if how == "host" else "/proc"
        seen = collect_sockets(list(BLOCKS), procfs_path, None if how == "host" else READERS[how])
        counters = collect_traffic(procfs_path)
    assert {Port(80, "caf\ufffd"), Port(81, "caf\ufffd")} == seen.listening_tcp_ports
    assert {Port(68, "caf\ufffd" if how == "netlink" else "0.0.0.0")} == seen.listening_udp_ports
    assert {"lo", "caf\ufffd", "caf\ufffdp"} == set(counters)


@pytest.mark.parametrize(("how", "expected"), [("netlink", "eth0"), ("proc", "0.0.0.0")])
def test_only_netlink_knows_what_a_socket_is_bound_to(namespace, opened, how, expected):
    add_interface("eth0")
    opened(UDP, ("0.0.0.0", 68), (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0"))
    ports = collect_sockets(["listening_udp_ports"], reader=READERS[how]).listening_udp_ports
    assert frozenset({Port(68, expected)}) == ports


@pytest.mark.parametrize(("how", "expected"), [("netlink", {"eth0", "eth1"}), ("proc", {""})])
def test_only_netlink_knows_which_of_two_links_a_link_local_address_is_on(namespace, opened, how, expected):
    for name in ("eth0", "eth1"):
        add_interface(name, "fe80::1/64")
        opened(TCP, ("fe80::1", 80, 0, socket.if_nametoindex(name))).listen()
    ports = collect_sockets(["listening_tcp_ports"], reader=READERS[how]).listening_tcp_ports
    assert {Port(80, name) for name in expected} == ports


def open_and_close(ready: int) -> None:
    """Open connections and listeners and close them again, until this process is ended."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.write(ready, b".")
        while True:
            ends = []
            for _ in range(20):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.connect(listener.getsockname())
                ends += [client, listener.accept()[0]]
            for end in ends:
                end.close()


@pytest.mark.parametrize("looks", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", READERS)
def test_while_sockets_come_and_go_what_one_look_leaves_out_the_next_one_has(namespace, how, looks):
    """The kernel can pass over a socket (see `table`), which comes about once in a thousand looks as busy as these."""
    widen_port_range()
    kept = list(connect_pairs(1000))
    stays = before = {
        Connection(f"127.0.0.1:{one.getpeername()[1]}", one.getsockname()[1], "lo") for pair in kept for one in pair
    }
    with child(open_and_close):
        for _ in range(looks):
            seen = collect_sockets(["tcp_connections"], reader=READERS[how]).tcp_connections
            assert seen is not None
            assert set() == stays - (seen | before)
            before = seen


@pytest.mark.parametrize("looks", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_while_sockets_come_and_go_nothing_is_counted_twice(namespace, looks):
    widen_port_range()
    kept = list(connect_pairs(1000))
    stays = before = {SocketRow(ESTABLISHED, *one.getsockname(), *one.getpeername()) for pair in kept for one in pair}
    with child(open_and_close):
        for _ in range(looks):
            rows = inet_diag.read_table("tcp", {ESTABLISHED}, most=100_000).rows
            assert len(rows) == len(set(rows))
            assert set() == stays - (before | set(rows))
            before = set(rows)


def hold(count: int, address: str = "127.0.0.1") -> Callable[[int], None]:
    def work(ready: int) -> None:
        kept = list(connect_pairs(count, address))
        os.write(ready, b".")
        time.sleep(100)
        del kept

    return work


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_ten_thousand_connections_are_ten_thousand(namespace, address):
    widen_port_range()
    allow_files(10_000 + OTHER_FILES)
    with child(hold(5000, address)):
        sampled = SocketCollector(["tcp_connections"], most_connections=100).collect()
        assert (100, 10_000) == (len(sampled.tcp_connections or ()), sampled.connections_total)
        for reader in READERS.values():
            assert 10_000 == len(collect_sockets(["tcp_connections"], reader=reader).tcp_connections or ())


def test_connections_that_make_one_entry_are_counted_once_however_few_are_kept(namespace, opened):
    add_interface("eth0", "10.1.0.1/24", "10.1.0.2/24")
    with opened(TCP, ("10.1.0.1", 80)) as listener:
        listener.listen(100)
        for number in range(50):
            for local in ("10.1.0.1", "10.1.0.2"):
                opened(TCP, (local, 6000 + number)).connect(("10.1.0.1", 80))
        seen = SocketCollector(["tcp_connections"], most_connections=10).collect()
    total = len(seen.tcp_connections or ()) if seen.connections_total is None else seen.connections_total
    assert 50 + 100 == total  # 100 at the clients' ends make 50 entries, and the server's ends are all different


@pytest.mark.parametrize("how", READERS)
def test_an_interface_that_goes_and_comes_back_is_named_as_it_is_now(namespace, opened, how):
    collector = SocketCollector(["listening_tcp_ports"], reader=READERS[how])
    add_interface("eth0", "10.1.0.1/24")
    opened(TCP, ("10.1.0.1", 80)).listen()

    def interface():
        (port,) = collector.collect().listening_tcp_ports or ()
        return port.interface

    seen = [interface(), interface()]
    ip("link", "delete", "eth0")
    seen.append(interface())
    add_interface("eth0", "10.1.0.1/24")
    seen.append(interface())
    ip("link", "set", "eth0", "name", "wan0")
    seen.append(interface())
    assert ["eth0", "eth0", "", "eth0", "wan0"] == seen


def grown_since(before: dict[str, Interface], now: dict[str, Interface]) -> Counters | None:
    """Return the growth between two looks, as a report has it."""
    counters, identities = (
        [{name: getattr(each, field) for name, each in look.items()} for look in (before, now)]
        for field in ("counters", "identity")
    )
    return growth(*counters, names_before(*identities, now))


def send(opened, count, source="10.1.0.1", destination="10.1.0.99"):
    with opened(UDP, (source, 0)) as sender:
        for _ in range(count):
            sender.sendto(b"x" * 1000, (destination, 9))


def test_growth_is_true_when_an_interface_goes_and_comes_back(namespace, opened):
    def add_eth0():
        add_interface("eth0", "10.1.0.1/24")
        ip("neigh", "add", "10.1.0.99", "lladdr", "02:00:00:00:00:99", "dev", "eth0")

    def grown(before):
        now = {name: each for name, each in collect_traffic().items() if name in ("eth0", "wan0")}
        total = grown_since(before, now)
        return now, None if total is None else total.packets_out

    nothing: dict[str, Interface] = {}
    add_eth0()
    send(opened, 50)
    first, since_start = grown(nothing)
    send(opened, 10)
    second, since_first = grown(first)
    ip("link", "delete", "eth0")
    gone, while_gone = grown(second)
    add_eth0()
    send(opened, 5)
    third, made_again = grown(second)
    send(opened, 7)
    fourth, since_third = grown(third)
    ip("link", "set", "eth0", "name", "wan0")
    send(opened, 3)
    fifth, renamed = grown(fourth)
    ip("link", "delete", "wan0")
    add_eth0()
    send(opened, 100)  # more than it had counted before
    _, made_again_and_more = grown(fifth)
    assert (50, 10, None, 5, 7) == (since_start, since_first, while_gone, made_again, since_third)
    assert (3, 100) == (renamed, made_again_and_more)
    assert {} == gone


@pytest.mark.slow  # that counters of 64 bits are read is in test_rtnetlink, and that they are true above
def test_more_than_four_gibibytes_are_counted(namespace, opened, tmp_path):
    before = collect_traffic()
    size, piece = (1 << 32) + (1 << 20), 1 << 20
    content = tmp_path / "content"
    content.write_bytes(bytes(piece))
    with opened(TCP, ("127.0.0.1", 0)) as listener:
        listener.listen()

        def pour(ready: int) -> None:
            with socket.socket() as source, content.open("rb") as file:
                source.connect(listener.getsockname())
                os.write(ready, b".")
                for _ in range(size // piece):
                    offset = 0
                    while offset < piece:  # from the file's pages, not copied
                        offset += os.sendfile(source.fileno(), file.fileno(), offset, piece - offset)

        with child(pour):
            sink, _ = listener.accept()
            left, buffer = size, bytearray(1 << 20)
            while left:
                left -= sink.recv_into(buffer, min(left, len(buffer)), socket.MSG_TRUNC)  # thrown away, not copied
            sink.close()
    grown = grown_since(before, collect_traffic())
    assert grown is not None
    assert size < grown.bytes_in < size * 1.1
    assert grown.bytes_in == grown.bytes_out
