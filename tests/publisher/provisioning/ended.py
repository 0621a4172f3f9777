"""The program, ended by SIGKILL at the step, or before the change of a file, that KILL_AT names: a test's wrapper.

KILL_AT=registered python -m tests.publisher.provisioning.ended --provision CONFIG
KILL_AT=#7 ...      at the seventh change of a file's name or content
KILL_AT=? ...       at none: prints every step, and at the end the number of changes
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from defender_publisher import sdk
from defender_publisher.__main__ import main
from defender_publisher.provisioning import calls, commands

KILL_AT = os.environ.get("KILL_AT", "")
CHANGES = ("replace", "symlink", "unlink", "mkdir", "fsync", "open")


class Steps(logging.Handler):
    """Hears each step that is done."""

    def emit(self, record: logging.LogRecord) -> None:
        step = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        if KILL_AT == "?":
            print("step", step, flush=True)
        if step == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)


def count_changes() -> list[int]:
    """End this process before the change whose number is asked for; return where the number of them is kept."""
    count = [0]

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            if name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT):
                count[0] += 1
                if f"#{count[0]}" == KILL_AT:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return change

    for name in CHANGES:
        setattr(os, name, counted(name, getattr(os, name)))
    return count


if __name__ == "__main__":
    steps = logging.getLogger("defender_publisher.provisioning.progress")
    steps.setLevel(logging.DEBUG)
    steps.addHandler(Steps())
    calls.APART = 0.0
    sdk.DISPATCH_INTERVAL = 0.05
    commands.sleep = lambda seconds: None
    count = count_changes()
    status = main(sys.argv[1:])
    if KILL_AT == "?":
        print("changes", count[0], flush=True)
    sys.exit(status)
