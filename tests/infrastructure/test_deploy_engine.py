"""./deploy.py --detect-engine flink from end to end: reports reach an application that runs, and nothing is left."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from defender_detect.flink.properties import parse_properties
from defender_detect.flink.rules import parse_rules
from tests.fakes.emulator import ROOT, Account
from tests.infrastructure.deployment import Machine
from tests.infrastructure.test_application import GOOD, build
from tests.infrastructure.test_deploy import NOTHING

ENGINE, RULE = "amazon-defender-publisher-engine", "amazon_defender_publisher_engine"
PROFILE = "configs/security-profiles/network-metrics.json"


@pytest.fixture
def built(machine: Machine) -> Machine:
    """A machine with a checkout of its own, in which the application was built."""
    built = machine.configure().list("rpi-0001")
    build(built.program.parent / "dist" / "flink", GOOD)
    return built


def application_of(account: Account) -> Any:
    answer = account.client("kinesisanalyticsv2").describe_application(ApplicationName=ENGINE)
    return answer["ApplicationDetail"]


def objects_of(account: Account) -> dict[str, bytes]:
    s3 = account.client("s3")
    (bucket,) = (each["Name"] for each in s3.list_buckets()["Buckets"])
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def properties_of(account: Account) -> dict[str, dict[str, str]]:
    configuration = application_of(account)["ApplicationConfigurationDescription"]
    groups = configuration["EnvironmentPropertyDescriptions"]["PropertyGroupDescriptions"]
    return {each["PropertyGroupId"]: each["PropertyMap"] for each in groups}


def engine_left(account: Account) -> list[str]:
    """Return the names of what an account has of an engine."""
    return [
        *account.client("kinesis").list_streams()["StreamNames"],
        *account.client("dynamodb").list_tables()["TableNames"],
        *(each["ruleName"] for each in account.client("iot").list_topic_rules()["rules"]),
        *_application_left(account),
    ]  # fmt: skip


def _application_left(account: Account) -> list[str]:
    from infrastructure.account import found  # here, where boto3 is

    describe = account.client("kinesisanalyticsv2").describe_application
    return [ENGINE] if found(describe, ApplicationName=ENGINE) else []


def test_reports_reach_an_application_that_runs_and_a_second_run_changes_nothing(built: Machine) -> None:
    account = built.account
    run = built.deploy("--yes", "--no-detect", "--detect-engine", "flink", "--alert-email", "ops@example.com")
    assert (0, "") == (run.status, run.errors), run.text
    assert "in process mode: 1 KPU and 1 for AWS's own, so 2 KPU are charged all the time" in run.output
    rule = account.client("iot").get_topic_rule(ruleName=RULE)["rule"]
    assert "encode(*, 'base64') AS payload, topic(3) AS thing, timestamp() AS t FROM '$aws/things/+/" in rule["sql"]
    (action,) = rule["actions"]
    assert (ENGINE, "${topic(3)}") == (action["kinesis"]["streamName"], action["kinesis"]["partitionKey"])
    assert "RUNNING" == application_of(account)["ApplicationStatus"]
    properties = properties_of(account)
    assert properties["source.kinesis"]["stream_arn"].endswith(f":stream/{ENGINE}")
    assert properties["alarms.sns"]["topic_arn"].endswith(f":{ENGINE}-alerts")
    job = parse_properties([{"PropertyGroupId": name, "PropertyMap": each} for name, each in properties.items()])
    assert ("process", 2) == (job.job.execution_mode, len(job.alarms)), "the job takes them"
    assert ("process", "300") == (properties["detect"]["execution_mode"], properties["detect"]["minimum_interval"])
    stored = objects_of(account)
    code, rules = sorted(stored)
    assert parse_rules(stored[rules].decode())[0].attachments, "the job compiles them"
    with zipfile.ZipFile(io.BytesIO(stored[code])) as packed:
        assert stored[rules] == packed.read("rules.json")
    assert f"{properties['detect']['updates']}".endswith("/rules/")
    before = account.snapshot()
    for arguments in ([], ["--detect-engine", "flink"]):
        account.forget_calls()
        run = built.deploy("--no-detect", *arguments)
        assert (0, "") == (run.status, run.errors), run.text
        assert ({}, before) == (account.writes(), account.snapshot())


def test_the_plan_says_it_in_sentences_and_does_nothing(built: Machine) -> None:
    run = built.deploy(
        "--plan", "--no-detect", "--detect-engine", "flink", "--flink-mode", "thread", "--flink-things", "100000000"
    )
    assert (0, "", {}) == (run.status, run.errors, built.account.writes()), run.text
    assert "100000000 things every 300 s, 3.333e+05 reports/s, in thread mode: 139 KPU and 1 for AWS's" in run.output
    assert "whether Managed Service for Apache Flink allows thread mode is not known" in run.output
    assert "AWS's default quota is 64 KPU for an application" in run.output


def test_what_cannot_be_is_one_sentence_and_nothing_is_done(machine: Machine) -> None:
    run = machine.configure().list("rpi-0001").deploy("--yes", "--no-detect", "--detect-engine", "flink")
    assert (1, 1, {}) == (run.status, len(run.sentence.splitlines()), machine.account.writes())
    assert "application.zip: build it with `make flink-application JAR=...`" in run.sentence


@pytest.mark.slow
def test_a_changed_profile_is_uploaded_and_the_application_goes_on(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    version = application_of(account)["ApplicationVersionId"]
    path = built.program.parent / PROFILE
    profile = json.loads(path.read_text())
    path.write_text(json.dumps({**profile, "securityProfileDescription": "changed"}))
    run = built.deploy("--yes", "--detect-engine", "flink", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert "which the application takes within a minute and without a restart" in run.output
    (rules,) = (content for key, content in objects_of(account).items() if key.startswith("rules/"))
    assert (True, version) == (b'"changed"' in rules, application_of(account)["ApplicationVersionId"])


@pytest.mark.slow
def test_another_code_updates_the_application(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    before = {key for key in objects_of(account) if key.startswith("code/")}
    build(built.program.parent / "dist" / "flink", {**GOOD, "main.py": "# another"})
    run = built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"restarts  the application {ENGINE} from a snapshot" in run.output
    (new,) = {key for key in objects_of(account) if key.startswith("code/")} - before
    described = application_of(account)["ApplicationConfigurationDescription"][
        "ApplicationCodeConfigurationDescription"
    ]
    assert new == described["CodeContentDescription"]["S3ApplicationCodeLocationDescription"]["FileKey"]
    assert "RUNNING" == application_of(account)["ApplicationStatus"]


@pytest.mark.slow
def test_what_was_changed_by_hand_is_found(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    flink, iot = account.client("kinesisanalyticsv2"), account.client("iot")
    iot.disable_topic_rule(ruleName=RULE)
    flink.stop_application(ApplicationName=ENGINE, Force=True)
    run = built.deploy("--no-detect")
    assert 1 == run.status
    assert f"the rule {RULE} of AWS IoT is disabled, and no report is evaluated: `aws iot enable-topic" in run.sentence
    assert f"the Flink application {ENGINE} does not run, and no report is evaluated" in run.sentence
    iot.enable_topic_rule(ruleName=RULE)
    run = built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    assert (0, "") == (run.status, run.errors), run.text
    assert "RUNNING" == application_of(account)["ApplicationStatus"]


@pytest.mark.slow
def test_giving_it_up_leaves_nothing_of_it_and_the_fleet_as_it_is(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect")
    before = account.snapshot()
    built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    run = built.deploy("--yes", "--no-detect", "--detect-engine", "aws")
    assert (0, "") == (run.status, run.errors), run.text
    assert "DELETED   with the engine: its alarms' table" in run.output
    assert (before, []) == (account.snapshot(), engine_left(account))


@pytest.mark.slow
def test_destroying_leaves_nothing_of_it(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--detect-engine", "flink")
    run = built.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    assert (NOTHING, []) == (account.snapshot(), engine_left(account))


@pytest.mark.slow
def test_alarms_go_to_the_alerts_of_the_security_profiles_where_there_are_any(built: Machine) -> None:
    account = built.account
    run = built.deploy("--yes", "--alert-email", "ops@example.com", "--detect-engine", "flink")
    assert (0, "") == (run.status, run.errors), run.text
    assert "the security profiles are evaluated by AWS as well" in run.output
    assert properties_of(account)["alarms.sns"]["topic_arn"].endswith(":amazon-defender-publisher-alerts")
    assert 1 == len(account.snapshot()["topics"])


@pytest.mark.slow
def test_the_policies_for_deployers_are_enough(built: Machine) -> None:
    iam = built.account.client("iam")
    iam.create_user(UserName="deployer")
    for name in ("deployer-policy", "deployer-flink-policy"):
        policy = (ROOT / "infrastructure" / f"{name}.json").read_text()
        iam.put_user_policy(UserName="deployer", PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    who = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    deployer = replace(built, more=who)
    for arguments in (
        ["--no-detect", "--detect-engine", "flink"],
        ["--alert-email", "somebody@example.com"],
        ["--flink-things", "1000000", "--detect-engine", "flink"],
        ["--detect-engine", "aws"],
        ["--detect-engine", "flink"],
        ["--destroy"],
    ):
        run = deployer.deploy("--yes", *arguments)
        assert 0 == run.status, run.text
    assert (NOTHING, []) == (built.account.snapshot(), engine_left(built.account))
