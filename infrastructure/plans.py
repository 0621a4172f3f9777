"""All that is to be done to a fleet, part by part: its things, Detect, CloudWatch, and Greengrass cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infrastructure.claim import ClaimAsked, ClaimPlan, plan_claim
from infrastructure.cloudwatch import CloudWatchPlan, plan_cloudwatch, read_wanted_sending
from infrastructure.detect import DetectPlan, plan_detect
from infrastructure.drift import Drift, find_drift, refuse_missing
from infrastructure.engine import EnginePlan, EngineWish, plan_engine
from infrastructure.fleet import Fleet
from infrastructure.greengrass import Asked, GreengrassPlan, plan_greengrass
from infrastructure.plan import Plan, make_plan
from infrastructure.registry import Registry, refuse_foreign_things
from infrastructure.rotation import Wish, read_wishes, split_rotations
from infrastructure.sources import Wanted


@dataclass(frozen=True)
class Wishes:
    """What a deployer asks for besides what is in the files."""

    rotate: tuple[str, ...]
    detect: bool
    alert_email: str | None  # None leaves it as it is deployed, "" ends it
    cloudwatch: bool | None  # None leaves it as it is deployed
    greengrass: Asked | None  # None leaves it as it is deployed
    component: Path  # where what `make component` built is
    claim: ClaimAsked | None = None  # None leaves it as it is deployed
    engine: EngineWish = EngineWish()
    application: Path = Path("dist/flink")  # where what `make flink-application` built is


@dataclass(frozen=True)
class Plans:
    """All that is to be done."""

    things: Plan
    joining: Sequence[str]  # things that are not in the fleet's group yet
    drift: Sequence[Drift]
    detect: DetectPlan | None
    cloudwatch: CloudWatchPlan | None
    greengrass: GreengrassPlan | None
    claim: ClaimPlan | None
    engine: EnginePlan | None
    rotating: Sequence[Wish] = ()  # things that are asked to rotate by themselves

    @property
    def changes(self) -> bool:
        """Whether anything is to be done at all."""
        parts = (self.things, self.detect, self.cloudwatch, self.greengrass, self.claim, self.engine)
        return bool(self.joining or self.rotating) or any(part is not None and part.changes for part in parts)

    @property
    def problems(self) -> list[object]:
        """What was changed by hand, and this run does not repair."""
        rotated = self.things.rotated
        left: list[object] = [each for each in self.drift if each.thing not in rotated or not each.rotation_repairs]
        parts = (self.cloudwatch, self.greengrass, self.claim, self.engine)
        return left + [each for part in parts if part is not None for each in part.drift]


def make_plans(fleet: Fleet, registry: Registry, wanted: Wanted, wishes: Wishes) -> Plans:
    """Return what is to be done; DeployError where it cannot be, or must not."""
    sending = read_wanted_sending(fleet, wishes.cloudwatch, wanted)
    rotate, rotating = split_rotations(fleet, registry, wishes.rotate)
    plan = make_plan(fleet, wanted.things, rotate, cloudwatch=sending is not None)
    refuse_missing(fleet, registry)
    refuse_foreign_things(fleet.account.iot, plan.new)
    detect = plan_detect(fleet, wanted.profiles, wanted.metrics, wishes.alert_email) if wishes.detect else None
    cloudwatch = plan_cloudwatch(fleet, sending, wanted.things)
    greengrass = plan_greengrass(fleet, wishes.greengrass, wanted.device_config, wanted.things, wishes.component)
    engine = plan_engine(fleet, wishes.engine, wanted, detect, wishes.application)
    drift = find_drift(fleet, [fleet.deployed.things[thing] for thing in plan.kept], registry)
    deleted = {each.thing for each in drift if not each.rotation_repairs}
    joining = [thing for thing in wanted.things if thing not in registry.members and thing not in deleted]
    claim = plan_claim(fleet, wishes.claim, wanted.things, wanted.device_config, registry)
    asked = read_wishes(fleet.account, rotating)
    return Plans(plan, joining, drift, detect, cloudwatch, greengrass, claim, engine, asked)
