"""The refusals: what it means that AWS IoT rejects a question of provisioning, or hangs up, and what to do about it.

https://docs.aws.amazon.com/iot/latest/developerguide/fleet-provision-api.html has the shape of a rejection;
https://docs.aws.amazon.com/iot/latest/developerguide/pre-provisioning-hook.html says that a hook's no is AccessDenied.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from defender_daemon.text import printable
from defender_publisher.errors import NotConnected, NotLetIn, Problem, SubscriptionRefused, TransportError
from defender_publisher.provisioning.errors import (
    CONNECT,
    CSR,
    HOOK,
    POLICY,
    TEMPLATE,
    ProvisioningError,
    UsedTokenError,
)

TOO_MANY, SERVERS_FAULT = 429, 500  # HTTP's status codes: from the latter on it is AWS's own trouble
# Codes, in any case; a hook that took too long, or that Lambda had no room for, is an InvocationError.
PASSING = re.compile(r"throttl|toomany|limitexceeded|internal|unavailable|timeout|invocation", re.IGNORECASE)
DENIED = re.compile(r"denied|forbidden|unauthorized", re.IGNORECASE)
USED_TOKEN = "InvalidCertificateOwnershipToken"  # noqa: S105 - the name of an error
LONGEST_CODE = 60  # characters


class Rejection(msgspec.Struct, frozen=True, rename="camel"):
    """What comes on a topic that ends in /rejected."""

    status_code: int = 0
    error_code: str = "unknown"
    error_message: str = ""

    def __str__(self) -> str:
        return f"{printable(self.error_code, LONGEST_CODE)}: {printable(self.error_message)}"

    @property
    def passes(self) -> bool:
        """Whether the same question may be answered later: there were too many, or it is the server's own fault."""
        status = self.status_code
        return status == TOO_MANY or status >= SERVERS_FAULT or PASSING.search(self.error_code) is not None

    @property
    def denied(self) -> bool:
        """Whether somebody said no, rather than that the question is wrong."""
        return self.status_code in (401, 403) or DENIED.search(self.error_code) is not None


def not_connected(error: TransportError, client_id: str) -> ProvisioningError:
    """Say why there is no connection to ask on; what a broker says in so many words it will say again."""
    says, advice = error.problem
    final = isinstance(error, NotLetIn) and error.outspoken
    return ProvisioningError(CONNECT, Problem(f"as {client_id}: {says}", advice), final=final)


def not_let_in(thing: str, error: TransportError, journal: Path) -> ProvisioningError:
    """Say that a certificate was registered, and that the thing cannot report with it yet."""
    says, advice = error.problem
    if not isinstance(error, (NotLetIn, SubscriptionRefused)):
        return ProvisioningError(CONNECT, Problem(f"as {thing}: {says}", advice))
    again = f"; if that does not help, remove {journal} to begin with another certificate"
    return ProvisioningError(POLICY, Problem(f"as {thing}, with the new certificate: {says}", advice + again))


def not_subscribed(topic: str, error: TransportError, *, refused: bool) -> ProvisioningError:
    """Say that the replies of a question cannot be heard; AWS IoT hangs up where a policy does not allow it.

    It is never silent about a subscription: who hears nothing then has lost the connection.
    """
    says = f"the subscription to {topic} was refused" if refused else f"{topic} cannot be heard: {error.problem.says}"
    silent = not isinstance(error, (NotConnected, SubscriptionRefused))
    return ProvisioningError(_step_of(topic), Problem(says, _policy_for(topic)), final=refused, passes=silent)


def hung_up(topic: str) -> ProvisioningError:
    """Say what it means that the broker closes the connection when it is asked."""
    says = f"the connection was closed after the question on {topic}"
    return ProvisioningError(_step_of(topic), Problem(says, _policy_for(topic)))


def unanswered(topic: str, seconds: float, *, alive: bool) -> ProvisioningError:
    """Say that a question was sent and not answered.

    On a connection that is `alive` an answer that no policy lets us receive is one that does not come.
    """
    says = f"nobody answered on {topic} within {seconds:.0f} s"
    return ProvisioningError(_step_of(topic), Problem(says, _policy_for(topic)), passes=not alive)


def unreadable(topic: str, error: Exception) -> ProvisioningError:
    """Say that an answer is not what AWS documents."""
    return ProvisioningError(_step_of(topic), Problem(f"the answer on {topic} cannot be read ({error})", "try again"))


def rejected(topic: str, rejection: Rejection, template: str, rotates: bool) -> ProvisioningError:
    """Say who rejected a question, and what to do about it."""
    if rejection.passes:
        return ProvisioningError(_step_of(topic), Problem(str(rejection), "it is tried again, later"), passes=True)
    if _step_of(topic) == CSR:
        return ProvisioningError(CSR, Problem(str(rejection), _advice_on_request(topic, rejection)), final=True)
    if rejection.error_code == USED_TOKEN:
        return UsedTokenError(TEMPLATE, Problem(str(rejection), "it is tried again, with another certificate"))
    if rejection.denied:
        says = f"{rejection}: the hook of the template {template} refused this device"
        return ProvisioningError(HOOK, Problem(says, ADVICE_ON_HOOK[rotates]), final=True)
    says = f"the template {template} cannot be used: {rejection}"
    return ProvisioningError(TEMPLATE, Problem(says, ADVICE_ON_TEMPLATE), final=True)


ADVICE_ON_HOOK = {
    False: "put its serial number on the list of those that may come, again if it has been a thing before, and look "
    "into the hook's log in CloudWatch: one that fails, or takes more than 5 s, refuses too",
    True: "check that this certificate is attached to this very thing; its hook lets no other replace it",
}
ADVICE_ON_TEMPLATE = (
    "check that there is a template of this name, that it is enabled, that its role may register things, and that "
    "it needs no other parameters than ThingName, SerialNumber and those of agent.provisioning.parameters"
)


def _advice_on_request(topic: str, rejection: Rejection) -> str:
    if rejection.denied:
        return _policy_for(topic)
    return "check the account: a certificate provider of its own, or a limit, may refuse requests"


def _step_of(topic: str) -> str:
    return CSR if topic.startswith("$aws/certificates/") else TEMPLATE


def _policy_for(topic: str) -> str:
    """Return what a policy must allow for the question on a topic and its two replies."""
    question = topic.removesuffix("/accepted").removesuffix("/rejected")
    return (
        f"let this certificate's policy allow iot:Publish on topic/{question}, iot:Receive on topic/{question}/* and "
        f"iot:Subscribe on topicfilter/{question}/*"
    )
