"""Bucket, code, rules, stack and the application's start, in this order; giving it up goes the other way round."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure import engine_rollout  # noqa: E402
from infrastructure.application import Rules, read_application  # noqa: E402
from infrastructure.engine import EnginePlan  # noqa: E402
from infrastructure.engine_rollout import roll_out_engine  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.plan import StackPlan  # noqa: E402
from infrastructure.sizing import Size  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.engines import BUCKET, OLD, RULES, FakeAnalytics, FakeS3, engine_fleet  # noqa: E402
from tests.infrastructure.test_application import GOOD, build  # noqa: E402

NOW = 1_796_040_000.0
RESTORE = {"ApplicationRestoreConfiguration": {"ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT"}}


def plan(bucket: str, engine: str, **more: Any) -> EnginePlan:
    stacks = ((StackPlan("lab-engine-bucket", bucket), None), (StackPlan("lab-engine", engine), OLD))
    return EnginePlan(stacks, BUCKET, "lab-engine", **{"size": Size(1, 300.0, "process"), "rules": RULES, **more})


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited; the clock goes on by them and by nothing else."""
    waited: list[float] = []
    monkeypatch.setattr(engine_rollout.time, "time", lambda: NOW)
    monkeypatch.setattr(engine_rollout.time, "sleep", waited.append)
    monkeypatch.setattr(engine_rollout.time, "monotonic", lambda: 100.0 + sum(waited))
    return waited


class Rollout:
    """A roll-out: which stacks it changed, and what was in the bucket when it did."""

    def __init__(self, what: EnginePlan, s3: FakeS3 | None = None, *statuses: str) -> None:
        self.s3, self.analytics = s3 or FakeS3(), FakeAnalytics(*statuses)
        fleet, printed = engine_fleet(s3=self.s3, analytics=self.analytics)
        self.steps: list[tuple[str, list[str]]] = []
        self.error: Exception | None = None
        try:
            roll_out_engine(fleet, what, self._stack, 5.0)
        except (DeployError, ClientError) as error:
            self.error = error
        self.lines = printed.getvalue().splitlines()

    def _stack(self, stack: StackPlan) -> None:
        self.steps.append((stack.name, sorted(self.s3.objects or {})))


def test_the_bucket_comes_before_what_is_in_it_and_that_before_the_application(tmp_path: Path) -> None:
    code = read_application(build(tmp_path, GOOD))
    what = plan("create", "create", application=code, uploads_rules=True, starts=True)
    done = Rollout(what, None, "READY", "STARTING", "RUNNING")
    assert [("lab-engine-bucket", []), ("lab-engine", [code.key, RULES.key_at(NOW)])] == done.steps
    assert [("lab-engine", RESTORE)] == done.analytics.started
    assert [
        f"bucket {BUCKET}: rules uploaded",
        f"bucket {BUCKET}: application.zip uploaded",
        "application lab-engine: starting",
        "application lab-engine: runs",
    ] == done.lines
    assert done.s3.objects is not None
    with zipfile.ZipFile(io.BytesIO(done.s3.objects[code.key])) as packed:
        assert RULES.content == packed.read("rules.json")


def test_where_nothing_changes_nothing_is_done() -> None:
    done = Rollout(plan("keep", "keep"), FakeS3("code/old.zip"))
    assert ([], [], [], {"code/old.zip": b""}) == (done.steps, done.lines, done.analytics.started, done.s3.objects)


def test_rules_that_are_not_in_force_any_more_are_deleted_on_every_page_and_nothing_else_is() -> None:
    older = [Rules(f"{number}".encode()).key_at(number) for number in range(3)]
    done = Rollout(plan("keep", "keep", uploads_rules=True), FakeS3("code/old.zip", *older))
    assert {"code/old.zip": b"", RULES.key_at(NOW): RULES.content} == done.s3.objects


@pytest.mark.parametrize("status", ["RUNNING", "STARTING"])
def test_an_application_that_is_started_already_is_waited_for_only(clock: list[float], status: str) -> None:
    done = Rollout(plan("keep", "keep", starts=True), None, status, status, "RUNNING")
    assert ([], ["application lab-engine: runs"]) == (done.analytics.started, done.lines)
    assert ([] if status == "RUNNING" else [5.0]) == clock


@pytest.mark.parametrize(
    ("statuses", "now", "looks"),
    [
        (["READY", "STARTING", "READY"], "READY", 1),  # it failed, as AWS shows that
        (["STARTING"], "STARTING", 180),  # for a quarter of an hour
        (["READY", "STARTING", "DELETING"], "DELETING", 180),
    ],
)
def test_an_application_that_does_not_run_is_said_with_where_to_look(
    clock: list[float], statuses: list[str], now: str, looks: int
) -> None:
    done = Rollout(plan("keep", "keep", starts=True), None, *statuses)
    assert (
        f"the Flink application lab-engine does not run ({now}): why is in its log, `aws logs tail "
        "/aws/kinesis-analytics/lab-engine --region eu-west-1`; then run this again"
    ) == str(done.error)
    assert [5.0] * looks == clock


def test_a_right_that_is_missing_ends_it_before_the_stack() -> None:
    s3 = FakeS3("rules/x.json")
    s3.error = refuse("AccessDenied", "s3:ListBucket")
    done = Rollout(plan("keep", "update", uploads_rules=True), s3)
    assert ("s3:ListBucket" in str(done.error), []) == (True, done.steps)


def test_giving_it_up_deletes_the_engine_then_what_is_in_the_bucket_then_the_bucket() -> None:
    keys = ["code/a.zip", "code/b.zip", "rules/c.json"]
    done = Rollout(replace(plan("delete", "delete"), size=None), FakeS3(*keys))
    assert [("lab-engine", keys), ("lab-engine-bucket", [])] == done.steps


def test_giving_up_what_is_left_of_an_engine_takes_a_bucket_that_is_gone() -> None:
    gone = EnginePlan(((StackPlan("lab-engine-bucket", "delete"), None),), BUCKET)
    done = Rollout(gone, FakeS3(exists=False))
    assert ([("lab-engine-bucket", [])], None) == (done.steps, done.error)
