"""A netlink answer is the whole of what was asked for, or an error."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import threading

import pytest

from defender_publisher.collectors import inet_diag, netlink, rtnetlink
from defender_publisher.collectors.netlink import NLMSG_ERROR, NetlinkError
from defender_publisher.collectors.table import ESTABLISHED, LISTEN
from tests.publisher.collectors.test_inet_diag import FakeKernel, connection, done, message, read, row
from tests.publisher.collectors.test_rtnetlink import attribute

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="netlink, recorded on a little-endian machine"
)


# Recorded: how a kernel (6.18) answers for a protocol it has no handler for, as one without udp_diag does for UDP: an
# empty dump, with -ENOENT in the payload of NLMSG_DONE.
EMPTY_DUMP = bytes.fromhex("14000000030002000100000070620000feffffff")


@pytest.mark.parametrize(
    ("datagrams", "sentence"),
    [
        ([EMPTY_DUMP], "No such file or directory"),
        ([connection(1), done(-errno.ENOENT)], "No such file"),
        ([message(NLMSG_ERROR, struct.pack("=i", -errno.EPERM) + bytes(16))], "Operation not permitted"),
        ([message(NLMSG_ERROR, b"")], "Input/output error"),
        ([connection(1)[:40]], "claims to be 72 bytes"),
        ([connection(1) + b"\0" * 8], "cut off"),
        ([connection(1) + b"\0" * 16], "claims to be 0 bytes"),
        ([bytes(40_000)], "longer than the kernel makes them"),
        ([message(20, bytes(20))], "a socket takes 36 bytes"),
        ([connection(1), done(flags=netlink.NLM_F_DUMP_INTR)], "changed meanwhile"),
        ([row(LISTEN, "::", 1, "::", flags=netlink.NLM_F_DUMP_INTR), done()], "changed meanwhile"),
    ],
)
def test_an_answer_that_is_not_the_whole_table_is_an_error(datagrams, sentence):
    with pytest.raises(NetlinkError, match=sentence):
        read(*datagrams)


def test_a_dump_that_was_interrupted_is_asked_for_again(monkeypatch):
    answers = [[done(flags=netlink.NLM_F_DUMP_INTR)], [connection(1), done()]]
    monkeypatch.setattr(inet_diag, "dump", lambda *_: netlink.receive(FakeKernel(*answers.pop(0)), 20))
    assert 1 == len(inet_diag.read_table("tcp", {ESTABLISHED}).rows)
    assert [] == answers


def test_a_protocol_the_kernel_does_not_have_is_a_permanent_refusal():
    with pytest.raises(NetlinkError) as raised:
        list(netlink.dump(31, 20, b"", 20))
    assert raised.value.permanent


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="netlink is Linux's")


PEER, OWN = socket.inet_aton("192.0.2.9"), socket.inet_aton("192.0.2.1")


def test_attributes_that_are_cut_off_are_not_read():
    message = attribute(1, OWN) + struct.pack("=HH", 200, 2) + OWN
    assert {1} == set(netlink.attributes(memoryview(message), 0))


def test_one_socket_does_for_many_questions_and_another_one_after_an_answer_that_was_not_read_to_its_end():
    kernel = netlink.Kernel(netlink.ROUTE)
    descriptors = set()
    for unread in (False, False, True, False, False):
        answer = kernel.dump(rtnetlink.RTM_GETLINK, rtnetlink.ALL_LINKS, rtnetlink.RTM_NEWLINK)
        first, stride = next(answer)
        assert "lo" == rtnetlink.parse_interface(first[:stride]).name
        if unread:
            answer.close()
            assert [] == kernel._idle
            continue
        list(answer)
        (idle,) = kernel._idle
        descriptors.add(idle)
    assert 2 == len(descriptors)
    kernel.close()
    assert {-1} == {each.fileno() for each in descriptors}


def test_threads_that_ask_at_once_have_an_answer_each():
    kernel = netlink.Kernel(netlink.ROUTE)
    asked = rtnetlink.RTM_GETLINK, rtnetlink.ALL_LINKS, rtnetlink.RTM_NEWLINK
    one, other = kernel.dump(*asked), kernel.dump(*asked)
    assert [bytes(each) for each, _ in one if next(other)] == [bytes(each) for each, _ in kernel.dump(*asked)]
    other.close()
    kernel.close()


def test_an_answer_that_takes_a_moment_is_waited_for_and_not_for_ever(monkeypatch):
    asker, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with asker, kernel:
        asker.setblocking(False)
        sending = threading.Timer(0.01, kernel.send, [connection(1)])
        sending.start()
        runs = netlink.receive(asker, 20)
        assert connection(1) == bytes(next(runs)[0])
        sending.join()
        asker.setblocking(False)
        monkeypatch.setattr(netlink, "PATIENCE", 0.01)
        with pytest.raises(TimeoutError):
            next(runs)
