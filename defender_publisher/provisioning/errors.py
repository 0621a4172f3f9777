"""The errors of provisioning; each says at which step it was, and whether it is of use to try again."""

from __future__ import annotations

from defender_publisher.errors import DefenderError, Problem

# The steps, as an operator reads them: who refused.
CONNECT, CSR, TEMPLATE, HOOK = "connect", "CSR", "template", "hook"
POLICY, COMMIT = "policy", "commitment"  # of the new certificate: it is not let in, or cannot say that it is in use
DEVICE = "device"


class ProvisioningError(DefenderError):
    """A step failed; `final` says that it is refused for good, until somebody changes something.

    `passes` says that it passes by itself: there is no connection now, or there were too many requests.
    """

    def __init__(self, step: str, problem: Problem, *, final: bool = False, passes: bool = False) -> None:
        super().__init__(f"{step}: {problem.says}", problem.advice)
        self.step = step
        self.final = final
        self.passes = passes or step == CONNECT


class UsedTokenError(ProvisioningError):
    """The token is used up or too old: the certificate is registered already, and we did not hear of it, or deleted."""
