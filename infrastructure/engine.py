"""What happens to Detect on Apache Flink: the code, the rules and the stacks of Managed Service for Apache Flink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from device_defender.wording import shown
from infrastructure.account import found
from infrastructure.application import Application, Rules, make_rules, newest_rules, read_application
from infrastructure.artifacts import ABSENT
from infrastructure.deployed import DeployedStack
from infrastructure.description import EngineBucketStack, EngineStack, StackDescription
from infrastructure.detect import DetectPlan, deployed_email
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.plan import DELETE, KEEP, StackPlan, change_of
from infrastructure.refusals import code_of
from infrastructure.sizing import PROCESS, Size
from infrastructure.sources import Wanted

FLINK, AWS = "flink", "aws"  # what evaluates reports
APPLICATION = "AWS::KinesisAnalyticsV2::Application"
RUNNING, READY = "RUNNING", "READY"  # READY is one that was made or stopped, and does nothing
USUAL_INTERVAL = 300.0  # seconds; the publisher's
NO_RULE = ("ResourceNotFoundException", "UnauthorizedException")  # what GetTopicRule says of one that is not there
ASK = "give --detect-engine flink as well"
AGAIN = "give --detect-engine aws, then --detect-engine flink again"


@dataclass(frozen=True)
class EngineWish:
    """What a deployer asks for; None leaves a value as it is deployed."""

    engine: str | None = None  # FLINK or AWS
    mode: str | None = None
    things: int | None = None
    alert_email: str | None = None  # "" ends it


@dataclass(frozen=True)
class EnginePlan:
    """What happens to Detect on Apache Flink."""

    stacks: tuple[tuple[StackPlan, StackDescription | None], ...]  # the bucket's first; those that go have none
    bucket: str
    name: str = ""  # of the application
    size: Size | None = None  # None: it is given up
    application: Application | None = None  # the code to upload where it is not there; None leaves it
    rules: Rules = Rules(b"")  # those that are to be in force
    uploads_rules: bool = False  # whether others are
    starts: bool = False  # whether it does not run, and is to
    drift: tuple[DeployError, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        done = (self.application, self.uploads_rules, self.starts, *(stack.changes for stack, _ in self.stacks))
        return any(done)

    @property
    def descriptions(self) -> list[StackDescription]:
        """What is to be in the stacks that change."""
        return [what for stack, what in self.stacks if stack.changes and what is not None]


def read_engine_wish(engine: str | None, mode: str | None, things: int | None, email: str | None) -> EngineWish:
    """Return what the options ask for; raise DeployError for options of an engine that is given up."""
    if engine == AWS and (mode is not None or things is not None):
        raise DeployError("--flink-mode and --flink-things go with --detect-engine flink, not with aws")
    if things == 0:
        raise DeployError("--flink-things must be at least 1, got 0")
    return EngineWish(engine, mode, things, email)


def plan_engine(
    fleet: Fleet, wish: EngineWish, wanted: Wanted, detect: DetectPlan | None, built: Path
) -> EnginePlan | None:
    """Return what happens to Detect on Apache Flink, None where it neither is nor is to be.

    `wanted` has the security profiles, none where they are left alone; `built` is where the application is. Raises
    DeployError where it cannot be.
    """
    names, account = fleet.names, fleet.account
    bucket = names.engine_bucket(account.id, account.region)
    stack = fleet.deployed.stack(names.engine_stack)
    there = [name for name in (names.engine_bucket_stack, names.engine_stack) if name in fleet.deployed.stacks]
    deployed = stack is not None and stack.exists
    if wish.engine is None and not deployed and (wish.mode is not None or wish.things is not None):
        raise DeployError("--flink-mode and --flink-things are about an engine, and there is none: " + ASK)
    if wish.engine == AWS or (wish.engine is None and not deployed):
        gone = tuple((StackPlan(name, DELETE), None) for name in there if wish.engine == AWS)
        return EnginePlan(gone, bucket) if gone else None
    _refuse_own_topic(wanted.device_config)
    code = read_application(built) if wish.engine == FLINK else None
    before = stack.metadata(APPLICATION) if stack is not None else {}
    what = _describe(fleet, wish, wanted, _alerts_exist(fleet, detect), code, before, bucket)
    holder = EngineBucketStack(names, bucket)
    stacks = tuple(
        (StackPlan(each.stack_name, change_of(fleet.deployed, each.stack_name, each.digest)), each)
        for each in (holder, what)
    )
    keys = list(_keys(fleet, bucket))
    rules, leaves_rules = make_rules(wanted.profiles), not wanted.profiles and wish.engine is None
    status = _status(fleet, names.engine) if stacks[1][0].change == KEEP else READY
    is_new = stacks[0][0].changes
    return EnginePlan(
        stacks=stacks,
        bucket=bucket,
        name=names.engine,
        size=Size(what.things, what.interval, what.mode),
        application=code if code is not None and (is_new or code.key not in keys) else None,
        rules=rules,
        uploads_rules=not leaves_rules and (is_new or newest_rules(keys) != rules.digest),
        starts=wish.engine == FLINK and status == READY,
        drift=tuple(_drift(fleet, stacks[1][0], what, status, keys, wish)),
    )


def deployed_engine_email(stack: DeployedStack | None) -> str | None:
    """Return the address that the engine's own topic is emailed to, None without one."""
    subscriptions = stack.resources("AWS::SNS::Subscription") if stack is not None else {}
    return next((str(each["Endpoint"]) for each in subscriptions.values()), None)


