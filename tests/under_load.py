"""Run a command several times while every core is busy: `python -m tests.under_load 3 make test`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

BUSY = "while True: pass"


@contextlib.contextmanager
def every_core_busy() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Let a child of ours compute on each core; they end with the block."""
    children = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def run_under_load(times: int, command: list[str]) -> int:
    """Run a command so many times in a row; return the status of the first that fails, or 0."""
    with every_core_busy():
        for number in range(1, times + 1):
            print(f"under load, {number} of {times}: {' '.join(command)}", flush=True)
            if status := subprocess.run(command).returncode:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(run_under_load(int(sys.argv[1]), sys.argv[2:]))
