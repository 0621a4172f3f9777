"""No signal is missed, whenever it comes and whichever thread it meets."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
LATE = """
import os, signal, sys, threading
from defender_daemon.signals import Signals
signals = Signals(signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])  # so that only another thread can take them
def take():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGHUP])
    threading.Event().wait()
threading.Thread(target=take, daemon=True).start()
print("ready", flush=True)
print(signals.wait(3600), signals.wait(0.2), flush=True)
"""


def test_a_signal_that_another_thread_takes_wakes_the_main_thread_at_once() -> None:
    """As does one that comes right before the main thread sleeps: its sleep is not interrupted either."""
    process = subprocess.Popen([sys.executable, "-c", LATE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    time.sleep(0.3)
    process.terminate()
    said, _ = process.communicate(timeout=PATIENCE)
    assert ("15 None\n", 0) == (said, process.returncode)
