"""The errors that every program on a device can have; each one's text is a sentence for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """What is wrong, and the one thing to do about it (empty where nothing is); as text they are one sentence."""

    says: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.says}; {self.advice}" if self.advice else self.says


class DefenderError(Exception):
    """The root of this package's own errors: logged as one line, without a traceback; `problem` is what it says."""

    def __init__(self, says: str, advice: str = "") -> None:
        self.problem = Problem(says, advice)
        super().__init__(str(self.problem))


class HungError(DefenderError):
    """The program makes no progress and cannot help itself; the service manager should start it again."""


class ConfigError(DefenderError):
    """The configuration cannot be used; `problems` holds every reason found, a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
