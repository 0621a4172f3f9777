"""What a deployer is shown of Detect on Apache Flink: what it reads, how large it is, and what is not known of it."""

from __future__ import annotations

from collections.abc import Iterator

from infrastructure.description import EngineStack
from infrastructure.detect import DetectPlan
from infrastructure.engine import EnginePlan
from infrastructure.fleet import Fleet
from infrastructure.plan import UPDATE
from infrastructure.sizing import PROCESS, QUOTA, THREAD, Size

LOST = "its alarms' table, its log and its bucket with all that is in them, and its state"


def describe_engine(fleet: Fleet, plan: EnginePlan, detect: DetectPlan | None) -> Iterator[str]:
    """Yield the lines that say it."""
    if plan.size is None:
        yield "engine    is given up (--detect-engine aws): reports are evaluated by AWS's Detect or by nobody"
        yield f"DELETED   with the engine: {LOST}"
        return
    what = next(each for _, each in plan.stacks if isinstance(each, EngineStack))
    if plan.changes:
        yield from _describe(fleet, plan, plan.size, what)
        if detect is not None and detect.problem is None:
            yield "note      the security profiles are evaluated by AWS as well; --no-detect leaves that alone"
    if plan.application is not None:
        yield f"uploads   {plan.application.path.name} to {plan.bucket}/{plan.application.key}"
    if plan.uploads_rules:
        yield "uploads   the security profiles, which the application takes within a minute and without a restart"
    if any(stack.change == UPDATE for stack, each in plan.stacks if each is what):
        yield f"restarts  the application {plan.name} from a snapshot, if it runs"
    elif plan.starts:
        yield f"starts    the application {plan.name}"
    for each in plan.drift:
        yield f"drift     {each}"


def _describe(fleet: Fleet, plan: EnginePlan, size: Size, what: EngineStack) -> Iterator[str]:
    names = fleet.names
    yield (
        f"engine    Apache Flink: the rule {names.engine_rule} puts the reports of all things of this account and "
        f"region into the stream {names.engine}, which the application of that name evaluates"
    )
    topic = names.topic if what.alerts_exist else names.engine_topic
    mailed = f" (emailed to {what.alert_email})" if what.alert_email else ""
    yield f"alarms    to the SNS topic {topic}{mailed} and the DynamoDB table {names.engine}"
    yield (
        f"size      {size.things} things every {size.interval:g} s, {size.rate:.4g} reports/s, in {size.mode} mode: "
        f"{size.parallelism} KPU and 1 for AWS's own, so {size.units} KPU are charged all the time, beside the stream "
        "and what the rule carries"
    )
    yield from _notes(size)


def _notes(size: Size) -> Iterator[str]:
    """Yield what is not known, and what AWS has to be asked for."""
    other = Size(size.things, size.interval, PROCESS if size.mode == THREAD else THREAD)
    if size.mode == THREAD:
        yield (
            "note      whether Managed Service for Apache Flink allows thread mode is not known: it needs "
            "flink-python's jar in Flink's lib/, without which no restart succeeds; try it with a fleet that may fail"
        )
    elif other.units < size.units:
        yield (
            f"note      in thread mode {other.units} KPU would do (--flink-mode thread), if Managed Service for Apache "
            "Flink allows it, which is not known; on Kubernetes it is allowed (docs/how-to/run-on-flink.md)"
        )
    if size.parallelism > QUOTA:
        yield f"note      AWS's default quota is {QUOTA} KPU for an application: ask for more before you deploy this"
