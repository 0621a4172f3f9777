"""What a deployer sees: the account, the plan, progress, and the end. Plain lines where there is no terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm

from infrastructure.account import Account
from infrastructure.deployed import Deployed
from infrastructure.detect import DetectPlan
from infrastructure.drift import Drift
from infrastructure.errors import DeployError
from infrastructure.plan import CREATE, DELETE, KEEP, RECREATE, UPDATE, Plan, StackPlan

MOST_NAMES = 10  # of things that are new or stay; those that go are all shown

WILL = {
    CREATE: "is created",
    RECREATE: "is left of a creation that failed: deleted, and created again",
    UPDATE: "is updated",
    DELETE: "is deleted, it holds no thing any more",
    KEEP: "stays as it is",
}


class Screen:
    """Prints for people; with a terminal, bars show what is under way."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)
        bars = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*bars, console=self._console, transient=True, disable=not self._console.is_terminal)

    def say(self, text: str = "") -> None:
        """Print a line, above the bars."""
        self._console.print(text)

    def show_account(self, account: Account, prefix: str) -> None:
        """Show where the fleet is deployed."""
        self.say(f"account   {account.id}, as {account.caller}")
        self.say(f"region    {account.region}")
        self.say(f"endpoint  {account.endpoint}")
        self.say(f"fleet     {prefix}")
        self.say()

    def show_plan(self, plan: Plan, joining: Sequence[str], drift: Sequence[Drift]) -> None:
        """Show what is new, kept, rotated and gone."""
        self._show_things("new", plan.new)
        self._show_things("kept", plan.kept)
        self._show_things("rotated", plan.rotated, "cut off until their devices have the new certificate and key")
        self._show_things("gone", plan.gone, "no longer listed: thing and certificate are DELETED", all_of_them=True)
        self._show_things("to join", [thing for thing in joining if thing in plan.kept], "not in the thing group yet")
        for stack in (plan.fleet, *plan.stacks):
            self.show_stack(stack)
        for each in drift:
            mended = each.rotation_mends and each.thing in plan.rotated
            self.say(f"drift     {each.thing}: {each.says}" + (" (which is done now)" if mended else ""))

    def show_stack(self, stack: StackPlan) -> None:
        """Show what happens to a stack, if anything does."""
        if stack.change != KEEP:
            self.say(f"stack     {stack.name} {WILL[stack.change]}")

    def show_detect(self, detect: DetectPlan | None, unreported: Sequence[str]) -> None:
        """Show what happens to Detect, and which metrics no device will report."""
        if detect is None:
            return self.say("Detect    is left alone (--no-detect)")
        for metric in detect.shared:
            self.say(
                f"Detect    uses the custom metric {metric}, which is there already, of another fleet or an earlier one"
            )
        for metric in unreported:
            self.say(f"note      the security profiles name {metric}, which the devices' configuration does not report")
        if detect.problem is not None:
            return self.say(f"Detect    cannot be deployed, everything else can: {detect.problem}")
        return self.show_stack(detect)

    def show_destruction(self, deployed: Deployed, strangers: Sequence[str]) -> None:
        """Show what is deleted with a fleet, every thing by its name."""
        if not deployed.stacks:
            self.say("nothing of this fleet is deployed")
        for name in sorted(deployed.stacks):
            self.say(f"stack     {name} is deleted")
        self._show_things("things", sorted(deployed.things), "deleted with their certificates", all_of_them=True)
        self._show_things("detached", strangers, "what is not of this fleet and loses its policy", all_of_them=True)

    def _show_things(self, word: str, things: Sequence[str], says: str = "", all_of_them: bool = False) -> None:
        if not things:
            return
        shown = things if all_of_them else things[:MOST_NAMES]
        names = ", ".join(shown) + (f" and {len(things) - len(shown)} more" if len(things) > len(shown) else "")
        self.say(f"{word:<9} {len(things)}: {names}" + (f" ({says})" if says else ""))

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

    def show_bundles(self, bundles: Sequence[Path], elsewhere: Sequence[str], rotated: Sequence[str]) -> None:
        """Show how to install what was made, and for which things there is nothing here."""
        self._show_things("no bundle", elsewhere, "their keys are on another machine; --rotate makes new ones here")
        if not bundles:
            return
        self.say("\nCopy each bundle to its device in a way that nobody else can read, and install it there:\n")
        for path in bundles:
            replace = " --replace" if path.stem in rotated else ""
            self.say(f"  sudo installers/install-rpi.bash --bundle {shlex.quote(str(path))}{replace}")
        self.say("\nOn a Mac it is installers/install-osx.bash. A bundle holds a private key: keep it as one.")
        self.say("A device that has an earlier bundle takes a new one with --replace.")
        if rotated:
            self.say(f"Cut off until this is done: {', '.join(rotated)}")


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

    def say(self, says: str) -> None:
        """Say something of this piece of work."""
        self._screen.say(f"{self._what}: {says}")
