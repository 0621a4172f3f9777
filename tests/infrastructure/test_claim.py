"""What happens to the claim: whom a list lets in, which certificate is in force, and what is refused beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk", "cryptography")

from infrastructure.claim import (  # noqa: E402
    ClaimAsked,
    ClaimPlan,
    is_deployed,
    plan_claim,
    provisioned_things,
    read_claim_asked,
    refuse_lost_serials,
)
from infrastructure.deployed import Deployed, DeployedThing  # noqa: E402
from infrastructure.description import ClaimStack  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from infrastructure.registry import Registry  # noqa: E402
from infrastructure.serials import Serial, SerialList  # noqa: E402
from tests.infrastructure.claims import NAMES, REQUEST, claim_fleet, claim_stack  # noqa: E402
from tests.infrastructure.test_serial_table import FakeTable  # noqa: E402

CONFIG: dict[str, Any] = {"agent": {"instance": {"command": "cat serial"}}}
NOTHING: dict[str, Any] = {}
INSTALLERS = (
    "the devices' configuration has no agent.instance.command that prints a serial: the installers take that of a "
    "Raspberry Pi (as rpi-SERIAL) or of a Mac (as osx-SERIAL)"
)


def listed(*serials: str, **things: str) -> ClaimAsked:
    """Return the wish that these serials, and those of things, may provision themselves."""
    named = [Serial(serial, thing) for serial, thing in things.items()]
    return ClaimAsked(SerialList(Path("serials.txt"), (*map(Serial, serials), *named)))


def row(serial: str, **noted: Any) -> dict[str, Any]:
    return {"serial": {"S": serial.lower()}, "name": {"S": serial}, **noted}


def registered(thing: str, at: int) -> dict[str, Any]:
    return {"took": {"S": thing}, "at": {"N": str(at)}, "certificate": {"S": "c"}}


def plan(
    asked: ClaimAsked | None,
    deployed: Deployed | None = None,
    things: tuple[str, ...] = (),
    config: dict[str, Any] = CONFIG,
    table: FakeTable | None = None,
    members: tuple[str, ...] = (),
) -> ClaimPlan:
    fleet = claim_fleet(deployed, dynamodb=table or FakeTable())
    registry = Registry({"c1a1": "ACTIVE"}, frozenset(), frozenset(members))
    found = plan_claim(fleet, asked, things, config, registry)
    assert found is not None
    return found


def test_options_ask_for_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "serials.txt"
    path.write_text("A1\n")
    serials = SerialList(path, (Serial("A1"),))
    assert [None, ClaimAsked(), ClaimAsked(serials), ClaimAsked(end=True)] == [
        read_claim_asked(False, None, False),
        read_claim_asked(True, None, False),
        read_claim_asked(True, path, False),
        read_claim_asked(False, None, True),
    ]


@pytest.mark.parametrize(
    ("claim", "serials", "end", "says"),
    [
        (True, None, True, "give --claim or --end-claims, not both"),
        (False, Path("none.txt"), True, "give --claim or --end-claims, not both"),
        (False, Path("none.txt"), False, "--serials needs --claim: it lists who may provision itself"),
        (True, Path("none.txt"), False, "there is no none.txt: write one serial per line into it"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    claim: bool, serials: Path | None, end: bool, says: str
) -> None:
    with pytest.raises(DeployError) as raised:
        read_claim_asked(claim, serials, end)
    assert says == str(raised.value)


def test_where_there_is_no_claim_and_none_is_asked_for_nothing_happens() -> None:
    assert plan_claim(claim_fleet(Deployed()), None, ["a"], CONFIG, Registry({}, frozenset(), frozenset())) is None


def test_the_first_claim_makes_a_key_and_all_that_its_stack_holds(tmp_path: Path) -> None:
    found = plan(listed("A1", "b2"), Deployed())
    assert ("create", True, True, False) == (found.stack.change, found.new_certificate, found.in_force, found.ends)
    assert (Serial("A1"), Serial("b2")) == found.difference.new
    store = KeyStore(tmp_path / "fleet")
    request = found.describe(claim_fleet(Deployed()), store).request
    assert request is not None
    assert request.startswith(REQUEST)
    assert (tmp_path / "fleet" / "claim.d" / "private.key.new").exists()


@pytest.mark.parametrize("asked", [None, ClaimAsked(), listed("A1")])
def test_what_is_deployed_stays_as_it_is_and_no_key_is_made(asked: ClaimAsked | None, tmp_path: Path) -> None:
    found = plan(asked, table=FakeTable(row("A1")))
    assert (False, "keep", True) == (found.changes, found.stack.change, found.in_force)
    assert ClaimStack(NAMES, REQUEST, ("osx", "rpi", "sys")) == found.describe(claim_fleet(), KeyStore(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_the_claim_ends_and_what_registered_stays() -> None:
    found = plan(ClaimAsked(end=True), table=FakeTable(row("A1", **registered("a1", 5))), members=("a1",))
    assert ("update", True, False, None) == (found.stack.change, found.ends, found.in_force, found.request)
    assert (False, ("a1",)) == (found.difference.changes, tuple(each.thing for each in found.provisioned))


@pytest.mark.parametrize(("asked", "changes"), [(ClaimAsked(end=True), False), (ClaimAsked(), True), (None, False)])
def test_a_claim_that_was_ended_stays_so_until_another_one_is_asked_for(
    asked: ClaimAsked | None, changes: bool
) -> None:
    found = plan(asked, claim_stack(None))
    assert (changes, changes, False) == (found.changes, found.new_certificate, found.ends)


def test_serials_are_compared_with_the_table_and_nothing_else_changes() -> None:
    found = plan(listed("A1", "new"), table=FakeTable(row("a1"), row("gone")))
    assert ("keep", True) == (found.stack.change, found.changes)
    names = [[each.serial for each in group] for group in (found.difference.new, found.difference.changed)]
    assert ([["new"], ["A1"]], ["gone"]) == (names, [each.serial for each in found.difference.gone])


@pytest.mark.parametrize(
    ("instance", "prefixes"), [({"prefix": "pi"}, ("pi",)), ({"prefix": ""}, ("",)), ({}, ("osx", "rpi", "sys"))]
)
def test_a_things_name_may_begin_as_the_configuration_says_or_else_as_installers_do(
    instance: dict[str, str], prefixes: tuple[str, ...]
) -> None:
    found = plan(listed("A1"), Deployed(), config={"agent": {"instance": {"command": "cat serial", **instance}}})
    assert (prefixes, ()) == (found.name_prefixes, found.notes)


@pytest.mark.parametrize(
    ("asked", "config", "notes"),
    [
        (listed("A1"), NOTHING, (INSTALLERS,)),
        (listed("A1"), {"agent": {"instance": {"serial": "7"}}}, ()),
        (
            listed("A1"),
            {"agent": {"thing_name": "pi"}},
            ("the devices' configuration calls every device pi (agent.thing_name)",),
        ),
        (None, NOTHING, ()),
        (ClaimAsked(end=True), NOTHING, ()),
        (
            ClaimAsked(SerialList(Path("s"), (Serial("A1"),), ("s line 2: taken once",))),
            CONFIG,
            ("s line 2: taken once",),
        ),
    ],
)
def test_what_may_surprise_is_noted(asked: ClaimAsked | None, config: dict[str, Any], notes: tuple[str, ...]) -> None:
    assert notes == plan(asked, table=FakeTable(row("A1")), config=config).notes


def test_who_provisioned_itself_is_told_the_last_one_first_and_only_while_it_is_a_thing() -> None:
    rows = [row("A1", **registered("a1", 5)), row("b2", **registered("b2", 9)), row("c3", **registered("c3", 9))]
    found = plan(None, table=FakeTable(*rows, row("d4"), row("e5", **registered("e5", 99))), members=("a1", "b2", "c3"))
    assert ["b2", "c3", "a1"] == [each.thing for each in found.provisioned]


def test_things_of_the_group_that_no_stack_made_provisioned_themselves() -> None:
    registry = Registry({}, frozenset(), frozenset({"rpi-1", "dev-1"}))
    things = {"rpi-1": DeployedThing("rpi-1", 1, "csr", "")}
    assert {"dev-1"} == provisioned_things(claim_fleet(Deployed(claim_stack().stacks, things)), registry)
    assert set() == provisioned_things(claim_fleet(Deployed({}, things)), registry)


@pytest.mark.parametrize(("status", "there"), [("CREATE_COMPLETE", True), ("ROLLBACK_COMPLETE", False)])
def test_a_stack_that_failed_to_create_lets_nobody_in(status: str, there: bool) -> None:
    assert there == is_deployed(claim_fleet(claim_stack(status=status)))


@pytest.mark.parametrize(
    ("asked", "deployed", "things", "says"),
    [
        (
            ClaimAsked(),
            Deployed(),
            (),
            "--claim: which devices may provision themselves? Write their serials, one per line, into a file, and name "
            "it with --serials FILE",
        ),
        (
            ClaimAsked(end=True),
            Deployed(),
            (),
            "--end-claims: no device of this fleet can provision itself, so there is nothing to end",
        ),
        (
            listed("A1"),
            Deployed(),
            ("Claim",),
            "no thing can be called Claim in a fleet whose devices provision themselves: its bundle would be "
            "claim.tar, which is the claim",
        ),
        (None, claim_stack(), ("claim",), "no thing can be called claim in a fleet whose devices provision themselves"),
        (
            listed("RPI-0001"),
            claim_stack(),
            ("rpi-0001",),
            "serials.txt: rpi-0001 is in the list of things as well, whose key is made here: take it out of one of the "
            "two",
        ),
        (
            listed(A1="Roof"),
            claim_stack(),
            ("roof",),
            "serials.txt: roof is in the list of things as well",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    asked: ClaimAsked | None, deployed: Deployed, things: tuple[str, ...], says: str
) -> None:
    with pytest.raises(DeployError) as raised:
        plan(asked, deployed, things)
    assert str(raised.value).startswith(says)


def test_a_thing_may_be_called_claim_where_no_device_provisions_itself() -> None:
    registry = Registry({}, frozenset(), frozenset())
    assert plan_claim(claim_fleet(Deployed()), None, ["claim"], CONFIG, registry) is None


@pytest.mark.parametrize(
    ("before", "after", "most", "refused"),
    [
        (40, 36, None, False),  # a tenth
        (40, 35, None, True),
        (3, 2, None, False),  # one may go in a small fleet
        (3, 1, None, True),
        (3, 2, 0, True),
        (3, 1, 2, False),
    ],
)
def test_a_list_that_may_have_been_cut_is_refused(before: int, after: int, most: int | None, refused: bool) -> None:
    rows = [row(f"s{number}") for number in range(before)]
    found, gone = plan(listed(*(f"s{number}" for number in range(after))), table=FakeTable(*rows)), before - after
    if not refused:
        refuse_lost_serials(found, most)
        return
    with pytest.raises(DeployError) as raised:
        refuse_lost_serials(found, most)
    assert str(raised.value).startswith(f"{gone} of {before} serials are no longer listed, and without being asked ")
    assert str(raised.value).endswith(f"look whether the list is whole; if it is, give --delete-at-most {gone}")


def test_without_a_claim_no_serial_is_lost() -> None:
    refuse_lost_serials(None, 0)
