"""The ladder: a doctor's rungs, climbed in order, each bounded in time, up to the first that fails."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from defender_daemon.errors import DefenderError
from defender_daemon.text import printable_lines

OK, FAIL, DOUBT, NOT_TRIED = "ok", "fail", "doubt", "not tried"
LONGEST = 15.0  # seconds that a rung may take; nobody waits longer before a screen that says nothing
MARKS = {OK: "OK", FAIL: "FAIL", DOUBT: "?", NOT_TRIED: "-"}
SEND_OUTPUT = "send this output to the project"
NAME_WIDTH = 22  # columns; the longest name is "issued for this thing"

T = TypeVar("T")


class Case(Protocol):
    """What a doctor knows so far of what it examines."""

    @property
    def unneeded(self) -> Mapping[str, str]:
        """The names of rungs that this case does without, and a word on why."""


C = TypeVar("C", bound=Case)


class Step(msgspec.Struct, frozen=True):
    """What became of a rung: its verdict (OK, FAIL, DOUBT or NOT_TRIED), what was found, and what to do about it."""

    rung: str
    verdict: str
    says: str = ""
    advice: str = ""

    def __str__(self) -> str:
        lines = printable_lines(self.says).splitlines() or [""]
        first = f"{MARKS[self.verdict]:5} {self.rung:{NAME_WIDTH}}{lines[0]}".rstrip()
        margin = " " * (6 + NAME_WIDTH)
        advice = [f"{margin}-> {printable_lines(self.advice)}"] if self.advice else []
        return "\n".join([first, *(margin + line for line in lines[1:]), *advice])


class Failed(DefenderError):
    """A rung does not hold; `problem` says why and what to do."""


class Doubted(Failed):
    """A rung looks wrong, and only a report can tell; the next one is tried."""


class NotTried(DefenderError):
    """A rung cannot be judged, and that is no failure; the text says why."""


class OverdueError(DefenderError):
    """Something took longer than it may."""


class Rung(NamedTuple):
    """A name, and what to try: it returns what it found, or raises Failed or NotTried."""

    name: str
    attempt: Callable[[Any], str]  # of the doctor's own case
    if_overdue: str = f"try again; if it happens again, {SEND_OUTPUT}"
    longest: float = LONGEST
    witnessed: bool = False  # by a running daemon, whatever became of the rungs before


def climb(rungs: Iterable[Rung], case: C, overruling: Callable[[C], str | None] = lambda case: None) -> Iterator[Step]:
    """Yield a step for each rung as it is known; after the first that failed none is tried.

    A failure that something proves to be none (`overruling` says what) is a doubt; after it only the rungs are tried
    that a daemon bears witness to.
    """
    fallen = overruled = False
    for rung in rungs:
        if fallen or (overruled and not rung.witnessed) or rung.name in case.unneeded:
            yield Step(rung.name, NOT_TRIED, case.unneeded.get(rung.name, ""))
            continue
        step = _try(rung, case)
        proof = overruling(case) if step.verdict == FAIL and not rung.witnessed else None
        if proof is not None:
            step = Step(rung.name, DOUBT, f"{step.says}\nbut {proof}", step.advice)
        fallen, overruled = step.verdict == FAIL, overruled or proof is not None
        yield step


def is_well(steps: Sequence[Step]) -> bool:
    """Return whether no rung failed; of one that is in doubt the last rung must have shown that it holds."""
    verdicts = {step.verdict for step in steps}
    return FAIL not in verdicts and (DOUBT not in verdicts or steps[-1].verdict == OK)


def as_object(steps: Sequence[Step]) -> dict[str, object]:
    """Return the findings as JSON has them."""
    return {"ok": is_well(steps), "rungs": [msgspec.to_builtins(step) for step in steps]}


def show(steps: Iterable[Step], as_json: bool) -> bool:
    """Print each step when it is known, or all as one JSON object; return whether all is well."""
    known = []
    for step in steps:
        known.append(step)
        if not as_json:
            print(step, flush=True)
    if as_json:
        print(json.dumps(as_object(known), indent=2))
    return is_well(known)


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
        return Step(rung.name, DOUBT if isinstance(failure, Doubted) else FAIL, *failure.problem)
    except NotTried as reason:
        return Step(rung.name, NOT_TRIED, str(reason))
    except OverdueError as error:
        return Step(rung.name, FAIL, str(error), rung.if_overdue)
    except Exception as error:  # noqa: BLE001 - a rung that breaks must not hide the rungs before it
        says = f"unforeseen {type(error).__name__}: {error}"
        return Step(rung.name, FAIL, says, SEND_OUTPUT)
