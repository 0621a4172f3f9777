"""PyFlink where it is not installed: whatever is asked of it is taken down, and nothing runs."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

FLINK = Path(__file__).resolve().parents[2] / "defender_detect" / "flink"
IMPORTED = re.compile(r"from (pyflink[\w.]*) import")

Call = tuple[str, tuple[Any, ...]]


class Fake:
    """A class, an object or a function of PyFlink, with the calls that it came from, and all calls of its module."""

    def __init__(self, log: list[Call], chain: tuple[Call, ...] = (), name: str = "") -> None:
        self.log, self.chain, self.called = log, chain, name

    def __getattr__(self, name: str) -> Fake:
        if name.startswith("__"):
            raise AttributeError(name)
        return Fake(self.log, self.chain, name)

    def __call__(self, *arguments: Any, **_: Any) -> Fake:
        call = (self.called, arguments)
        self.log.append(call)
        return Fake(self.log, (*self.chain, call), "")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)  # as a base class it adds nothing

    @property
    def settings(self) -> dict[str, tuple[Any, ...]]:
        """The arguments of the calls that it came from, by their names."""
        return dict(self.chain)


class Stream:
    """A stream whose elements are there already; `ends` has what went into each sink or operator, by its uid."""

    def __init__(self, items: list[str], ends: dict[str, list[str]]) -> None:
        self.items, self.ends = items, ends

    def filter(self, keeps: Callable[[str], bool]) -> Stream:
        return Stream([each for each in self.items if keeps(each)], self.ends)

    def map(self, function: Any, kind: Any = None) -> Stream:
        return Stream(list(map(function, self.items)) if callable(function) else self.items, self.ends)

    def key_by(self, key: Callable[[str], str], key_type: Any = None) -> Stream:
        self.ends["keys"] = list(map(key, self.items))
        return self

    def process(self, function: Any, kind: Any = None) -> Stream:
        return self

    def sink_to(self, sink: Any) -> Stream:
        return self

    def name(self, name: str) -> Stream:
        return self

    def uid(self, uid: str) -> Stream:
        self.ends[uid] = self.items
        return self


@contextmanager
def imported(module: str) -> Iterator[tuple[ModuleType, list[Call]]]:
    """A module of the job that was imported with this PyFlink, and the calls; afterwards it was never imported."""
    log: list[Call] = []
    needing = {path.stem: set(IMPORTED.findall(path.read_text())) for path in FLINK.glob("*.py")}
    fakes = {name: Fake(log) for name in {"pyflink", *(name for names in needing.values() for name in names)}}
    fresh = {f"defender_detect.flink.{name}" for name, names in needing.items() if names}
    before = {name: sys.modules.pop(name) for name in {*fresh, *fakes} if name in sys.modules}
    sys.modules.update(fakes)  # type: ignore[arg-type]
    try:
        yield importlib.import_module(f"defender_detect.flink.{module}"), log
    finally:
        for name in {*fresh, *fakes}:
            sys.modules.pop(name, None)
        sys.modules.update(before)
