"""Netlink: asking the Linux kernel for one of its tables, and receiving it piece by piece (netlink(7))."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, suppress

from defender_publisher.errors import CollectError

ROUTE, SOCK_DIAG = 0, 4  # protocols (linux/netlink.h)
AF_NETLINK = 16  # Python has the name on Linux only
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR = 0x10  # the table changed in a way that may have made the dump inconsistent
REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
STATUS = struct.Struct("=i")  # the payload of NLMSG_ERROR and NLMSG_DONE: 0, or a negative errno
BUFFER = 32 * 1024  # bytes; the kernel never packs more into one datagram of a dump (af_netlink.c)
PATIENCE = 5.0  # seconds; the kernel answers at once, so this only bounds what should never happen
ATTEMPTS = 4  # at a dump that is interrupted by changes; each takes less than a millisecond

# Answers that stay the same however often one asks: no handler in this kernel, or a sandbox that forbids netlink.
PERMANENT = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.ENOENT,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
    }
)

Run = tuple[memoryview, int]  # messages of one length back to back, and that length; valid until the next one is asked


class NetlinkError(CollectError):
    """The kernel did not hand out a table by netlink; `permanent` says that it never will."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(f"netlink: {reason}")
        self.permanent = number in PERMANENT


class Interrupted(NetlinkError):
    """The table changed while it was handed out; another attempt can succeed."""


class Kernel:
    """One protocol of the kernel, asked one thing after another, by any thread, on a socket that stays open between.

    To make and close a socket takes as long as the kernel takes for 30 connections, and its first datagram is small.
    """

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._idle: list[socket.socket] = []  # one for each thread that ever asked while another one did

    def dump(self, message_type: int, request: bytes, answer_type: int) -> Iterator[Run]:
        """Yield the kernel's whole answer to a dump request, as runs of messages of one length; raises NetlinkError.

        The buffer is used again for the next run, so that a table of any length takes the same memory.
        """
        try:
            kernel = self._take()
            try:
                kernel.send(HEADER.pack(HEADER.size + len(request), message_type, REQUEST_DUMP, 1, 0) + request)
                yield from receive(kernel, answer_type)
            except BaseException:
                kernel.close()  # what is left of this answer would be taken for the next one
                raise
        except OSError as error:  # ENOBUFS and a time-out, too
            raise NetlinkError(error.strerror or str(error), error.errno or 0) from error
        self._idle.append(kernel)

    def close(self) -> None:
        """Close what is open; another question opens it again."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> socket.socket:
        with suppress(IndexError):
            return self._idle.pop()
        return socket.socket(AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, self._protocol)


def dump(protocol: int, message_type: int, request: bytes, answer_type: int) -> Iterator[Run]:
    """Yield the answer to one question (see `Kernel.dump`)."""
    with closing(Kernel(protocol)) as kernel:
        yield from kernel.dump(message_type, request, answer_type)


def receive(kernel: socket.socket, answer_type: int) -> Iterator[Run]:
    """Yield the messages that arrive until the one that ends a dump; raises NetlinkError, Interrupted at the end."""
    buffer = bytearray(BUFFER)
    view, flags = memoryview(buffer), 0
    while True:
        try:
            size = kernel.recv_into(buffer, BUFFER, socket.MSG_TRUNC)  # the datagram's, even if the buffer is too small
        except BlockingIOError:  # Linux has an answer ready before anybody waits for it
            kernel.settimeout(PATIENCE)
            continue
        if size > BUFFER:
            raise NetlinkError("a datagram was longer than the kernel makes them")
        block = view[:size]
        stride = even_stride(block, answer_type)
        if stride:
            flags |= HEADER.unpack_from(block)[2]
            yield block, stride
            continue
        for offset, length, kind, its_flags in messages(block):
            flags |= its_flags
            if kind == NLMSG_DONE:
                return _end(block[offset : offset + length], flags)
            if kind == NLMSG_ERROR:
                _raise_status(block[offset : offset + length])
            elif kind == answer_type:
                yield block[offset : offset + length], length


def even_stride(block: memoryview, answer_type: int) -> int:
    """Return the length of each message if all in a block are answers of one length, or 0.

    Every length is looked at, but in no loop of Python's: a busy gateway has 50,000 messages in 194 such blocks.
    """
    if len(block) < HEADER.size:
        return 0
    length, kind, _, _, _ = HEADER.unpack_from(block)
    if kind != answer_type or length < HEADER.size or length % 4 or len(block) % length:
        return 0
    words, step = block.cast("I"), length // 4
    return length if is_constant(words[::step]) and is_constant(words[1::step]) else 0


def is_constant(column: memoryview) -> bool:
    """Tell whether all values in a column are the same: each is compared with the next, in C (2 ns a value)."""
    return column[1:] == column[:-1]


def messages(block: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield offset, length, type and flags of every message in a block; raises NetlinkError where one is cut off."""
    offset = 0
    while offset < len(block):
        if len(block) - offset < HEADER.size:
            raise NetlinkError("a message is cut off")
        length, kind, flags, _, _ = HEADER.unpack_from(block, offset)
        if not HEADER.size <= length <= len(block) - offset:
            raise NetlinkError(f"a message claims to be {length} bytes long")
        yield offset, length, kind, flags
        offset += length + 3 & ~3


def attributes(message: memoryview, offset: int) -> dict[int, memoryview]:
    """Return the attributes (rtattr: length, type, value) of a message by type, from an offset to its end."""
    found = {}
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if not 4 <= length <= len(message) - offset:
            break
        found[kind] = message[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return found


def available() -> bool:
    """Tell whether this system has netlink at all."""
    return sys.platform.startswith("linux")


def _end(done: memoryview, flags: int) -> None:
    """Look at how a dump ended: a kernel that lacks a table's handler sends an empty dump, and its error is here."""
    if len(done) >= HEADER.size + STATUS.size:
        _raise_status(done)
    if flags & NLM_F_DUMP_INTR:
        raise Interrupted("the table changed meanwhile")


def _raise_status(message: memoryview) -> None:
    (status,) = STATUS.unpack_from(message, HEADER.size) if len(message) >= HEADER.size + STATUS.size else (-errno.EIO,)
    if status < 0:
        raise NetlinkError(os.strerror(-status), -status)
