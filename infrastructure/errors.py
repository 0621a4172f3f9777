"""What a deployer is told when something is in the way."""

from __future__ import annotations


class DeployError(Exception):
    """One clear sentence (or a line for each problem) that says what is wrong and what to do; exit status 1."""


class Refused(DeployError):
    """AWS refuses what a permission, a quota or a service's end stands against."""

    def __init__(self, message: str, action: str | None = None) -> None:
        super().__init__(message)
        self.action = action  # the IAM action that is missing, `iot:CreateThing`; None where it is something else