def _describe(
    fleet: Fleet,
    wish: EngineWish,
    wanted: Wanted,
    alerts_exist: bool,
    code: Application | None,
    before: Mapping[str, Any],
    bucket: str,
) -> EngineStack:
    """Return what is to be in the engine's stack: what is asked for, or else what is deployed."""
    interval = _interval(wanted)
    mode = wish.mode or str(before.get("mode") or PROCESS)
    things = wish.things or int(before.get("asked") or 0) or max(1, len(wanted.things))
    stack = fleet.deployed.stack(fleet.names.engine_stack)
    email = deployed_engine_email(stack) if wish.alert_email is None else wish.alert_email or None
    return EngineStack(
        names=fleet.names,
        bucket=bucket,
        code_key=code.key if code is not None else str(before.get("code", "")),
        jar=code.jar if code is not None else str(before.get("jar", "")),
        mode=mode,
        things=things,
        asked=wish.things or int(before.get("asked") or 0),
        parallelism=Size(things, interval, mode).parallelism,
        interval=interval,
        alerts_exist=alerts_exist,
        alert_email=None if alerts_exist else email,
    )


def _interval(wanted: Wanted) -> float:
    """Return the seconds between two reports of a thing, by the devices' configuration."""
    given = wanted.device_config.get("agent", {}).get("publish_interval")
    if given is None:
        return USUAL_INTERVAL
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given <= 0:
        raise DeployError(
            f"{wanted.config_source}: agent.publish_interval must be a number of seconds above 0, got {shown(given)}"
        )
    return float(given)


def _alerts_exist(fleet: Fleet, detect: DetectPlan | None) -> bool:
    """Whether the security profiles have a topic of alerts once this run has ended."""
    if detect is not None and detect.problem is None:
        return detect.description.alert_email is not None
    return deployed_email(fleet) is not None


def _refuse_own_topic(device_config: Mapping[str, Any]) -> None:
    topic = device_config.get("agent", {}).get("topic")
    if topic is not None:
        raise DeployError(
            f"the devices' configuration has agent.topic ({topic!r}), which the fleet's policy does not allow and the "
            "rule of the engine does not read: take it out, so that devices report on Device Defender's own topics"
        )


def _keys(fleet: Fleet, bucket: str) -> Iterator[str]:
    """Yield the keys of all that is in the bucket; none where there is no such bucket yet."""
    pages = fleet.account.client("s3").get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, ExpectedBucketOwner=fleet.account.id):
            yield from (each["Key"] for each in page.get("Contents", []))
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise


def _status(fleet: Fleet, name: str) -> str:
    """Return the status of the application, "" where there is none."""
    answer = found(fleet.account.client("kinesisanalyticsv2").describe_application, ApplicationName=name)
    return str(answer["ApplicationDetail"]["ApplicationStatus"]) if answer is not None else ""


def _drift(
    fleet: Fleet, stack: StackPlan, what: EngineStack, status: str, keys: list[str], wish: EngineWish
) -> Iterator[DeployError]:
    """Yield what keeps reports from being evaluated, although the stack is as it should be."""
    if stack.change != KEEP:
        return
    if not status:
        yield DeployError(f"the Flink application {what.names.engine} was deleted by hand: {AGAIN}")
    elif status == READY and wish.engine is None:
        yield DeployError(
            f"the Flink application {what.names.engine} does not run, and no report is evaluated: give --detect-engine "
            "flink, which starts it"
        )
    if what.code_key not in keys and wish.engine is None:
        yield DeployError(
            f"s3://{what.bucket}/{what.code_key} was deleted by hand, and the application cannot start again: give "
            "--detect-engine flink, which uploads it"
        )
    rule = _rule(fleet, what.names.engine_rule)
    if rule is None:
        yield DeployError(f"the rule {what.names.engine_rule} of AWS IoT was deleted by hand: {AGAIN}")
    elif rule.get("ruleDisabled"):
        yield DeployError(
            f"the rule {what.names.engine_rule} of AWS IoT is disabled, and no report is evaluated: `aws iot "
            f"enable-topic-rule --rule-name {what.names.engine_rule} --region {fleet.account.region}`"
        )


def _rule(fleet: Fleet, name: str) -> Mapping[str, Any] | None:
    try:
        return dict(fleet.account.iot.get_topic_rule(ruleName=name)["rule"])
    except ClientError as error:
        if code_of(error) in NO_RULE:
            return None
        raise
