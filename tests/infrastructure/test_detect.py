from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "rich")

from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.description import DetectStack  # noqa: E402
from infrastructure.detect import DetectPlan, deployed_email, judge, plan_detect  # noqa: E402
from infrastructure.errors import DeployError, Refused  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from infrastructure.profiles import Profile  # noqa: E402
from infrastructure.refusals import explain  # noqa: E402
from infrastructure.watch import LeftBehind, StackFailed  # noqa: E402
from tests.fakes.fake_account import FakeIot, make_fleet  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402

NAMES = Names("lab")
DOCUMENT: dict[str, Any] = {"securityProfileName": "ports", "behaviors": [{"name": "few", "metric": "cpu_usage"}]}
PORTS = Profile("ports", Path("ports.json"), DOCUMENT)
METRICS = {"cpu_usage": "number"}
DENIED = "User: x is not authorized to perform: iot:CreateCustomMetric on resource: y"


def deployed(description: DetectStack | None = None, status: str = "CREATE_COMPLETE") -> Deployed:
    """Return a fleet whose stack of Detect is as described."""
    if description is None:
        return Deployed()
    resources: dict[str, Any] = {}
    for metric, kind in description.metrics.items():
        properties = {"MetricName": metric, "MetricType": kind}
        resources[f"{metric}Metric"] = {"Type": "AWS::IoT::CustomMetric", "Properties": properties}
    for profile in description.profiles:
        properties = {"SecurityProfileName": NAMES.profile(profile.name)}
        resources[f"{profile.name}Profile"] = {"Type": "AWS::IoT::SecurityProfile", "Properties": properties}
    if description.alert_email:
        mail = {"Protocol": "email", "Endpoint": description.alert_email}
        resources["Subscription"] = {"Type": "AWS::SNS::Subscription", "Properties": mail}
    template = {"Metadata": {TAG: {"digest": description.digest}}, "Resources": resources}
    stack = DeployedStack("lab-detect", status, template=template)
    return Deployed({"lab-detect": stack})


def plan(
    iot: FakeIot,
    fleet: Deployed,
    metrics: dict[str, str] = METRICS,
    alert_email: str | None = None,
    profiles: tuple[Profile, ...] = (PORTS,),
) -> DetectPlan:
    return plan_detect(make_fleet(NAMES, fleet, iot=iot), profiles, metrics, alert_email)


def test_at_first_metrics_and_profiles_are_created() -> None:
    assert DetectPlan("lab-detect", "create", DetectStack(NAMES, (PORTS,), METRICS)) == plan(FakeIot(), Deployed())


def test_what_is_as_it_should_be_is_kept_and_asks_aws_nothing() -> None:
    iot = FakeIot()
    result = plan(iot, deployed(DetectStack(NAMES, (PORTS,), METRICS)))
    assert ("keep", False, []) == (result.change, result.changes, iot.calls)


def test_a_metric_that_another_fleet_brought_is_used_and_not_made() -> None:
    iot = FakeIot()
    iot.metrics = {"cpu_usage": ("number", {TAG: "other"})}
    result = plan(iot, Deployed(), {**METRICS, "load": "number-list"})
    assert (("cpu_usage",), {"load": "number-list"}) == (result.shared, result.description.metrics)


def test_a_metric_of_ones_own_is_not_shared() -> None:
    iot = FakeIot()
    iot.metrics = {"cpu_usage": ("number", {TAG: "lab"})}
    assert () == plan(iot, deployed(DetectStack(NAMES, (PORTS,), METRICS))).shared


def test_a_shared_metric_that_went_with_its_fleet_is_made() -> None:
    result = plan(FakeIot(), deployed(DetectStack(NAMES, (PORTS,), {})))
    assert ("update", METRICS) == (result.change, result.description.metrics)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            ("number", {}),
            "the custom metric cpu_usage exists in this account already, outside this fleet: delete it (`aws iot "
            "delete-custom-metric --metric-name cpu_usage`), or let all fleets use it (`aws iot tag-resource "
            "--resource-arn arn:aws:iot:eu-west-1:123456789012:custommetric/cpu_usage --tags "
            "Key=amazon-defender-publisher,Value=shared`)",
        ),
        (
            ("string-list", {TAG: "other"}),
            "the custom metric cpu_usage exists in this account as a string-list, and the security profiles need a "
            "number: give the metric another name in the profiles",
        ),
    ],
)
def test_a_metric_that_cannot_be_used_is_a_problem_of_detects_alone(metric: Any, expected: str) -> None:
    iot = FakeIot()
    iot.metrics = {"cpu_usage": metric}
    result = plan(iot, Deployed())
    assert (expected, False) == (str(result.problem), result.changes)


