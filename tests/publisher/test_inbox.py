"""However many messages a broker sends, few are kept, and the newest of them."""

from __future__ import annotations

import threading

import pytest

from defender_publisher.inbox import LONGEST, MOST, Inbox, Message


def test_messages_come_out_in_their_order_and_none_is_waited_for_in_vain() -> None:
    inbox = Inbox()
    inbox.put(Message("a", b"1"))
    inbox.put(Message("b", b"2"))
    assert [Message("a", b"1"), Message("b", b"2"), None] == [inbox.get(0.01) for _ in range(3)]


def test_a_flood_leaves_the_newest_and_counts_the_rest() -> None:
    inbox = Inbox()
    for number in range(10 * MOST):
        inbox.put(Message("a", b"%d" % number))
    kept = inbox.take_all()
    assert (MOST, b"%d" % (10 * MOST - 1), 9 * MOST) == (len(kept), kept[-1].payload, inbox.left_out)
    assert [] == inbox.take_all()


def test_a_message_that_is_too_long_for_a_verdict_is_left_out() -> None:
    inbox = Inbox()
    inbox.put(Message("a", bytes(LONGEST + 1)))
    inbox.put(Message("a", bytes(LONGEST)))
    assert (1, 1) == (len(inbox.take_all()), inbox.left_out)


def test_who_waits_is_told_that_nothing_more_will_come_after_the_last_message() -> None:
    inbox = Inbox()
    inbox.put(Message("a", b"1"))
    threading.Timer(0.1, inbox.close).start()
    assert Message("a", b"1") == inbox.get(60)
    with pytest.raises(EOFError):
        inbox.get(60)
