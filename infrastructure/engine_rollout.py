"""The way of Detect on Apache Flink into an account: bucket, code, rules, stack, and the application's start."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from infrastructure.account import Account
from infrastructure.artifacts import DIGEST, empty
from infrastructure.engine import READY, RUNNING, EnginePlan
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.plan import DELETE, StackPlan
from infrastructure.screen import Bar

LOOK_EVERY = 5.0  # seconds
LONGEST_START = 900.0  # seconds; AWS takes two or three minutes
RESTORE = {"ApplicationRestoreConfiguration": {"ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT"}}


def roll_out_engine(
    fleet: Fleet, plan: EnginePlan, roll_out_stack: Callable[[StackPlan], None], look_every: float = LOOK_EVERY
) -> None:
    """Do what is planned; raise DeployError for what cannot be done."""
    if plan.size is None:
        _give_up(fleet, plan, roll_out_stack)
        return
    (holder, _), (engine, _) = plan.stacks
    if holder.changes:
        roll_out_stack(holder)
    with fleet.screen.bar(f"bucket {plan.bucket}", 0) as bar:
        _upload(fleet.account, plan, bar)
    if engine.changes:
        roll_out_stack(engine)
    if plan.starts:
        with fleet.screen.bar(f"application {plan.name}", 0) as bar:
            start(fleet.account, plan.name, bar, look_every)


def start(account: Account, name: str, bar: Bar, look_every: float) -> None:
    """Start the application where it does not run, from its last snapshot, and wait until it runs."""
    client = account.client("kinesisanalyticsv2")

    def status() -> str:
        return str(client.describe_application(ApplicationName=name)["ApplicationDetail"]["ApplicationStatus"])

    if status() == READY:
        client.start_application(ApplicationName=name, RunConfiguration=RESTORE)
        bar.say("starting")
    deadline, now = time.monotonic() + LONGEST_START, status()
    while now not in (RUNNING, READY) and time.monotonic() < deadline:
        time.sleep(look_every)
        now = status()
    if now != RUNNING:
        raise DeployError(
            f"the Flink application {name} does not run ({now}): why is in its log, `aws logs tail "
            f"/aws/kinesis-analytics/{name} --region {account.region}`; then run this again"
        )
    bar.say("runs")


def _upload(account: Account, plan: EnginePlan, bar: Bar) -> None:
    """Put rules and code into the bucket; no bucket of the name that somebody else made first."""
    put = partial(account.client("s3").put_object, Bucket=plan.bucket, ExpectedBucketOwner=account.id)
    if plan.uploads_rules:
        key = plan.rules.key_at(time.time())
        put(Key=key, Body=plan.rules.content, ContentType="application/json")
        _delete_older_rules(account, plan.bucket, key)
        bar.say("rules uploaded")
    if plan.application is not None:
        code, digest = plan.application, {DIGEST: plan.application.digest}
        put(Key=code.key, Body=code.with_rules(plan.rules), ContentType="application/zip", Metadata=digest)
        bar.say(f"{code.path.name} uploaded")


def _delete_older_rules(account: Account, bucket: str, newest: str) -> None:
    """Delete the other rules: a job that starts without any state reads all that there are, in no order."""
    s3 = account.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="rules/", ExpectedBucketOwner=account.id)
    for key in [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"] != newest]:
        s3.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account.id)


def _give_up(fleet: Fleet, plan: EnginePlan, roll_out_stack: Callable[[StackPlan], None]) -> None:
    """Delete the stacks, the bucket's last, with all that is in it."""
    for stack, _ in reversed(plan.stacks):
        if stack.name == fleet.names.engine_bucket_stack:
            empty(fleet.account, plan.bucket)
        if stack.change == DELETE:
            roll_out_stack(stack)
