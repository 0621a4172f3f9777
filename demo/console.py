"""The console in the demo: a page to look at while it runs, where its packages are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from demo.programs import program, say, show

PACKAGES = ("jinja2", "starlette", "uvicorn")  # of defender_detect/console-requirements.txt, which want Python 3.11


@contextlib.contextmanager
def console(config: Path, port: int) -> Iterator[None]:
    """Run amazon-defender-detect console beside Detect until it is left; without its packages the demo goes on."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        say(f"there is no page to look at: {', '.join(missing)} cannot be had with this Python (3.11 or later can)")
        yield
        return

    def hear(line: str | None) -> None:
        if line is not None:
            show("console", line)

    with program(["amazon-defender-detect", "console", config, "--console-port", port], hear):
        yield
