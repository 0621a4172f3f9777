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

    @property
    def counts(self) -> bool:
        """Whether several of these are why a rotation is tried once a day only, since each attempt stops the daemon.

        Not what passes by itself: too many requests, no connection, silence on one that is dead by now. Nor what is
        refused for good, which no service manager tries again. What counts is that the broker hangs up on a connection
        that it has just let us have, or leaves one question alone on it: that is how AWS IoT says that a policy does
        not allow something. A bad network does it too, hardly at several attempts with nothing achieved in between.
        """
        return not self.passes and not self.final


class UsedTokenError(ProvisioningError):
    """The token is used up or too old: the certificate is registered already, and we did not hear of it, or deleted."""
