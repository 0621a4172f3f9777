"""Nothing that is put into the main thread's mailbox is missed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_detect.errors import BrokerError
from defender_detect.mailbox import Mailbox

ROOT = Path(__file__).resolve().parent.parent.parent
LATE = """
import os, signal, threading
from defender_detect.errors import BrokerError
from defender_detect.mailbox import Mailbox
mailbox = Mailbox(signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # so that only another thread can take it
def take():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    os.kill(os.getpid(), signal.SIGHUP)
    threading.Event().wait()
threading.Timer(0.3, take).start()
print(mailbox.wait(20), mailbox.wait(0.1), flush=True)
threading.Timer(0.3, mailbox.put, [BrokerError("gone")]).start()
try:
    mailbox.wait(20)
except BrokerError as error:
    print(error, flush=True)
os._exit(0)
"""


def test_signals_that_another_thread_takes_and_errors_wake_the_main_thread_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert ("1 None\ngone\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    before = signal.set_wakeup_fd(-1)
    made = Mailbox()
    yield made
    signal.set_wakeup_fd(before)
    made._ours.close()
    made._theirs.close()


def test_an_error_is_told_although_signals_fill_the_mailbox(mailbox: Mailbox) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            mailbox._theirs.send(bytes([signal.SIGHUP]) * 1000)
    mailbox.put(BrokerError("gone"))
    with pytest.raises(BrokerError, match="gone"):
        mailbox.wait(60)
    assert mailbox.wait(60) == signal.SIGHUP


def test_an_error_that_a_signal_told_of_is_told_once(mailbox: Mailbox) -> None:
    mailbox._theirs.send(bytes([signal.SIGHUP]))
    mailbox.put(BrokerError("gone"))
    with pytest.raises(BrokerError):
        mailbox.wait(60)
    assert mailbox.wait(60) is None
