"""What happens to Detect on Apache Flink: made when it is asked for, left as it is otherwise, and looked after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure.application import Rules, read_application  # noqa: E402
from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.description import DetectStack, EngineStack  # noqa: E402
from infrastructure.detect import DetectPlan  # noqa: E402
from infrastructure.engine import EnginePlan, EngineWish, deployed_engine_email, plan_engine, read_engine_wish  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.sizing import Size  # noqa: E402
from infrastructure.sources import Wanted  # noqa: E402
from tests.fakes.fake_account import FakeIot  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.engines import (  # noqa: E402
    BUCKET,
    NAMES,
    OLD,
    RULES,
    FakeAnalytics,
    FakeS3,
    RuleIot,
    engine_fleet,
    engine_stacks,
    wanted,
)
from tests.infrastructure.test_application import GOOD, build  # noqa: E402

FLINK, AWS = EngineWish("flink"), EngineWish("aws")
NOTHING = Path("none")
RULE = "the rule lab_engine of AWS IoT"


def plan(
    wish: EngineWish,
    deployed: Deployed | None = None,
    built: Path = NOTHING,
    files: Wanted | None = None,
    detect: DetectPlan | None = None,
    **clients: Any,
) -> EnginePlan:
    found = plan_engine(engine_fleet(deployed, **clients)[0], wish, files or wanted(), detect, built)
    assert found is not None
    return found


def described(found: EnginePlan) -> EngineStack:
    (what,) = [each for _, each in found.stacks if isinstance(each, EngineStack)]
    return what


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return build(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("engine", "mode", "things", "says"),
    [
        ("aws", "thread", None, "--flink-mode and --flink-things go with --detect-engine flink, not with aws"),
        ("aws", None, 5, "--flink-mode and --flink-things go with --detect-engine flink, not with aws"),
        ("flink", None, 0, "--flink-things must be at least 1, got 0"),
        (None, None, 0, "--flink-things must be at least 1, got 0"),
    ],
)
def test_options_of_an_engine_that_is_given_up_are_refused(
    engine: str | None, mode: str | None, things: int | None, says: str
) -> None:
    with pytest.raises(DeployError) as raised:
        read_engine_wish(engine, mode, things, None)
    assert says == str(raised.value)


def test_options_ask_for_what_they_say() -> None:
    assert EngineWish("flink", "thread", 1, "a@b.c") == read_engine_wish("flink", "thread", 1, "a@b.c")
    assert (EngineWish(), AWS) == (read_engine_wish(None, None, None, None), read_engine_wish("aws", None, None, None))


FAILED = Deployed({"lab-engine": DeployedStack("lab-engine", "REVIEW_IN_PROGRESS")})


@pytest.mark.parametrize(("wish", "deployed"), [(EngineWish(), Deployed()), (AWS, Deployed()), (EngineWish(), FAILED)])
def test_where_there_is_no_engine_none_is_made_unless_it_is_asked_for(wish: EngineWish, deployed: Deployed) -> None:
    assert plan_engine(engine_fleet(deployed)[0], wish, wanted(), None, NOTHING) is None


def test_what_is_left_of_an_engine_that_failed_to_create_is_given_up_too() -> None:
    assert [("lab-engine", "delete")] == [(stack.name, stack.change) for stack, _ in plan(AWS, FAILED).stacks]


@pytest.mark.parametrize("wish", [EngineWish(mode="thread"), EngineWish(things=5)])
@pytest.mark.parametrize("deployed", [Deployed(), FAILED])
def test_a_size_without_an_engine_is_refused_and_not_passed_over(wish: EngineWish, deployed: Deployed) -> None:
    with pytest.raises(DeployError) as raised:
        plan(wish, deployed)
    assert (
        "--flink-mode and --flink-things are about an engine, and there is none: give --detect-engine flink as well"
        == str(raised.value)
    )


def test_an_engine_that_is_asked_for_gets_code_rules_and_a_size(built: Path) -> None:
    found = plan(FLINK, built=built, files=wanted("a", "b", publish_interval=600), s3=FakeS3(exists=False))
    code = read_application(built)
    assert (["create", "create"], BUCKET) == ([stack.change for stack, _ in found.stacks], found.bucket)
    assert (code, RULES, True, True) == (found.application, found.rules, found.uploads_rules, found.starts)
    assert Size(2, 600.0, "process") == found.size
    what = described(found)
    assert (code.key, "lib/flink-connector-5.0.jar", 0) == (what.code_key, what.jar, what.asked)
    assert [each.stack_name for each in found.descriptions] == ["lab-engine-bucket", "lab-engine"]


@pytest.mark.parametrize(
    ("agent", "interval"), [({}, 300.0), ({"publish_interval": None}, 300.0), ({"publish_interval": 900}, 900.0)]
)
def test_it_is_sized_for_what_devices_report(built: Path, agent: dict[str, Any], interval: float) -> None:
    found = plan(EngineWish("flink", "thread", 5_000_000), built=built, files=wanted(**agent))
    assert Size(5_000_000, interval, "thread") == found.size
    assert described(found).parallelism == Size(5_000_000, interval, "thread").parallelism


@pytest.mark.parametrize("given", ["5m", 0, -1, True, [300]])
def test_an_interval_that_is_no_number_of_seconds_is_refused(built: Path, given: Any) -> None:
    with pytest.raises(
        DeployError, match="fleet.json: agent.publish_interval must be a number of seconds above 0, got "
    ):
        plan(FLINK, built=built, files=wanted(publish_interval=given))


def test_what_is_deployed_stays_and_needs_nothing_built() -> None:
    found = plan(EngineWish(), engine_stacks(OLD))
    assert (False, (), False, []) == (found.changes, found.drift, found.starts, found.descriptions)
    assert (OLD, None) == (described(found), found.application)


def test_mode_size_and_address_stay_as_they_were_asked_for() -> None:
    before = replace(OLD, mode="thread", things=7_000_000, asked=7_000_000, parallelism=10, alert_email="a@b.c")
    assert before == described(plan(EngineWish(), engine_stacks(before)))
    found = described(plan(EngineWish(mode="process", things=1, alert_email=""), engine_stacks(before)))
    assert ("process", 1, None) == (found.mode, found.things, found.alert_email)


def test_things_that_come_change_nothing_while_one_worker_is_enough() -> None:
    found = plan(EngineWish(), engine_stacks(OLD), files=wanted("a", "b", "c"))
    assert (False, 3) == (found.changes, described(found).things)


@pytest.mark.parametrize(
    ("keys", "profiles", "uploads"),
    [
        ([RULES.key_at(5), "code/old.zip"], None, False),
        (["code/old.zip"], None, True),
        ([Rules(b"older").key_at(9), RULES.key_at(5), "code/old.zip"], None, True),
        ([Rules(b"other").key_at(9), "code/old.zip"], (), False),  # --no-detect leaves them alone
    ],
)
def test_rules_are_uploaded_where_others_are_in_force(keys: list[str], profiles: Any, uploads: bool) -> None:
    files = wanted() if profiles is None else wanted(profiles=profiles)
    assert uploads == plan(EngineWish(), engine_stacks(OLD), files=files, s3=FakeS3(*keys)).uploads_rules


def test_code_that_is_in_the_bucket_is_not_uploaded_again_and_other_code_updates(built: Path) -> None:
    key = read_application(built).key
    there = plan(FLINK, engine_stacks(OLD), built, s3=FakeS3("code/old.zip", key))
    other = plan(FLINK, engine_stacks(OLD), built)
    assert ((None, ["keep", "update"]), True) == (
        (there.application, [stack.change for stack, _ in there.stacks]),
        other.application is not None,
    )


def test_giving_it_up_deletes_what_is_there_and_asks_nobody() -> None:
    found = plan(AWS, engine_stacks(), s3=FakeS3(exists=False), analytics=FakeAnalytics())
    assert [("lab-engine-bucket", "delete"), ("lab-engine", "delete")] == [
        (stack.name, stack.change) for stack, _ in found.stacks
    ]
    assert (None, True) == (found.size, found.changes)


@pytest.mark.parametrize(
    ("detect", "exist", "email"),
    [
        (None, False, "a@b.c"),
        (DetectPlan("d", "create", DetectStack(NAMES, (), {}, "ops@b.c")), True, None),
        (DetectPlan("d", "create", DetectStack(NAMES, (), {})), False, "a@b.c"),
        (DetectPlan("d", "create", DetectStack(NAMES, (), {}, "o@b.c"), problem=DeployError("no")), False, "a@b.c"),
    ],
)
def test_alarms_go_where_those_of_the_profiles_go_if_they_have_a_place(
    built: Path, detect: DetectPlan | None, exist: bool, email: str | None
) -> None:
    found = described(plan(EngineWish("flink", alert_email="a@b.c"), built=built, detect=detect))
    assert (exist, email) == (found.alerts_exist, found.alert_email)


def test_a_topic_of_ones_own_is_refused() -> None:
    with pytest.raises(DeployError, match=r"configuration has agent.topic \('x\\n'\), which the fleet's policy does"):
        plan(FLINK, files=wanted(topic="x\n"))


def test_what_was_not_built_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="application.zip: build it with `make flink-application"):
        plan(FLINK, built=tmp_path)


@pytest.mark.parametrize(
    ("clients", "says"),
    [
        (
            {"analytics": FakeAnalytics()},
            "the Flink application lab-engine was deleted by hand: give --detect-engine aws, then --detect-engine "
            "flink again",
        ),
        (
            {"analytics": FakeAnalytics("READY")},
            "the Flink application lab-engine does not run, and no report is evaluated: give --detect-engine flink, "
            "which starts it",
        ),
        (
            {"s3": FakeS3(RULES.key_at(0))},
            f"s3://{BUCKET}/code/old.zip was deleted by hand, and the application cannot start again: give "
            "--detect-engine flink, which uploads it",
        ),
        (
            {"iot": RuleIot(other=False)},
            f"{RULE} was deleted by hand: give --detect-engine aws, then --detect-engine flink again",
        ),
        (
            {"iot": RuleIot(lab_engine=True)},
            f"{RULE} is disabled, and no report is evaluated: `aws iot enable-topic-rule --rule-name lab_engine "
            "--region eu-west-1`",
        ),
    ],
)
def test_what_was_changed_by_hand_is_said_with_what_repairs_it(clients: dict[str, Any], says: str) -> None:
    assert [says] == [str(each) for each in plan(EngineWish(), engine_stacks(OLD), **clients).drift]


@pytest.mark.parametrize("status", ["STARTING", "UPDATING", "RUNNING"])
def test_an_application_that_is_on_its_way_is_no_drift(status: str) -> None:
    assert () == plan(EngineWish(), engine_stacks(OLD), analytics=FakeAnalytics(status)).drift


def test_asking_for_it_again_starts_what_does_not_run(built: Path) -> None:
    code = read_application(built)
    same = replace(OLD, code_key=code.key, jar=code.jar)
    found = plan(FLINK, engine_stacks(same), built, analytics=FakeAnalytics("READY"), s3=FakeS3(RULES.key_at(0)))
    assert (True, code, ()) == (found.starts, found.application, found.drift)


@pytest.mark.parametrize("status", ["RUNNING", "STARTING", "UPDATING"])
def test_asking_for_it_again_starts_nothing_that_runs(built: Path, status: str) -> None:
    code = read_application(built)
    same, there = replace(OLD, code_key=code.key, jar=code.jar), FakeS3(code.key, RULES.key_at(0))
    assert not plan(FLINK, engine_stacks(same), built, analytics=FakeAnalytics(status), s3=there).changes


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED"])
def test_a_stack_that_failed_to_create_is_made_again(built: Path, status: str) -> None:
    found = plan(FLINK, engine_stacks(OLD, status), built, iot=FakeIot(), analytics=FakeAnalytics())
    assert (["keep", "recreate"], ()) == ([stack.change for stack, _ in found.stacks], found.drift)


def test_a_right_that_is_missing_is_not_taken_for_an_empty_bucket() -> None:
    s3 = FakeS3()
    s3.error = refuse("AccessDenied", "s3:ListBucket")
    with pytest.raises(ClientError, match="s3:ListBucket"):
        plan(EngineWish(), engine_stacks(OLD), s3=s3)
    iot = RuleIot()
    iot.errors["get_topic_rule"] = refuse("ThrottlingException", "Rate exceeded")
    with pytest.raises(ClientError, match="Rate exceeded"):
        plan(EngineWish(), engine_stacks(OLD), iot=iot)


def test_the_address_of_alarms_is_read_from_the_stack() -> None:
    stacks = [engine_stacks(replace(OLD, alert_email=email)).stack("lab-engine") for email in ("a@b.c", None)]
    assert ["a@b.c", None, None] == [deployed_engine_email(each) for each in (*stacks, None)]
