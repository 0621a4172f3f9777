"""Nothing that is put into the main thread's mailbox is missed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
