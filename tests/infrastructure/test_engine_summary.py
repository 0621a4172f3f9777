"""What an engine reads, how large it is and what is not known of it, in lines for who pays for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from infrastructure.application import read_application  # noqa: E402
from infrastructure.description import DetectStack, EngineStack  # noqa: E402
from infrastructure.detect import DetectPlan  # noqa: E402
from infrastructure.engine import EnginePlan  # noqa: E402
from infrastructure.engine_summary import describe_engine  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.plan import StackPlan  # noqa: E402
from infrastructure.sizing import Size  # noqa: E402
from tests.infrastructure.engines import BUCKET, NAMES, OLD, engine_fleet  # noqa: E402
from tests.infrastructure.test_application import GOOD, build  # noqa: E402

SMALL = Size(10, 300.0, "process")
READS = (
    "engine    Apache Flink: the rule lab_engine puts the reports of all things of this account and region into the "
    "stream lab-engine, which the application of that name evaluates"
)
AS_WELL = "note      the security profiles are evaluated by AWS as well; --no-detect leaves that alone"


def plan(change: str = "keep", size: Size = SMALL, what: EngineStack = OLD, **more: Any) -> EnginePlan:
    stacks = ((StackPlan("lab-engine-bucket", "keep"), None), (StackPlan("lab-engine", change), what))
    return EnginePlan(stacks, BUCKET, "lab-engine", size, **more)


def lines(found: EnginePlan, detect: DetectPlan | None = None) -> list[str]:
    return list(describe_engine(engine_fleet()[0], found, detect))


def test_what_stays_is_not_described() -> None:
    assert [] == lines(plan())


def test_a_new_engine_says_what_it_reads_where_alarms_go_and_what_is_charged() -> None:
    assert [
        READS,
        "alarms    to the SNS topic lab-engine-alerts and the DynamoDB table lab-engine",
        "size      10 things every 300 s, 0.03333 reports/s, in process mode: 1 KPU and 1 for AWS's own, so 2 KPU are "
        "charged all the time, beside the stream and what the rule carries",
        "starts    the application lab-engine",
    ] == lines(plan("create", starts=True))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"alert_email": "a@b.c"}, "lab-engine-alerts (emailed to a@b.c) and"),
        ({"alerts_exist": True}, "lab-alerts and"),
    ],
)
def test_alarms_go_to_one_topic(changed: dict[str, Any], says: str) -> None:
    assert (
        f"alarms    to the SNS topic {says} the DynamoDB table lab-engine"
        == lines(plan("create", what=replace(OLD, **changed)))[1]
    )


@pytest.mark.parametrize(
    ("size", "notes"),
    [
        (SMALL, []),  # thread mode would need as much
        (Size(1_000_000, 300.0, "process"), ["note      in thread mode 3 KPU would do (--flink-mode thread), if"]),
        (Size(10, 300.0, "thread"), ["note      whether Managed Service for Apache Flink allows thread mode is not"]),
        (Size(46_080_000, 300.0, "thread"), ["note      whether Managed Service for Apache Flink allows thread mode "]),
        (
            Size(46_080_001, 300.0, "thread"),
            ["note      whether", "note      AWS's default quota is 64 KPU for an application: ask for more before"],
        ),
    ],
)
def test_what_is_not_known_and_what_aws_has_to_be_asked_for_is_noted(size: Size, notes: list[str]) -> None:
    found = [line for line in lines(plan("update", size)) if line.startswith("note ")]
    assert len(notes) == len(found)
    assert all(line.startswith(note) for line, note in zip(found, notes))


@pytest.mark.parametrize(
    ("detect", "noted"),
    [
        (None, False),
        (DetectPlan("lab-detect", "keep", DetectStack(NAMES, (), {})), True),
        (DetectPlan("lab-detect", "update", DetectStack(NAMES, (), {}), problem=DeployError("no")), False),
    ],
)
def test_that_aws_evaluates_the_profiles_too_is_noted(detect: DetectPlan | None, noted: bool) -> None:
    assert noted == (AS_WELL in lines(plan("create"), detect))


def test_uploads_and_a_restart_are_said_without_a_description_of_what_stays(tmp_path: Path) -> None:
    code = read_application(build(tmp_path, GOOD))
    found = lines(plan("update", application=code, uploads_rules=True, starts=True))
    assert [
        f"uploads   application.zip to {BUCKET}/{code.key}",
        "uploads   the security profiles, which the application takes within a minute and without a restart",
        "restarts  the application lab-engine from a snapshot, if it runs",
    ] == found[-3:]


def test_drift_is_said_although_nothing_changes() -> None:
    assert ["drift     the rule is disabled"] == lines(plan(drift=(DeployError("the rule is disabled"),)))


def test_giving_it_up_says_what_is_lost() -> None:
    assert [
        "engine    is given up (--detect-engine aws): reports are evaluated by AWS's Detect or by nobody",
        "DELETED   with the engine: its alarms' table, its log and its bucket with all that is in them, and its state",
    ] == lines(EnginePlan(((StackPlan("lab-engine", "delete"), None),), BUCKET))
