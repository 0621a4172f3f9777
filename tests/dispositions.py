"""What a process inherits about signals, put back: `nohup make test &` lets its children ignore some of them."""

from __future__ import annotations

import signal

# A shell lets a job in the background ignore the first two, nohup the third; Python leaves them so, and so do children.
INHERITED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


def restore_signals() -> None:
    """Let this process, and what it starts, end by the signals that a person at a terminal sends."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INHERITED)
    for number in INHERITED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
