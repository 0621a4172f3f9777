"""What a deployer is shown before anything is done: where, what is new, what changes, and what is deleted."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from infrastructure.bundles import unreported
from infrastructure.claim_summary import show_claim, show_wishes
from infrastructure.cloudwatch import CloudWatchPlan
from infrastructure.detect import DetectPlan, deployed_metrics, deployed_profiles
from infrastructure.drift import Drift
from infrastructure.engine import EnginePlan
from infrastructure.engine_summary import LOST, describe_engine
from infrastructure.fleet import Fleet
from infrastructure.greengrass import GreengrassPlan
from infrastructure.log_groups import days_text, deployed_groups
from infrastructure.plan import CREATE, DELETE, KEEP, RECREATE, UPDATE, Plan, StackPlan
from infrastructure.plans import Plans
from infrastructure.screen import Screen
from infrastructure.sending import Sending
from infrastructure.sentences import profile_sentences
from infrastructure.sources import Wanted

WILL = {
    CREATE: "is created",
    RECREATE: "failed to create earlier; it will be deleted and created again",
    UPDATE: "is updated",
    DELETE: "is deleted, because no thing is left in it",
    KEEP: "stays as it is",
}
STAYS = "note      the component stays on the cores until another deployment to them leaves it out"


def show_account(fleet: Fleet) -> None:
    """Show where the fleet is deployed."""
    account, say = fleet.account, fleet.screen.say
    say(f"account   {account.id}, as {account.caller}")
    say(f"region    {account.region}")
    say(f"endpoint  {account.endpoint}")
    say(f"fleet     {fleet.names.prefix}")


def show_plans(plans: Plans, fleet: Fleet, wanted: Wanted) -> None:
    """Show all that is to be done."""
    show_plan(fleet.screen, plans.things, plans.joining, plans.drift)
    show_detect(fleet, plans.detect, unreported(wanted.metrics, wanted.device_config))
    show_cloudwatch(fleet, plans.cloudwatch)
    show_greengrass(fleet, plans.greengrass)
    show_claim(fleet, plans.claim)
    show_wishes(fleet.screen, plans.rotating)
    show_engine(fleet, plans.engine, plans.detect)


def show_plan(screen: Screen, plan: Plan, joining: Sequence[str], drift: Sequence[Drift]) -> None:
    """Show what is new, kept, rotated and gone."""
    screen.say_names("new", plan.new)
    screen.say_names("kept", plan.kept)
    screen.say_names("rotated", plan.rotated, "cut off until their devices have the new certificate and key")
    screen.say_names("gone", plan.gone, "no longer listed: thing and certificate are DELETED", all_of_them=True)
    screen.say_names("to join", [thing for thing in joining if thing in plan.kept], "not in the thing group yet")
    for stack in (plan.fleet, *plan.stacks):
        _show_stack(screen, stack)
    for each in drift:
        rotated = each.rotation_repairs and each.thing in plan.rotated
        screen.say(f"drift     {each.thing}: {each.says}" + (" (which this run does)" if rotated else ""))


def show_detect(fleet: Fleet, detect: DetectPlan | None, unreported: Sequence[str]) -> None:
    """Show the security profiles and custom metrics, what they will do, and which metrics no device will report."""
    say = fleet.screen.say
    if detect is None:
        return say("Detect    is left alone (--no-detect)")
    _show_profiles(fleet, detect)
    _show_metrics(fleet, detect)
    for metric in unreported:
        say(f"note      the security profiles name {metric}, which the devices' configuration does not report")
    if detect.problem is not None:
        return say(f"Detect    cannot be deployed, everything else can: {detect.problem}")
    return _show_stack(fleet.screen, detect)


def show_cloudwatch(fleet: Fleet, plan: CloudWatchPlan | None) -> None:
    """Show what devices send to CloudWatch, and which log groups come and go."""
    if plan is None:
        return
    screen, lost = fleet.screen, "DELETED with all that is in them"
    if plan.sending is None:
        screen.say("CloudWatch is given up (--no-cloudwatch): devices get no credentials any longer")
    else:
        _show_sending(screen, plan.sending)
    screen.say_names("log group", plan.new, "new")
    screen.say_names("log group", sorted(group.name for group in plan.gone), lost, all_of_them=True)
    for stack, _ in plan.stacks:
        if stack.change == DELETE:
            screen.say(f"stack     {stack.name} is deleted")
        else:
            _show_stack(screen, stack)
    for each in plan.drift:
        screen.say(f"drift     {each}")


def _show_sending(screen: Screen, sending: Sending) -> None:
    if sending.namespace is not None:
        screen.say(f"sends     metrics to {sending.namespace}; CloudWatch charges for each metric, thing and month")
    days = sending.retention
    kept = f"kept for {days_text(days)}" if days else "kept for ever (no logs.retention_in_days)"
    for place in sending.places:
        stream = f", stream {place.stream}" if place.stream is not None else ""
        screen.say(f"sends     logs to {place.group}{stream}, {kept}")


def show_greengrass(fleet: Fleet, plan: GreengrassPlan | None) -> None:
    """Show what is deployed to Greengrass cores, and what that replaces."""
    if plan is None:
        return
    screen, component = fleet.screen, plan.component
    if component is not None:
        before = f"version {plan.replaced}" if plan.replaced else "nothing, because none was deployed to it"
        screen.say(f"component {component.name} {component.version}, {len(component.artifacts)} zips in {plan.bucket}")
        if any(stack.changes for stack, _ in plan.stacks):
            screen.say(f"deploys   it to the thing group {plan.group}, where it replaces {before}")
        if plan.left:
            screen.say(f"leaves    the thing group {plan.left}, on whose cores the component stays")
    screen.say_names("uploads", plan.missing, "deleted by hand")
    screen.say_names("cores", plan.joining, f"not in the thing group {plan.group} yet")
    for stack, _ in plan.stacks:
        if stack.change == DELETE:
            screen.say(f"stack     {stack.name} is deleted")
        else:
            _show_stack(screen, stack)
    if any(stack.change == DELETE for stack, _ in plan.stacks):
        screen.say(STAYS)
    elif any(stack.changes for stack, _ in plan.stacks):
        objects = f"arn:{fleet.account.partition}:s3:::{plan.bucket}/*"
        screen.say(f"note      the cores' token exchange role must be allowed s3:GetObject on {objects}")
    for each in plan.drift:
        screen.say(f"drift     {each}")


def show_engine(fleet: Fleet, plan: EnginePlan | None, detect: DetectPlan | None) -> None:
    """Show what happens to Detect on Apache Flink, and what it costs."""
    if plan is None:
        return
    for line in describe_engine(fleet, plan, detect):
        fleet.screen.say(line)
    for stack, _ in plan.stacks:
        if stack.change == DELETE:
            fleet.screen.say(f"stack     {stack.name} is deleted")
        else:
            _show_stack(fleet.screen, stack)


def show_destruction(fleet: Fleet, strangers: Sequence[str]) -> None:
    """Show what is deleted with a fleet, every thing by its name."""
    screen, deployed = fleet.screen, fleet.deployed
    if not deployed.stacks:
        screen.say("nothing of this fleet is deployed")
    for name in sorted(deployed.stacks):
        screen.say(f"stack     {name} is deleted")
    screen.say_names("things", sorted(deployed.things), "deleted with their certificates", all_of_them=True)
    groups = sorted(group.name for group in deployed_groups(fleet))
    screen.say_names("log group", groups, "deleted with all that is in them", all_of_them=True)
    why = "not part of this fleet; the policy will be detached from it"
    screen.say_names("detached", strangers, why, all_of_them=fleet.names.claim_stack not in deployed.stacks)
    if fleet.names.greengrass_stack in deployed.stacks:
        screen.say(STAYS)
    if fleet.names.engine_stack in deployed.stacks:
        screen.say(f"engine    DELETED with it: {LOST}")


def _show_stack(screen: Screen, stack: StackPlan) -> None:
    """Show what happens to a stack, if anything does."""
    if stack.change != KEEP:
        screen.say(f"stack     {stack.name} {WILL[stack.change]}")


def _show_profiles(fleet: Fleet, detect: DetectPlan) -> None:
    """Show each security profile by its name, and where one changes what all of them will do."""
    before = deployed_profiles(fleet)
    profiles = {fleet.names.profile(profile.name): profile for profile in detect.description.profiles}
    if not detect.changes:
        return fleet.screen.say_names("profiles", list(profiles))
    for name, profile in profiles.items():
        fleet.screen.say(f"profile   {name}{_newness(name, before)}")
        for sentence in profile_sentences(profile.document):
            fleet.screen.say(f"            {sentence}")
    return fleet.screen.say_names("profiles", sorted(before - set(profiles)), "in no file: DELETED", all_of_them=True)


def _show_metrics(fleet: Fleet, detect: DetectPlan) -> None:
    before, needed = deployed_metrics(fleet), detect.description.metrics
    news = _newness if detect.changes else lambda name, before: ""
    metrics = [f"{name} (a {kind}){news(name, before)}" for name, kind in needed.items()]
    fleet.screen.say_names("metrics", metrics, all_of_them=True)
    fleet.screen.say_names(
        "metrics", detect.shared, "there already, of another fleet or an earlier one, and used", True
    )
    if detect.changes:
        gone = sorted(set(before) - {*needed, *detect.shared})
        fleet.screen.say_names("metrics", gone, "in no security profile: DELETED", all_of_them=True)


def _newness(name: str, before: Collection[str]) -> str:
    return "" if name in before else ", new"
