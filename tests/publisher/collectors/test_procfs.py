"""The reader of /proc/net's socket tables, on recorded text and on trees that look like a host's /proc."""

from __future__ import annotations

import logging

import pytest

from defender_publisher.collectors import procfs
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError
from tests.work import count_calls

HEADING = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

# Recorded: sshd on all addresses, two connections, one in TIME_WAIT, one half open (SYN_RECV), and one only bound.
TIMER = b"00000000:00000000 00:00000000 00000000"
TCP = HEADING + (
    b"   0: 00000000:0016 00000000:0000 0A %s     0        0 1151 1 0000000000000000 100 0 0 10 0\n"
    b"   1: 0502000A:0016 0202000A:C350 01 %s     0        0 1702 4 0000000000000000 20 4 29 10 -1\n"
    b"   2: 0502000A:0016 076433C6:0050 01 %s  1000        0 1703 4 0000000000000000 20 4 29 10 -1\n"
    b"   3: 0502000A:D431 076433C6:01BB 06 %s     0        0 0 3 0000000000000000\n"
    b"   4: 0502000A:0016 0402000A:C351 03 %s     0        0 0 1 0000000000000000\n"
    b"   5: 0100007F:1F90 00000000:0000 07 %s     0        0 1812 1 0000000000000000 100 0 0 10 0\n"
).replace(b"%s", TIMER)
TCP6 = HEADING + (
    b"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A "
    b"00000000:00000000 00:00000000 00000000     0        0 1153 1 0 100 0 0 10 0\n"
    b"   1: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:C352 01 "
    b"00000000:00000000 00:00000000 00000000     0        0 1153 1 0 100 0 0 10 0\n"
    b"   2: 0000000000000000FFFF00000502000A:1F90 0000000000000000FFFF00000202000A:C353 01 "
    b"00000000:00000000 00:00000000 00000000     0        0 1153 1 0 100 0 0 10 0\n"
)
UDP = HEADING + (
    b"  88: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1020 2 0 0\n"
    b"  97: 0100007F:B2E5 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 1021 2 0 0\n"
)

LISTENING = SocketRow(LISTEN, "0.0.0.0", 22, "0.0.0.0", 0)
CONNECTED = SocketRow(ESTABLISHED, "10.0.2.5", 22, "10.0.2.2", 50000)
CONNECTED_TO_PORT_80 = SocketRow(ESTABLISHED, "10.0.2.5", 22, "198.51.100.7", 80)


def parse(table, *states):
    return procfs.parse_rows(table, states, "little")


@pytest.fixture
def host(tmp_path):
    """A host's /proc as a container sees it; the test writes the tables it is about."""
    (tmp_path / "1" / "net").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([LISTEN], [LISTENING]),
        ([ESTABLISHED], [CONNECTED, CONNECTED_TO_PORT_80]),
        ([LISTEN, ESTABLISHED], [LISTENING, CONNECTED, CONNECTED_TO_PORT_80]),
        ([], []),
    ],
)
def test_only_sockets_in_the_wanted_states_are_listed(states, expected):
    assert expected == parse(TCP, *states)


def test_ipv6_is_printed_compressed_in_lower_case_and_mapped_ipv4_as_ipv4():
    expected = [
        SocketRow(LISTEN, "::", 22, "::", 0),
        SocketRow(ESTABLISHED, "2001:db8::1", 22, "2001:db8::2", 50002),
        SocketRow(ESTABLISHED, "10.0.2.5", 8080, "10.0.2.2", 50003),
    ]
    assert expected == parse(TCP6, LISTEN, ESTABLISHED)


def test_a_connected_udp_socket_is_not_one_that_anybody_can_send_to():
    assert [SocketRow(UNCONNECTED, "0.0.0.0", 68, "0.0.0.0", 0)] == parse(UDP, UNCONNECTED)


