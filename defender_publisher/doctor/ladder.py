"""The ladder: rungs that are climbed in order, each bounded in time, up to the first that fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from defender_publisher.doctor.case import Case
from defender_publisher.errors import DefenderError, Problem

OK, FAIL, NOT_TRIED = "ok", "fail", "not tried"
LONGEST = 15.0  # seconds that a rung may take; nobody waits longer before a screen that says nothing
MARKS = {OK: "OK", FAIL: "FAIL", NOT_TRIED: "-"}
NAME_WIDTH = 22  # columns; the longest name is "issued for this thing"

T = TypeVar("T")


class Step(msgspec.Struct, frozen=True):
    """What became of a rung: its verdict (OK, FAIL or NOT_TRIED), what was found, and what to do when it failed."""

    rung: str
    verdict: str
    says: str = ""
    advice: str = ""

    def __str__(self) -> str:
        lines = self.says.splitlines() or [""]
        first = f"{MARKS[self.verdict]:5} {self.rung:{NAME_WIDTH}}{lines[0]}".rstrip()
        margin = " " * (6 + NAME_WIDTH)
        advice = [f"{margin}-> {self.advice}"] if self.advice else []
        return "\n".join([first, *(margin + line for line in lines[1:]), *advice])


class Failed(DefenderError):
    """A rung does not hold; `problem` says why and what to do."""

    def __init__(self, says: str, advice: str) -> None:
        super().__init__(f"{says}: {advice}")
        self.problem = Problem(says, advice)


class NotTried(DefenderError):
    """A rung cannot be judged, and that is no failure; the text says why."""


class OverdueError(DefenderError):
    """Something took longer than it may."""


class Rung(NamedTuple):
    """A name, and what to try: it returns what it found, or raises Failed or NotTried."""

    name: str
    attempt: Callable[[Case], str]
    if_overdue: str = "try again; if it stays so, send this ladder to the project"
    longest: float = LONGEST


def climb(rungs: Iterable[Rung], case: Case) -> Iterator[Step]:
    """Yield a step for each rung as it is known; after the first that failed none is tried."""
    fallen = False
    for rung in rungs:
        step = Step(rung.name, NOT_TRIED) if fallen else _try(rung, case)
        fallen = fallen or step.verdict == FAIL
        yield step


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what `function` returns; raises OverdueError after `seconds`, and leaves its thread behind."""
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise OverdueError(f"it did not end within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def _try(rung: Rung, case: Case) -> Step:
    try:
        return Step(rung.name, OK, within(rung.longest, lambda: rung.attempt(case)))
    except Failed as failure:
        return Step(rung.name, FAIL, *failure.problem)
    except NotTried as reason:
        return Step(rung.name, NOT_TRIED, str(reason))
    except OverdueError as error:
        return Step(rung.name, FAIL, str(error), rung.if_overdue)
    except Exception as error:  # noqa: BLE001 - a rung that breaks must not hide the rungs before it
        says = f"unforeseen {type(error).__name__}: {error}"
        return Step(rung.name, FAIL, says, "send this ladder to the project")
