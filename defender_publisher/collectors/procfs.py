"""The socket tables in /proc/net: `tcp`, `tcp6`, `udp` and `udp6`, a line per socket."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import struct
import sys
from binascii import unhexlify
from collections.abc import Collection

from defender_publisher.collectors.table import SocketRow, unmapped
from defender_publisher.errors import CollectError

OWN_PROCFS = "/proc"
FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by the length of the address in bytes

logger = logging.getLogger("defender_publisher")


def is_own(procfs_path: str) -> bool:
    """Tell whether a /proc is this process's own, and not a host's seen from a container."""
    return os.path.normpath(procfs_path) == OWN_PROCFS


def net_directory(procfs_path: str) -> str:
    """Return where a /proc keeps its network tables.

    `net` is a link to `self/net`, the network namespace of whoever reads it, so the host's is that of its process 1.
    """
    return os.path.join(procfs_path, "net") if is_own(procfs_path) else os.path.join(procfs_path, "1", "net")


def has_tables(procfs_path: str) -> bool:
    """Tell whether to read network tables from /proc: where it has them, and wherever the operator named one.

    A /proc that was named and is not there has to be an error; reading the container's sockets instead would be a lie.
    """
    return not is_own(procfs_path) or os.path.isdir(net_directory(procfs_path))


def read_rows(protocol: str, states: Collection[int], procfs_path: str = OWN_PROCFS) -> list[SocketRow]:
    """Return the sockets of "tcp" or "udp" over IPv4 and IPv6 that are in one of the states (see `table`).

    Raises CollectError. A missing IPv6 table is none: that is how Linux looks with IPv6 switched off.
    """
    ipv4 = os.path.join(net_directory(procfs_path), protocol)
    ipv6 = ipv4 + "6"
    rows = parse_rows(read_table(ipv4), states)
    return rows + parse_rows(read_table(ipv6), states) if os.path.exists(ipv6) else rows


def read_table(path: str) -> bytes:
    """Return a table of /proc/net; raises CollectError, also for an empty one, because it has a heading at least."""
    table = read_file(path)
    if not table:
        raise CollectError(f"{path} is empty, without even a heading")
    return table


def read_file(path: str) -> bytes:
    """Return a file of /proc or /sys, which can be empty; raises CollectError, also for what is no file.

    A procfs_path is the operator's to name, and a FIFO that lies below it would block for ever.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return file.read()
    except OSError as error:
        raise CollectError(f"cannot read {path}: {error.strerror}") from error


def _without_waiting(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "Not a regular file", path)


def read_text(path: str) -> str:
    """Return a table of /proc/net as text, with marks for what is not UTF-8 in an interface's name (see `text`)."""
    return read_table(path).decode(errors="replace")


def parse_rows(table: bytes, states: Collection[int], byteorder: str = sys.byteorder) -> list[SocketRow]:
    """Return the rows of a socket table that are in one of the states, in the table's order.

    Columns are found by the blanks between them, since the first one widens at row 10,000. The state is looked at
    before anything else: a busy gateway's table is mostly TIME_WAIT. A line that is no row is skipped: the kernel does
    not hand out the table in one piece, and sockets come and go meanwhile.
    """
    wanted = {b"%02X" % state: state for state in states}
    addresses = _Addresses(byteorder)
    rows = []
    for line in table.splitlines()[1:]:
        try:
            _, local, remote, code, _ = line.split(None, 4)
            if code in wanted:
                rows.append(SocketRow(wanted[code], *_endpoint(local, addresses), *_endpoint(remote, addresses)))
        except ValueError:
            logger.debug("skipped a line that is no socket: %r", line)
    return rows


def decode_address(printed: bytes, byteorder: str) -> str:
    """Return the address that /proc prints as 8 or 32 hex digits: 32-bit words, each in the host's byte order."""
    packed = unhexlify(printed)
    if byteorder == "little":
        words = len(packed) // 4
        packed = struct.pack(f"<{words}I", *struct.unpack(f">{words}I", packed[: 4 * words]))
    if len(packed) not in FAMILIES or len(printed) != 2 * len(packed):
        raise ValueError(f"no address: {printed!r}")
    return unmapped(socket.inet_ntop(FAMILIES[len(packed)], packed))


class _Addresses(dict[bytes, str]):
    """The addresses decoded so far, by how /proc prints them: thousands of sockets share a few."""

    def __init__(self, byteorder: str) -> None:
        super().__init__()
        self._byteorder = byteorder

    def __missing__(self, printed: bytes) -> str:
        address = self[printed] = decode_address(printed, self._byteorder)
        return address


def _endpoint(printed: bytes, addresses: _Addresses) -> tuple[str, int]:
    address, port = printed.split(b":")
    return addresses[address], int(port, 16)