@pytest.mark.parametrize(
    ("byteorder", "printed", "expected"),
    [
        ("little", b"0100007F", "127.0.0.1"),
        ("big", b"7F000001", "127.0.0.1"),
        ("little", b"00000000000000000000000001000000", "::1"),
        ("big", b"00000000000000000000000000000001", "::1"),
        ("little", b"000080FE00000000FF00FC00010000FE", "fe80::fc:ff:fe00:1"),
        ("big", b"FE8000000000000000FC00FFFE000001", "fe80::fc:ff:fe00:1"),
        ("little", b"0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("big", b"00000000000000000000FFFF7F000001", "127.0.0.1"),
        ("little", b"0000000000000000FFFF000000000000", "0.0.0.0"),
        ("big", b"0000000000000000FFFF000001020304", "::ffff:0:102:304"),  # translated (RFC 2765), and not mapped
    ],
)
def test_addresses_are_words_in_the_hosts_byte_order(byteorder, printed, expected):
    assert expected == procfs.decode_address(printed, byteorder)


@pytest.mark.parametrize("number", [b"   0", b"9999", b"10000", b"123456"])
def test_a_row_number_of_any_width_does_not_shift_the_columns(number):
    row = number + b": 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1151 1 0\n"
    assert [LISTENING] == parse(HEADING + row, LISTEN)


@pytest.mark.parametrize(
    "garbage",
    [
        b"   0: 00000000:0016 00000000:0000 0A",
        b"   0: 00000000:0016",
        b"garbage",
        b"   0: 00000000 00000000:0000 0A 0:0 0:0 0",
        b"   0: 00000000:0016:17 00000000:0000 0A 0:0 0:0 0",
        b"   0: 000000:0016 00000000:0000 0A 0:0 0:0 0",
        b"   0: 0000000:0016 00000000:0000 0A 0:0 0:0 0",
        b"   0: 0000000000:0016 00000000:0000 0A 0:0 0:0 0",
        b"   0: 0000000000000000:0016 00000000:0000 0A 0:0 0:0 0",
        b"   0: 0000000G:0016 00000000:0000 0A 0:0 0:0 0",
        b"   0: 00000000:001G 00000000:0000 0A 0:0 0:0 0",
    ],
)
def test_a_line_that_is_no_row_is_skipped_with_a_debug_line_and_the_others_stay(garbage, caplog):
    caplog.set_level(logging.DEBUG, "defender_publisher")
    assert [LISTENING] == parse(HEADING + garbage + b"\n" + TCP.splitlines()[1] + b"\n", LISTEN)
    assert ["DEBUG"] == [record.levelname for record in caplog.records]


def test_rows_the_kernel_repeats_are_the_same_row():
    row = TCP.splitlines(keepends=True)[1]
    assert {LISTENING} == set(parse(HEADING + row + row, LISTEN))


@pytest.mark.parametrize("count", [50, 5_000])
def test_of_many_rows_each_takes_a_few_calls(count):
    """As many of a long table as of a short one; no address is shared by any two rows."""
    rows = (
        b"%4d: 0502000A:0016 %08X:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n"
        % (number, number)
        for number in range(count)
    )
    table, found = HEADING + b"".join(rows), []
    assert count_calls(lambda: found.extend(parse(table, LISTEN, ESTABLISHED))) < 25 * count
    assert count == len(found)


def test_the_hosts_tables_are_those_of_its_process_1(host):
    (host / "1" / "net" / "tcp").write_bytes(TCP)
    (host / "1" / "net" / "tcp6").write_bytes(TCP6)
    expected = [LISTENING, SocketRow(LISTEN, "::", 22, "::", 0)]
    assert expected == procfs.read_rows("tcp", [LISTEN], str(host))


@pytest.mark.parametrize(
    ("path", "expected"), [("/proc", "/proc/net"), ("/proc/", "/proc/net"), ("/host", "/host/1/net")]
)
def test_net_directory_is_that_of_process_1_only_for_another_proc(path, expected):
    assert expected == procfs.net_directory(path)


def test_a_missing_ipv6_table_means_that_ipv6_is_off(host):
    (host / "1" / "net" / "udp").write_bytes(UDP)
    assert [SocketRow(UNCONNECTED, "0.0.0.0", 68, "0.0.0.0", 0)] == procfs.read_rows("udp", [UNCONNECTED], str(host))


def test_a_table_without_sockets_holds_none(host):
    (host / "1" / "net" / "tcp").write_bytes(HEADING)
    assert [] == procfs.read_rows("tcp", [LISTEN], str(host))


@pytest.mark.parametrize("missing", ["tcp", "udp"])
def test_a_missing_ipv4_table_is_an_error_that_names_it(host, missing):
    (host / "1" / "net" / f"{missing}6").write_bytes(HEADING)
    with pytest.raises(CollectError, match=f"cannot read .*/1/net/{missing}: No such file or directory"):
        procfs.read_rows(missing, [LISTEN], str(host))


@pytest.mark.parametrize("empty", ["tcp", "tcp6"])
def test_a_table_without_a_heading_is_an_error_and_not_an_empty_list(host, empty):
    (host / "1" / "net" / "tcp").write_bytes(TCP)
    (host / "1" / "net" / empty).write_bytes(b"")
    with pytest.raises(CollectError, match=f"{empty} is empty"):
        procfs.read_rows("tcp", [LISTEN], str(host))


def test_an_ipv6_table_that_cannot_be_read_is_an_error(host):
    (host / "1" / "net" / "tcp").write_bytes(TCP)
    (host / "1" / "net" / "tcp6").mkdir()
    with pytest.raises(CollectError, match=r"tcp6: Is a directory"):
        procfs.read_rows("tcp", [LISTEN], str(host))
