"""The way from what is deployed to what is planned; what fails is told at the end, and holds up nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.artifacts import empty, upload
from infrastructure.changesets import apply_template, delete_stack
from infrastructure.claim import ClaimPlan
from infrastructure.cloudwatch import CloudWatchPlan
from infrastructure.deployed import certificates_of
from infrastructure.description import FleetStack, StackDescription, ThingsStack
from infrastructure.detect import DetectPlan, judge
from infrastructure.engine import EnginePlan
from infrastructure.engine_rollout import roll_out_engine
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.greengrass import GreengrassPlan
from infrastructure.keys import KeyStore
from infrastructure.membership import add_members
from infrastructure.pacing import side_by_side
from infrastructure.plan import DELETE, Plan, StackPlan, ThingsPlan
from infrastructure.refusals import explain
from infrastructure.screen import Bar
from infrastructure.serial_table import write_table
from infrastructure.watch import STACK, LeftBehind, StackEvent

STACKS_AT_ONCE = 4  # each of them makes certificates, of which AWS makes 15 a second for an account
DONE = {
    "CREATE_COMPLETE": "has its certificate",
    "UPDATE_COMPLETE": "has a new certificate",
    "DELETE_COMPLETE": "its certificate is deleted",
}


class Rollout:
    """Brings a fleet to its plan."""

    def __init__(self, fleet: Fleet, store: KeyStore) -> None:
        self._fleet = fleet
        self._store = store

    def run(
        self,
        plan: Plan,
        detect: DetectPlan | None,
        joining: Sequence[str],
        cloudwatch: CloudWatchPlan | None = None,
        greengrass: GreengrassPlan | None = None,
        claim: ClaimPlan | None = None,
        engine: EnginePlan | None = None,
    ) -> list[DeployError]:
        """Do what is planned; return what failed. Without the fleet's own stack nothing else is tried."""
        templates = self._synthesize(plan, detect, cloudwatch, greengrass, claim, engine)
        errors: list[DeployError] = []
        if plan.fleet.changes:
            try:
                self._apply(plan.fleet.name, templates[plan.fleet.name])
            except LeftBehind as left:
                errors.append(left)
        problems = self._roll_out_things(plan.stacks, templates)
        # What is in a stack that failed may not be there to join.
        failed = {thing for stack, error in problems if not isinstance(error, LeftBehind) for thing in stack.things}
        errors += [error for _, error in problems]
        group = self._fleet.names.group
        error = attempt(lambda: self._join([thing for thing in joining if thing not in failed], group))
        errors += [error] if error is not None else []
        if cloudwatch is not None:
            errors += self._roll_out_cloudwatch(cloudwatch, templates)
        if greengrass is not None and greengrass.changes:
            error = attempt(lambda: self._roll_out_greengrass(greengrass, templates))
            errors += [error] if error is not None else []
        if claim is not None and claim.changes:
            error = attempt(lambda: self._roll_out_claim(claim, templates))
            errors += [error] if error is not None else []
        if detect is not None:
            errors += self._roll_out_detect(detect, templates)
        if engine is not None and engine.changes:  # after the topic of alerts
            roll_out = lambda stack: self._roll_out_stack(stack, templates)  # noqa: E731
            error = attempt(lambda: roll_out_engine(self._fleet, engine, roll_out))
            errors += [error] if error is not None else []
        return errors

    def _synthesize(
        self,
        plan: Plan,
        detect: DetectPlan | None,
        cloudwatch: CloudWatchPlan | None,
        greengrass: GreengrassPlan | None,
        claim: ClaimPlan | None,
        engine: EnginePlan | None,
    ) -> dict[str, str]:
        """Return the templates of the stacks that change; only these cost time."""
        shared = FleetStack(self._fleet.names, plan.cloudwatch)
        descriptions: list[StackDescription] = [shared] if plan.fleet.changes else []
        descriptions += [self._describe(stack, plan) for stack in plan.stacks if stack.changes and stack.things]
        descriptions += [detect.description] if detect is not None and detect.changes else []
        descriptions += cloudwatch.descriptions if cloudwatch is not None else []
        descriptions += greengrass.descriptions if greengrass is not None else []
        if claim is not None and claim.stack.changes:
            descriptions.append(claim.describe(self._fleet, self._store))
        descriptions += engine.descriptions if engine is not None else []
        if not descriptions:
            return {}
        from infrastructure.synthesis import synthesize  # imports aws_cdk, which starts Node

        self._fleet.screen.say("describing what changes with the AWS CDK ...")
        return synthesize(descriptions)

    def _describe(self, stack: ThingsPlan, plan: Plan) -> ThingsStack:
        requests = {thing: self._request(thing, plan) for thing in stack.things}
        return ThingsStack(self._fleet.names, stack.number, requests)

    def _request(self, thing: str, plan: Plan) -> str:
        """Return the request of a thing's certificate: another one than now is another certificate."""
        deployed = self._fleet.deployed.things.get(thing)
        if deployed is None:
            return self._store.request(thing)
        return self._store.renew(thing, deployed.request) if thing in plan.rotated else deployed.request

    def _roll_out_things(
        self, stacks: Iterable[ThingsPlan], templates: Mapping[str, str]
    ) -> list[tuple[ThingsPlan, DeployError]]:
        changing = [stack for stack in stacks if stack.changes]
        roll_out = lambda stack: attempt(lambda: self._roll_out_stack(stack, templates))  # noqa: E731
        done = side_by_side(roll_out, changing, STACKS_AT_ONCE)
        return [(stack, error) for stack, error in done if error is not None]

    def _roll_out_cloudwatch(self, plan: CloudWatchPlan, templates: Mapping[str, str]) -> list[DeployError]:
        changing = [stack for stack, _ in plan.stacks if stack.changes]
        roll_out = lambda stack: attempt(lambda: self._roll_out_stack(stack, templates))  # noqa: E731
        return [error for _, error in side_by_side(roll_out, changing, STACKS_AT_ONCE) if error is not None]

    def _roll_out_greengrass(self, plan: GreengrassPlan, templates: Mapping[str, str]) -> None:
        """Make the bucket, put the zips there, deploy, and put cores into the group; or give all of it up."""
        account, names = self._fleet.account, self._fleet.names
        for stack, _ in plan.stacks if plan.component is not None else reversed(plan.stacks):
            if stack.name == names.artifacts_stack and plan.component is None:
                empty(account, plan.bucket)
            if stack.changes:
                self._roll_out_stack(stack, templates)
            if stack.name == names.artifacts_stack and plan.component is not None:
                with self._fleet.screen.bar(f"bucket {plan.bucket}", 0) as bar:
                    for artifact in upload(account, plan.bucket, plan.component.artifacts):
                        bar.say(f"{artifact.path.name} uploaded")
        self._join(plan.joining, plan.group)

    def _roll_out_claim(self, plan: ClaimPlan, templates: Mapping[str, str]) -> None:
        """Make what lets devices provision themselves, then write down which ones may."""
        account, table = self._fleet.account, self._fleet.names.serials_table
        if plan.stack.changes:
            self._roll_out_stack(plan.stack, templates)
        count = sum(map(len, (plan.difference.new, plan.difference.changed, plan.difference.gone)))
        if not count:
            return
        with self._fleet.screen.bar(f"table {table}", count) as bar:
            for written in write_table(account, table, plan.difference):
                bar.advance(written)
            bar.say(f"{count} serials written")

    def _roll_out_stack(self, stack: StackPlan, templates: Mapping[str, str]) -> None:
        if stack.change == DELETE:
            self._delete(stack.name)
        else:
            self._apply(stack.name, templates[stack.name])

    def _roll_out_detect(self, detect: DetectPlan, templates: Mapping[str, str]) -> list[DeployError]:
        if detect.problem is not None:
            return [detect.problem]
        if not detect.changes:
            return []
        error = attempt(lambda: self._apply(detect.name, templates[detect.name]))
        return [judge(error)] if error is not None else []

    def _apply(self, name: str, template: str) -> None:
        before = self._fleet.deployed.stack(name)
        owners = _changing(before.template if before else {}, json.loads(template))
        with self._fleet.screen.bar(name, len(owners)) as bar:
            apply_template(self._fleet.account, name, template, before, self._teller(bar, owners))
            bar.say("done")

    def _delete(self, name: str) -> None:
        before = self._fleet.deployed.stacks[name]
        owners = certificates_of(before.template)
        with self._fleet.screen.bar(name, len(owners)) as bar:
            delete_stack(self._fleet.account, before, self._teller(bar, owners))
            bar.say("deleted")

    def _join(self, things: Sequence[str], group: str) -> None:
        """Put things into a group; one that does not exist any more is drift, which is told."""
        if not things:
            return
        with self._fleet.screen.bar(f"group {group}", len(things)) as bar:
            for thing, exists in add_members(self._fleet.account.iot, group, things):
                bar.step(f"{thing} joined" if exists else f"{thing} no longer exists")

    @staticmethod
    def _teller(bar: Bar, owners: Mapping[str, str]) -> Callable[[StackEvent], None]:
        """Return what tells of a stack's events: each certificate that is made or deleted, and each failure.

        One that is replaced is deleted after the new one is made, so the first of the two is told; what is made and
        deleted while CloudFormation rolls back is not.
        """
        waiting = set(owners)
        rolled_back = False

        def tell(event: StackEvent) -> None:
            nonlocal rolled_back
            what = owners.get(event.logical_id, event.logical_id)
            if event.failed:
                bar.say(f"{what}: {event.reason}")
            elif event.type == STACK and event.status.endswith("ROLLBACK_IN_PROGRESS"):
                rolled_back = True
                bar.say("rolling back")
            elif event.logical_id in waiting and event.status in DONE and not rolled_back:
                waiting.remove(event.logical_id)
                bar.step(f"{what} {DONE[event.status]}")

        return tell


def _changing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return the certificates that come, change or go between two templates: logical id to thing name."""
    before, after = old.get("Resources", {}), new.get("Resources", {})
    owners = {**certificates_of(old), **certificates_of(new)}
    return {name: thing for name, thing in owners.items() if before.get(name) != after.get(name)}


def attempt(work: Callable[[], Any]) -> DeployError | None:
    """Do some work; return the sentence for what was in its way, None if it is done."""
    try:
        work()
    except DeployError as error:
        return error
    except (BotoCoreError, ClientError) as error:
        return explain(error)
    return None