def test_a_metric_of_ones_own_keeps_its_type() -> None:
    result = plan(FakeIot(), deployed(DetectStack(NAMES, (PORTS,), METRICS)), {"cpu_usage": "number-list"})
    expected = (
        "the custom metric cpu_usage exists in this account as a number, and the security profiles need a number-list: "
        "give the metric another name in the profiles"
    )
    assert (expected, False) == (str(result.problem), result.changes)


def test_a_profile_that_exists_outside_is_a_problem_of_detects_alone() -> None:
    iot = FakeIot()
    iot.profiles = {"lab-ports": set()}
    result = plan(iot, Deployed())
    expected = (
        "the security profile lab-ports exists in this account already, outside this fleet: delete it (`aws iot "
        "delete-security-profile --security-profile-name lab-ports`), or give --prefix"
    )
    assert (expected, False) == (str(result.problem), result.changes)


def test_ones_own_profile_is_no_obstacle() -> None:
    iot = FakeIot()
    iot.profiles = {"lab-ports": set()}
    result = plan(iot, deployed(DetectStack(NAMES, (PORTS,), METRICS)), alert_email="a@example.com")
    assert (None, "update") == (result.problem, result.change)


def test_aws_checks_the_behaviors_and_all_that_it_finds_is_told() -> None:
    iot = FakeIot()
    iot.invalid = ["durationSeconds is odd", "metric is unknown"]
    result = plan(iot, Deployed())
    assert "ports.json: durationSeconds is odd\nports.json: metric is unknown" == str(result.problem)


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, "old@example.com"), ("new@example.com", "new@example.com"), ("", None)]
)
def test_alerts_stay_change_or_end(asked: str | None, expected: str | None) -> None:
    fleet = deployed(DetectStack(NAMES, (PORTS,), METRICS, "old@example.com"))
    assert "old@example.com" == deployed_email(make_fleet(NAMES, fleet))
    result = plan(FakeIot(), fleet, alert_email=asked)
    assert (expected, asked is not None) == (result.description.alert_email, result.changes)
    assert asked != "new@example.com" or result.change == "update"


def test_without_alerts_there_is_no_address() -> None:
    assert deployed_email(make_fleet(NAMES)) is None
    assert deployed_email(make_fleet(NAMES, deployed(DetectStack(NAMES, (PORTS,), METRICS)))) is None


def test_the_ruin_of_a_creation_is_made_again() -> None:
    assert (
        "recreate" == plan(FakeIot(), Deployed({"lab-detect": DeployedStack("lab-detect", "ROLLBACK_COMPLETE")})).change
    )


def test_a_half_deleted_stack_is_a_problem_of_detects_alone() -> None:
    result = plan(FakeIot(), deployed(DetectStack(NAMES, (PORTS,), METRICS), "DELETE_FAILED"))
    assert "the stack lab-detect is half deleted" in str(result.problem)
    assert not result.changes


# With which words AWS refuses Detect is not published: what it cannot be is told from what it may be.


def told_as_closed(error: DeployError) -> bool:
    told = str(judge(error))
    return "AWS closed Detect to new customers on 31 August 2026" in told and str(error) in told


@pytest.mark.parametrize(
    "error",
    [
        explain(refuse("InvalidRequestException", "Detect is no longer available to new customers.")),
        explain(refuse("AccessDeniedException", "Access denied")),
        StackFailed("lab-detect", "created", ["CpuMetric: Access denied for operation 'AWS::IoT::CustomMetric'."]),
    ],
)
def test_what_may_be_detects_end_is_told_as_such_with_awss_own_words(error: DeployError) -> None:
    assert told_as_closed(error)


@pytest.mark.parametrize(
    "error",
    [
        explain(refuse("AccessDeniedException", DENIED)),
        explain(refuse("ThrottlingException", "Rate exceeded")),
        explain(refuse("ExpiredToken", "expired")),
        Refused(
            "the stack lab-detect could not be created: the permission sns:CreateTopic is missing", "sns:CreateTopic"
        ),
        DeployError("the stack lab-detect is busy"),
        LeftBehind("lab-detect", []),
    ],
)
def test_a_missing_permission_and_what_passes_are_not_called_detects_end(error: DeployError) -> None:
    assert judge(error) is error


def test_a_refusal_while_planning_is_a_problem_of_detects_alone() -> None:
    iot = FakeIot()
    iot.errors["describe_custom_metric"] = refuse("InvalidRequestException", "Detect is over")
    result = plan(iot, Deployed())
    assert "AWS closed Detect to new customers" in str(result.problem)
    assert not result.changes


def test_a_missing_permission_while_planning_is_named() -> None:
    iot = FakeIot()
    iot.errors["describe_custom_metric"] = refuse("AccessDeniedException", DENIED)
    assert "the permission iot:CreateCustomMetric is missing" in str(plan(iot, Deployed()).problem)
