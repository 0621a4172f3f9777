"""The messages in which the kernel describes sockets (inet_diag_msg in linux/inet_diag.h), turned into rows."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import cast

from defender_daemon.text import name_of
from defender_publisher.collectors.netlink import is_constant
from defender_publisher.collectors.table import LocalEnd, SocketRow, unmapped

Fields = tuple[int, int, int, int, bytes, bytes, bytes]  # a socket as it is in a message: what `ROW` unpacks to

# After the netlink header: family, state; local and remote port, local and remote address, in network order; interface
# index, in the host's. More follows: how much differs between users, kernels and states.
ROW = "!16xBBxxHH16s16s4s"
END = "!16xB7x16s16x4s"
ROW_SIZE = struct.calcsize(ROW)
fields_at: Callable[[bytes | bytearray | memoryview, int], Fields] = struct.Struct(
    ROW
).unpack_from  # of the message at an offset
FAMILY, STATE, IDENTITY = 16, 17, slice(20, ROW_SIZE)  # where in a message; a socket's identity: ports to interface
ADDRESS_WORD, INTERFACE_WORD = 24 // 4, 56 // 4
ADDRESS_SIZES = {socket.AF_INET: 4, socket.AF_INET6: 16}
IPV4 = struct.Struct("=I12x")  # an address in the 16 bytes that there are for either family
UNBOUND = bytes(4)

End = tuple[int, bytes, bytes]  # a local end as it is in a message: family, address, interface index


def fields_of(run: memoryview, stride: int) -> Iterator[Fields]:
    """Yield the fields (`ROW`) of a run of messages that are `stride` bytes long."""
    return cast("Iterator[Fields]", struct.iter_unpack(f"{ROW}{stride - ROW_SIZE}x", run))


def ends_of(run: memoryview, stride: int) -> set[End]:
    """Return the different local ends in a run.

    Of the usual run, all IPv4 and bound to no interface, whole columns are compared at once: a loop over the rows would
    take a fifth of the time the kernel takes to list them.
    """
    if stride % 4 == 0 and run[FAMILY] == socket.AF_INET and is_constant(run[FAMILY::stride]):
        words, step = run.cast("I"), stride // 4
        if not words[INTERFACE_WORD] and is_constant(words[INTERFACE_WORD::step]):
            addresses = words[ADDRESS_WORD::step]
            different = addresses[:1] if is_constant(addresses) else set(addresses.tolist())
            return {(run[FAMILY], IPV4.pack(word), UNBOUND) for word in different}
    return set(struct.iter_unpack(f"{END}{stride - ROW_SIZE}x", run))


class Decoder:
    """Turns fields of messages into text: once for each address and interface, since thousands of sockets share a few.

    It is made for one look, because an index can be another interface's at the next.
    """

    def __init__(self, interface_name: Callable[[int], str] = socket.if_indextoname) -> None:
        self._texts = {int(family): _Texts(family) for family in ADDRESS_SIZES}
        self._names = _Names(interface_name)

    def row(self, fields: Fields) -> SocketRow:
        """Return a socket in words."""
        family, state, local_port, remote_port, local, remote, interface = fields
        texts = self._texts[family]
        return SocketRow(state, texts[local], local_port, texts[remote], remote_port, self._names[interface])

    def end(self, end: End) -> LocalEnd:
        """Return a local end in words."""
        family, address, interface = end
        return LocalEnd(self._texts[family][address], self._names[interface])


class _Texts(dict[bytes, str]):
    """Addresses of a family as text, by their bytes."""

    def __init__(self, family: int) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, address: bytes) -> str:
        plain = address[: ADDRESS_SIZES[self._family]]  # type: ignore[index]
        text = self[address] = unmapped(socket.inet_ntop(self._family, plain))
        return text


class _Names(dict[bytes, str]):
    """Interface names by the index that is in a message; "" for none, and for one that is gone meanwhile."""

    def __init__(self, interface_name: Callable[[int], str]) -> None:
        super().__init__({UNBOUND: ""})
        self._interface_name = interface_name

    def __missing__(self, index: bytes) -> str:
        try:
            name = name_of(self._interface_name(int.from_bytes(index, sys.byteorder)))
        except OSError:
            name = ""
        self[index] = name
        return name
