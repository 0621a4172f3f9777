"""The outline that the daemons share: how a program begins, and the exit status with which it ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence

from defender_daemon.errors import ConfigError, DefenderError, HungError
from defender_daemon.text import print_all, printable_lines

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_MISSING, EXIT_HUNG, EXIT_CONFIG = 69, 75, 78  # EX_UNAVAILABLE, EX_TEMPFAIL and EX_CONFIG of sysexits.h


def begin() -> None:
    """Let nothing that blocks before the jobs run hold SIGTERM up, and no letter keep an answer from being printed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print_all(sys.stdout)


def carry_out(run: Callable[[], int], program: str, packages: Sequence[str], asks: bool, is_daemon: bool) -> int:
    """Do what the command line asks for; return the exit status, once it is said what is wrong.

    `packages` are those that the program needs, `asks` is whether somebody wants an answer, which an interrupt or a
    reader who leaves cuts short, `is_daemon` whether the journal has what is said.
    """
    try:
        status = run()
        if sys.stdout is not None:  # which whoever started this may have closed
            sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return status
    except HungError as error:
        from defender_daemon.jobs import end_hung  # here, because whoever asks does without

        return end_hung(error, EXIT_HUNG)
    except DefenderError as error:
        doctor = f" ({program} doctor finds out more)" if is_daemon else ""
        print(printable_lines(str(error)) + doctor, file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except ModuleNotFoundError as error:
        from defender_start import say_missing

        say_missing(program, error, tuple(packages))
        return EXIT_MISSING
    except KeyboardInterrupt:
        return EXIT_FAILED if asks else EXIT_OK
    except BrokenPipeError:
        return _end_unread(program, asks)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        let_go_of_output()
        print(f"{program}: the output cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED


def _end_unread(program: str, asks: bool) -> int:
    """Take leave of a reader who has gone; an answer that was cut off is no success."""
    let_go_of_output()
    if not asks:
        return EXIT_OK
    print(f"{program}: the output was closed before its end", file=sys.stderr)
    return EXIT_FAILED


def let_go_of_output() -> None:
    """Write nothing more: Python would complain when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
