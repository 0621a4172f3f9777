"""What AWS IoT refuses is said with who refused, whether for good, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_publisher.errors import (
    NotConnected,
    NotLetIn,
    NotValidNow,
    Problem,
    SubscriptionRefused,
    TransportError,
)
from defender_publisher.provisioning import refusals
from defender_publisher.provisioning.calls import CREATE_FROM_CSR, REGISTER
from defender_publisher.provisioning.errors import ProvisioningError, UsedTokenError
from defender_publisher.provisioning.refusals import Rejection

REGISTRATION = REGISTER.format(template="fleet")
POLICY = (
    f"let this certificate's policy allow iot:Publish on topic/{CREATE_FROM_CSR}, iot:Receive on "
    f"topic/{CREATE_FROM_CSR}/* and iot:Subscribe on topicfilter/{CREATE_FROM_CSR}/*"
)
DENIED, THROTTLED = Rejection(403, "AccessDenied", "no"), Rejection(429, "Throttled", "Rate exceeded")
USED = Rejection(400, "InvalidCertificateOwnershipToken", "Certificate ownership token is not valid.")


@pytest.mark.parametrize(
    ("rejection", "passes", "denied"),
    [
        (Rejection(), False, False),
        (Rejection(428), False, False),
        (Rejection(429), True, False),
        (Rejection(430), False, False),
        (Rejection(499), False, False),
        (Rejection(500), True, False),
        (Rejection(400, "THROTTLING_EXCEPTION"), True, False),
        (Rejection(400, "LimitExceededException"), True, False),
        (Rejection(400, "InvocationError"), True, False),  # a hook that took too long
        (Rejection(400, "ResourceAlreadyExists", "throttled"), False, False),  # its words decide nothing
        (Rejection(401), False, True),
        (Rejection(402), False, False),
        (Rejection(403), False, True),
        (Rejection(400, "NotAuthorized"), False, False),
        (Rejection(400, "UnauthorizedException"), False, True),
        (Rejection(400, "access_denied"), False, True),
    ],
)
def test_a_rejection_passes_or_is_somebodys_no(rejection: Rejection, passes: bool, denied: bool) -> None:
    assert (passes, denied) == (rejection.passes, rejection.denied)


def test_what_a_server_says_stays_on_one_line_and_is_cut() -> None:
    text = str(Rejection(400, "\x1b[31m" + "x" * 200, "no\nALERT all is well"))
    assert text.isprintable()
    assert len(text.partition(":")[0]) < 100


@pytest.mark.parametrize(
    ("rejection", "rotates", "step", "final", "says", "advice"),
    [
        (THROTTLED, False, "template", False, "Throttled: Rate exceeded", "it is tried again, later"),
        (
            DENIED,
            False,
            "hook",
            True,
            "AccessDenied: no: the hook of the template fleet refused this device",
            refusals.ADVICE_ON_HOOK[False],
        ),
        (
            DENIED,
            True,
            "hook",
            True,
            "AccessDenied: no: the hook of the template fleet refused this device",
            "check that this certificate is attached to this very thing; its hook lets no other replace it",
        ),
        (
            Rejection(404, "ResourceNotFoundException", "x"),
            False,
            "template",
            True,
            "the template fleet cannot be used: ResourceNotFoundException: x",
            refusals.ADVICE_ON_TEMPLATE,
        ),
    ],
)
def test_a_template_or_its_hook_refuses(
    rejection: Rejection, rotates: bool, step: str, final: bool, says: str, advice: str
) -> None:
    error = refusals.rejected(REGISTRATION, rejection, "fleet", rotates)
    assert (step, final) == (error.step, error.final)
    assert Problem(f"{step}: {says}", advice) == error.problem


def test_a_token_that_is_used_up_is_tried_again_with_another_certificate() -> None:
    error = refusals.rejected(REGISTRATION, USED, "fleet", False)
    assert isinstance(error, UsedTokenError)
    assert (False, "it is tried again, with another certificate") == (error.final, error.problem.advice)


@pytest.mark.parametrize(
    ("rejection", "final", "advice"),
    [
        (THROTTLED, False, "it is tried again, later"),
        (DENIED, True, POLICY),
        (
            Rejection(400, "InvalidCertificateSigningRequest", "no"),
            True,
            "check the account: a certificate provider of its own, or a limit, may refuse requests",
        ),
        (USED, True, "check the account: a certificate provider of its own, or a limit, may refuse requests"),
    ],
)
def test_a_request_for_a_certificate_is_refused(rejection: Rejection, final: bool, advice: str) -> None:
    error = refusals.rejected(CREATE_FROM_CSR, rejection, "fleet", False)
    assert ("CSR", final, advice) == (error.step, error.final, error.problem.advice)
    assert not isinstance(error, UsedTokenError)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (NotLetIn("refused", "look", outspoken=True), True),
        (NotLetIn("hung up", "look"), False),
        (NotConnected("no route", "look"), False),
        (NotValidNow("clock", "look"), False),
    ],
)
def test_who_is_not_let_in_to_ask_is_so_for_good_only_where_the_broker_said_so(
    error: TransportError, final: bool
) -> None:
    found = refusals.not_connected(error, "claim-rpi-0001")
    assert ("connect", final) == (found.step, found.final)
    assert Problem(f"connect: as claim-rpi-0001: {error.problem.says}", "look") == found.problem


@pytest.mark.parametrize(
    ("error", "step", "advice"),
    [
        (NotLetIn("refused", "look", outspoken=True), "policy", "look; if that does not help, remove j.json to begin "),
        (SubscriptionRefused("refused", "look"), "policy", "look; if that does not help, remove j.json to begin "),
        (NotConnected("refused", "look"), "connect", "look"),
    ],
)
def test_a_new_certificate_that_is_not_let_in_can_be_given_up(error: TransportError, step: str, advice: str) -> None:
    found = refusals.not_let_in("rpi-0001", error, Path("j.json"))
    assert (step, False) == (found.step, found.final), "a policy that was forgotten may come"
    assert found.problem.advice.startswith(advice)
    assert ("with the new certificate" in found.problem.says) == (step == "policy")


@pytest.mark.parametrize("reply", ["/accepted", "/rejected", ""])
def test_what_a_policy_must_allow_is_said_of_the_question_whichever_reply_it_is_about(reply: str) -> None:
    topic = CREATE_FROM_CSR + reply
    errors: list[ProvisioningError] = [
        refusals.not_subscribed(topic, SubscriptionRefused("no"), refused=True),
        refusals.not_subscribed(topic, NotConnected("closed"), refused=False),
        refusals.hung_up(topic),
        refusals.unanswered(topic, 14.6, alive=True),
    ]
    assert [POLICY] * 4 == [each.problem.advice for each in errors]
    assert [
        f"CSR: the subscription to {topic} was refused",
        f"CSR: {topic} cannot be heard: closed",
        f"CSR: the connection was closed after the question on {topic}",
        f"CSR: nobody answered on {topic} within 15 s",
    ] == [each.problem.says for each in errors]
    assert [True, False, False, False] == [each.final for each in errors]


def test_what_passes_by_itself_is_told_from_what_somebody_must_change() -> None:
    """The latter is not tried every quarter of an hour, since each attempt stops the daemon."""
    hung_up = NotLetIn("hung up")
    errors = {
        refusals.rejected(CREATE_FROM_CSR, THROTTLED, "fleet", True): True,
        refusals.not_connected(hung_up, "rpi-0001"): True,
        refusals.not_let_in("rpi-0001", NotConnected("no route"), Path("j.json")): True,
        refusals.not_let_in("rpi-0001", hung_up, Path("j.json")): False,
        refusals.hung_up(CREATE_FROM_CSR): False,
        refusals.unanswered(REGISTRATION, 15.0, alive=True): False,
        refusals.unanswered(REGISTRATION, 15.0, alive=False): True,
        refusals.not_subscribed(CREATE_FROM_CSR, NotConnected("hung up"), refused=False): False,
        refusals.not_subscribed(CREATE_FROM_CSR, SubscriptionRefused("no"), refused=True): False,
        refusals.not_subscribed(CREATE_FROM_CSR, TransportError("silence"), refused=False): True,
        refusals.rejected(REGISTRATION, DENIED, "fleet", True): False,
    }
    assert list(errors.values()) == [each.passes for each in errors]


def test_an_answer_that_cannot_be_read_is_tried_again() -> None:
    error = refusals.unreadable(f"{REGISTRATION}/accepted", ValueError("Expected `object`"))
    assert ("template", False, "try again") == (error.step, error.final, error.problem.advice)
    assert f"template: the answer on {REGISTRATION}/accepted cannot be read (Expected `object`)" == error.problem.says
