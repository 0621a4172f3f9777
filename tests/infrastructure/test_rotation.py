"""The wish that a device rotates is a time in its thing's shadow, and what became of the last one is read there."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure.deployed import Deployed, DeployedThing  # noqa: E402
from infrastructure.registry import Registry  # noqa: E402
from infrastructure.rotation import Wish, ask, read_wishes, split_rotations  # noqa: E402
from tests.fakes.fake_account import make_account  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.claims import claim_fleet, claim_stack  # noqa: E402

NOON = datetime(2026, 11, 30, 13, 0, tzinfo=timezone(timedelta(hours=1)))
AT = "2026-11-30T12:00:00Z"


class Shadows:
    """AWS IoT's data plane: the shadows of things, by the thing's name."""

    def __init__(self, **shadows: Any) -> None:
        self.shadows = {name.replace("_", "-"): each for name, each in shadows.items()}
        self.written: dict[str, Any] = {}

    def get_thing_shadow(self, thingName: str, shadowName: str) -> dict[str, Any]:  # noqa: N803
        assert "rotation" == shadowName
        if thingName not in self.shadows:
            raise refuse("ResourceNotFoundException", "No shadow exists with name: 'rotation'")
        if isinstance(self.shadows[thingName], Exception):
            raise self.shadows[thingName]
        return {"payload": io.BytesIO(json.dumps(self.shadows[thingName]).encode())}

    def update_thing_shadow(self, thingName: str, shadowName: str, payload: bytes) -> None:  # noqa: N803
        assert "rotation" == shadowName
        self.written[thingName] = json.loads(payload)


def account(shadows: Shadows) -> Any:
    return make_account(**{"iot-data": shadows})


def test_each_thing_is_asked_with_the_same_time_in_utc() -> None:
    shadows = Shadows()
    assert ["dev-1", "dev-2"] == list(ask(account(shadows), ["dev-1", "dev-2"], NOON))
    wish = {"state": {"desired": {"rotate": AT}}}
    assert {"dev-1": wish, "dev-2": wish} == shadows.written


def test_nobody_is_asked_where_nobody_is_named() -> None:
    shadows = Shadows()
    assert ([], {}) == (list(ask(account(shadows), [])), shadows.written)


@pytest.mark.parametrize(
    ("state", "wish", "says"),
    [
        ({"desired": {"rotate": AT}}, Wish("dev-1", AT), f"dev-1 was asked at {AT}, and has not done it yet"),
        (
            {"desired": {"rotate": AT}, "reported": {"rotate": "2025-01-01T00:00:00Z"}},
            Wish("dev-1", AT),
            f"dev-1 was asked at {AT}, and has not done it yet",
        ),
        (
            {"desired": {"rotate": AT}, "reported": {"rotate": AT, "certificateId": "f00d"}},
            Wish("dev-1", AT, done=True),
            f"dev-1 was asked at {AT}, and has done it",
        ),
        ({"reported": {"certificateId": "f00d"}}, Wish("dev-1"), "dev-1 was never asked"),
        ({}, Wish("dev-1"), "dev-1 was never asked"),
    ],
)
def test_what_was_asked_for_last_is_read_with_whether_it_was_done(state: Any, wish: Wish, says: str) -> None:
    (found,) = read_wishes(account(Shadows(dev_1={"state": state})), ["dev-1"])
    assert (wish, says) == (found, str(found))


def test_a_thing_without_a_shadow_was_never_asked() -> None:
    assert [Wish("dev-1"), Wish("dev-2")] == read_wishes(account(Shadows(dev_2={})), ["dev-1", "dev-2"])


def test_a_right_that_is_missing_is_not_taken_for_a_thing_that_was_never_asked() -> None:
    with pytest.raises(ClientError, match="iot:GetThingShadow"):
        read_wishes(account(Shadows(dev_1=refuse("ForbiddenException", "iot:GetThingShadow"))), ["dev-1"])


@pytest.mark.parametrize(
    ("deployed", "bundles", "own"),
    [(claim_stack(), ("rpi-1", "new"), ("dev-1",)), (Deployed(), ("dev-1", "rpi-1", "new"), ())],
)
def test_a_thing_that_provisioned_itself_rotates_itself_and_others_get_a_bundle(
    deployed: Deployed, bundles: tuple[str, ...], own: tuple[str, ...]
) -> None:
    fleet = claim_fleet(Deployed(deployed.stacks, {"rpi-1": DeployedThing("rpi-1", 1, "csr", "")}))
    registry = Registry({}, frozenset(), frozenset({"dev-1", "rpi-1"}))
    assert (bundles, own) == split_rotations(fleet, registry, ["dev-1", "rpi-1", "new"])
