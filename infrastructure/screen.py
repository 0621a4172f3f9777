"""Where a deployer reads: lines, questions and progress. Plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm

from infrastructure.errors import DeployError

MOST_NAMES = 10  # of a list; those that are deleted are all shown


class Screen:
    """Prints for people; with a terminal, bars show what is under way."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)
        bars = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*bars, console=self._console, transient=True, disable=not self._console.is_terminal)

    def say(self, text: str = "") -> None:
        """Print a line, above the bars."""
        self._console.print(text)

    def say_names(self, word: str, names: Sequence[str], says: str = "", all_of_them: bool = False) -> None:
        """Print names after a word, and how many they are; nothing where there are none."""
        if not names:
            return
        shown = names if all_of_them else names[:MOST_NAMES]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        self.say(f"{word:<9} {len(names)}: {', '.join(shown)}{more}" + (f" ({says})" if says else ""))

    def ask(self, question: str) -> bool:
        """Ask on the terminal; DeployError where there is none."""
        if not (sys.stdin and sys.stdin.isatty() and self._console.is_terminal):
            raise DeployError("there is no terminal to ask on: look at the plan with --plan, then agree with --yes")
        try:
            return Confirm.ask(question, console=self._console, default=False)
        except EOFError:  # Ctrl-D
            return False

    @contextmanager
    def bars(self) -> Iterator[None]:
        """Show bars while this is open, if there is a terminal."""
        with self._progress:
            yield

    @contextmanager
    def bar(self, what: str, steps: int) -> Iterator[Bar]:
        """Show one bar while this is open."""
        task = self._progress.add_task(what, total=steps or None)
        try:
            yield Bar(self, self._progress, task, what, steps)
        finally:
            self._progress.remove_task(task)


class Bar:
    """The progress of one piece of work."""

    def __init__(self, screen: Screen, progress: Progress, task: TaskID, what: str, steps: int) -> None:
        self._screen, self._progress, self._task, self._what, self._steps = screen, progress, task, what, steps
        self._done = 0

    def step(self, says: str) -> None:
        """Say that a step is done, and how many are."""
        self._done += 1
        self._progress.advance(self._task)
        self.say(f"{says} ({self._done} of {self._steps})")

    def advance(self, steps: int) -> None:
        """Show that steps are done, of which there are too many to say each."""
        self._done += steps
        self._progress.advance(self._task, steps)

    def say(self, says: str) -> None:
        """Say something of this piece of work."""
        self._screen.say(f"{self._what}: {says}")
