"""Exceptions injected into a program that runs: what it calls is observed first, then each function raises in turn."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import defender_publisher

PACKAGE = str(Path(defender_publisher.__file__).parent)
Hook = Callable[[FrameType, str, object], None]


class Injected(Exception):
    """Nothing the program could have foreseen."""


@contextmanager
def watched(hook: Hook) -> Iterator[None]:
    """Call `hook` whenever a function is called in this thread, or in one that is started meanwhile."""
    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


class Calls:
    """The package's functions that were called, in order, each with the names of the threads that called it.

    `by_sdk` are those that AWSIoTPythonSDK called.
    """

    def __init__(self) -> None:
        self.threads: dict[CodeType, set[str]] = {}
        self.by_sdk: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and has_a_name(code):
            self.threads.setdefault(code, set()).add(threading.current_thread().name)
            if frame.f_back is not None and "AWSIoTPythonSDK" in frame.f_back.f_code.co_filename:
                self.by_sdk.add(code)


class Injection:
    """Raises `Injected` in the first call of one function (Python takes a hook that raised away from its thread)."""

    def __init__(self, code: CodeType) -> None:
        self._code = code
        self.done = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is self._code and not self.done:
            self.done = True
            raise Injected(name_of(self._code))


def has_a_name(code: CodeType) -> bool:
    """Tell whether the code is a function's, and not a comprehension's, which fails where its function does."""
    return code.co_name == "<lambda>" or not code.co_name.startswith("<")


def name_of(code: CodeType) -> str:
    """Return where a function is, for messages."""
    return f"{Path(code.co_filename).stem}.{getattr(code, 'co_qualname', code.co_name)}:{code.co_firstlineno}"
