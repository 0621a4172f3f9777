"""Where there is neither netlink nor /proc the sockets are read by psutil."""

from __future__ import annotations

import sys
from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import procfs, psutil_sockets
from defender_publisher.collectors.sockets import select_reader
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError

Endpoint = namedtuple("Endpoint", "ip port")


PsutilConnection = namedtuple("PsutilConnection", "laddr raddr status")  # what of psutil's connections is looked at


def test_a_system_without_proc_is_read_by_psutil(monkeypatch, tmp_path):
    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert psutil_sockets.read_rows == select_reader(str(tmp_path))


@pytest.mark.parametrize(
    ("protocol", "connection", "expected"),
    [
        (
            "tcp",
            PsutilConnection(Endpoint("::", 22), (), psutil.CONN_LISTEN),
            [SocketRow(LISTEN, "::", 22, "", 0)],
        ),
        (
            "tcp",
            PsutilConnection(Endpoint("::ffff:10.0.0.1", 22), Endpoint("::ffff:10.0.0.2", 5), psutil.CONN_ESTABLISHED),
            [SocketRow(ESTABLISHED, "10.0.0.1", 22, "10.0.0.2", 5)],
        ),
        (
            "tcp",
            PsutilConnection(Endpoint("fe80::1%en0", 22), Endpoint("fe80::2%en0", 5), psutil.CONN_ESTABLISHED),
            [SocketRow(ESTABLISHED, "fe80::1", 22, "fe80::2", 5)],
        ),
        ("tcp", PsutilConnection(Endpoint("10.0.0.1", 22), Endpoint("10.0.0.2", 5), psutil.CONN_TIME_WAIT), []),
        ("tcp", PsutilConnection(Endpoint("10.0.0.1", 22), Endpoint("10.0.0.2", 5), psutil.CONN_SYN_RECV), []),
        ("tcp", PsutilConnection((), (), psutil.CONN_CLOSE), []),
        (
            "udp",
            PsutilConnection(Endpoint("0.0.0.0", 53), (), psutil.CONN_NONE),
            [SocketRow(UNCONNECTED, "0.0.0.0", 53, "", 0)],
        ),
        (
            "udp",
            PsutilConnection(Endpoint("0.0.0.0", 53), Endpoint("0.0.0.0", 0), psutil.CONN_NONE),
            [SocketRow(UNCONNECTED, "0.0.0.0", 53, "0.0.0.0", 0)],
        ),
        (
            "udp",
            PsutilConnection(Endpoint("10.0.0.1", 5), Endpoint("10.0.0.2", 53), psutil.CONN_NONE),
            [SocketRow(ESTABLISHED, "10.0.0.1", 5, "10.0.0.2", 53)],
        ),
        ("udp", PsutilConnection(Endpoint("0.0.0.0", 0), (), psutil.CONN_NONE), []),
        ("udp", PsutilConnection((), (), psutil.CONN_NONE), []),
    ],
)
def test_psutils_connections_become_rows(protocol, connection, expected):
    assert expected == list(psutil_sockets.rows_of(protocol, [connection]))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (psutil.AccessDenied(pid=1), "run the agent as root"),
        (psutil.NoSuchProcess(pid=1), "psutil cannot list the sockets"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_a_refusal_of_psutil_says_what_to_do(monkeypatch, error, sentence):
    def refuse(kind):
        raise error

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with pytest.raises(CollectError, match=sentence):
        psutil_sockets.read_rows("tcp", {LISTEN})
