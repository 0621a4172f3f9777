"""The demo's programs: each runs as an operator would run it, and every line it says is shown with its name."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def program(command: Sequence[object], hear: Callable[[str | None], None]) -> Iterator[subprocess.Popen[str]]:
    """Run one of the two scripts; `hear` is called with each line it says, and with None at the end."""
    script, *arguments = map(str, command)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which ends its programs in order
    )
    listener = threading.Thread(target=listen, args=(process.stdout, hear), daemon=True)
    listener.start()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        listener.join(2)


def listen(stream: IO[str], hear: Callable[[str | None], None]) -> None:
    """Hand a program's lines on."""
    for line in stream:
        hear(line.rstrip())
    hear(None)


def say(text: str) -> None:
    """Print a line of the demo's own."""
    show("demo", text)


def show(name: str, line: str) -> None:
    """Print a program's line with its name before it."""
    print(f"{name:9} | {line}", flush=True)


def name_of(path: Path) -> str:
    """Return a path as a person types it in the project's directory."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
