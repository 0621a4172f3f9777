"""A deployer reads who may provision itself, who has and who was refused, in lines that no device can forge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk", "cryptography")

from infrastructure.claim import ClaimAsked, ClaimPlan  # noqa: E402
from infrastructure.claim_summary import show_claim, show_left, show_wishes  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.plan import StackPlan  # noqa: E402
from infrastructure.rotation import Wish  # noqa: E402
from infrastructure.serial_table import Difference, Listed, Refusal, Table  # noqa: E402
from infrastructure.serials import Serial, SerialList  # noqa: E402
from tests.fakes.fake_account import make_account, make_screen  # noqa: E402
from tests.infrastructure.claims import NAMES, REQUEST  # noqa: E402

TABLE = Table({"a1": Listed(Serial("A1")), "b2": Listed(Serial("b2"))})
KEPT = ClaimPlan(StackPlan("lab-claim", "keep"), REQUEST, False, False, ("rpi",), Difference(), TABLE, (), None)
NOON = 1_796_040_000  # 2026-11-30 12:00 UTC


def lines(plan: ClaimPlan | None, *most: int) -> list[str]:
    screen, printed = make_screen()
    show_claim(Fleet(make_account(), NAMES, screen), plan, *most)
    return printed.getvalue().splitlines()


def test_without_a_claim_nothing_is_said() -> None:
    assert [] == lines(None)


def test_what_stays_is_two_lines() -> None:
    assert ["serials   2", "progress  0 of 2 listed devices have provisioned themselves"] == lines(KEPT)


def test_an_empty_list_has_no_progress() -> None:
    assert ["serials   0"] == lines(replace(KEPT, table=Table({})))


@pytest.mark.parametrize("change", ["create", "recreate"])
def test_a_new_claim_says_what_it_allows(change: str) -> None:
    asked = ClaimAsked(SerialList(Path("serials.txt"), (Serial("A1"),)))
    plan = replace(
        KEPT,
        stack=StackPlan("lab-claim", change),
        request=None,
        new_certificate=True,
        difference=Difference(new=(Serial("A1"),)),
        table=Table({}),
        asked=asked,
    )
    will = {"create": "is created", "recreate": "failed to create earlier; it will be created again"}
    assert [
        "serials   1 in serials.txt: 1 new",
        "claim     a device that has it can connect as claim-* and register once by the template lab, and",
        "          nothing else: a function in AWS Lambda checks its serial; the thing joins the group lab",
        "rotation  such a device can replace its certificate by the template lab-rotate; the old one",
        "          is made INACTIVE once the device has confirmed the new one over a connection with it",
        "claim     one certificate for all devices that have none of their own is made; its key is made here",
        f"stack     lab-claim {will[change]}",
    ] == lines(plan)


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        (Difference(), ""),
        (Difference(new=(Serial("c"),), changed=(Serial("a", "roof"),)), ": 1 new, 1 changed"),
        (Difference(changed=(Serial("a", "", "again"), Serial("b"))), ": 2 changed, 1 listed again"),
        (Difference(gone=(Serial("x"), Serial("y"))), ": 2 no longer listed"),
    ],
)
def test_a_list_says_what_differs(difference: Difference, says: str) -> None:
    asked = ClaimAsked(SerialList(Path("serials.txt"), (Serial("a"), Serial("b"))))
    found = lines(replace(KEPT, difference=difference, asked=asked))
    assert f"serials   2 in serials.txt{says}" == found[0]
    gone = [line for line in found if line.startswith("gone")]
    assert (
        ["gone      2: x, y (no longer listed: they cannot provision themselves; what did stays a thing)"]
        if difference.gone
        else []
    ) == gone


def test_a_claim_that_ends_says_what_no_longer_works_and_one_that_ended_says_how_to_begin() -> None:
    ends = lines(replace(KEPT, stack=StackPlan("lab-claim", "update"), request=None, ends=True))
    assert "claim     its certificate is DELETED: no device can provision itself any more, until --claim makes" in ends
    assert "stack     lab-claim is updated" == ends[-1]
    assert (
        "claim     no certificate is in force (--end-claims): no device can provision itself; --claim makes one"
        in lines(replace(KEPT, request=None))
    )


def test_progress_names_the_last_five() -> None:
    done = tuple(Listed(Serial(f"s{number}"), f"dev-{number}", number) for number in range(6))
    expected = (
        "progress  6 of 2 listed devices have provisioned themselves; the last: dev-0, dev-1, dev-2, dev-3, dev-4"
    )
    assert expected == lines(replace(KEPT, provisioned=done))[-1]


def test_refusals_are_shown_up_to_a_number_and_nothing_in_them_is_taken_for_a_line() -> None:
    hostile = Refusal("x\nclaim     all is well\x1b[2J", "[bold]" + "y" * 100, "the serial is not listed", NOON)
    table = Table(TABLE.listed, (hostile, *(Refusal(f"s{number}", "", "no", NOON) for number in range(4))), 12)
    found = lines(replace(KEPT, table=table), 2)
    assert [
        "refused   12 times; the last:",
        r'            2026-11-30 12:00:00 UTC serial "x\nclaim     all is well\u001b[2J" as "[bold]'
        + "y" * 54
        + "...: the serial is not listed",
        '            2026-11-30 12:00:00 UTC serial "s0" as "": no',
    ] == found[-3:]


@pytest.mark.parametrize(("count", "more"), [(10, []), (11, ["note      and 1 more of this kind"])])
def test_ten_notes_are_shown(count: int, more: list[str]) -> None:
    notes = [f"n{number}" for number in range(count)]
    found = lines(replace(KEPT, notes=tuple(notes)))[2:]
    assert [f"note      {note}" for note in notes[:10]] + more == found


def test_drift_is_shown() -> None:
    assert "drift     the rule is gone" == lines(replace(KEPT, drift=(DeployError("the rule is gone"),)))[-1]


def said(show: Any, *arguments: Any) -> list[str]:
    screen, printed = make_screen()
    show(screen, *arguments)
    return printed.getvalue().splitlines()


def test_things_that_rotate_by_themselves_are_named_with_what_they_were_asked_before() -> None:
    assert [] == said(show_wishes, [])
    assert [
        "rotate    2: a, b (asked to do it by themselves, by their shadow; no device is cut off)",
        "          b was asked at noon, and has not done it yet",
    ] == said(show_wishes, [Wish("a"), Wish("b", "noon")])


def test_what_provisioned_itself_is_left_or_deleted_by_name() -> None:
    many = [f"dev-{number}" for number in range(11)]
    assert [f"things    11: {', '.join(many)} (they provisioned themselves; deleted with their certificates)"] == said(
        show_left, many, True
    )
    assert [
        f"left      11: {', '.join(many[:10])} and 1 more (they provisioned themselves; they lose the policy, and "
        "--delete-at-most 11 deletes them as well)"
    ] == said(show_left, many, False)
    assert [] == said(show_left, [], False)
