"""What happens to Detect: custom metrics and security profiles, which AWS may refuse to an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infrastructure.account import Account, found
from infrastructure.description import DetectStack
from infrastructure.errors import DeployError, Refused
from infrastructure.fleet import Fleet
from infrastructure.names import TAG
from infrastructure.plan import KEEP, UPDATE, StackPlan, change_of
from infrastructure.profiles import Profile
from infrastructure.refusals import explain
from infrastructure.watch import StackFailed

# With which words AWS refuses Detect is not published; so whatever it refuses there is told with this.
CLOSED = """\
AWS refused Detect: {reason}
AWS closed Detect to new customers on 31 August 2026; accounts that used it before keep it. Everything else works:
things, certificates, policy, thing group, and reports, which AWS still answers. If this is why, deploy with
--no-detect from now on, and have the reports evaluated by `amazon-defender-detect`, which takes the same security
profiles (docs/tutorials/without-aws.md)."""


@dataclass(frozen=True)
class DetectPlan(StackPlan):
    """What happens to the stack of Detect."""

    description: DetectStack
    shared: tuple[str, ...] = ()  # custom metrics that another fleet of this account has, and this one uses
    problem: DeployError | None = None  # why it cannot be done; everything else can

    @property
    def changes(self) -> bool:
        return self.change != KEEP and self.problem is None


def plan_detect(
    fleet: Fleet, profiles: Sequence[Profile], metrics: Mapping[str, str], alert_email: str | None
) -> DetectPlan:
    """Return what happens to Detect; asks AWS only where something is not deployed as it is to be.

    `metrics` are the custom metrics that are needed, name to type. `alert_email` None leaves alerts as they are, and ""
    ends them.
    """
    account, names, name = fleet.account, fleet.names, fleet.names.detect_stack
    own = deployed_metrics(fleet)
    email = deployed_email(fleet) if alert_email is None else alert_email or None
    description = DetectStack(names, tuple(profiles), metrics, email)
    try:
        _refuse_other_types(own, metrics)
        shared = _shared_metrics(account, {metric: kind for metric, kind in metrics.items() if metric not in own})
        needed = {metric: kind for metric, kind in metrics.items() if metric not in shared}
        description = DetectStack(names, tuple(profiles), needed, email)
        change = change_of(fleet.deployed, name, description.digest)
        if change != KEEP:
            _refuse_foreign_profiles(fleet, profiles)
            _validate(account, profiles)
        return DetectPlan(name, change, description, shared)
    except ClientError as error:
        problem = detect_refusal(error)
    except DeployError as error:
        problem = error
    return DetectPlan(name, UPDATE, description, problem=problem)


def deployed_email(fleet: Fleet) -> str | None:
    """Return the address that alerts go to as deployed, None without alerts."""
    return next((str(each["Endpoint"]) for each in _resources(fleet, "AWS::SNS::Subscription")), None)


def deployed_metrics(fleet: Fleet) -> dict[str, str]:
    """Return the custom metrics that the fleet brought, as deployed: name to type."""
    return {each["MetricName"]: each["MetricType"] for each in _resources(fleet, "AWS::IoT::CustomMetric")}


def deployed_profiles(fleet: Fleet) -> set[str]:
    """Return the names of the fleet's security profiles, as deployed."""
    return {each["SecurityProfileName"] for each in _resources(fleet, "AWS::IoT::SecurityProfile")}


def _resources(fleet: Fleet, kind: str) -> list[Mapping[str, Any]]:
    stack = fleet.deployed.stack(fleet.names.detect_stack)
    return list(stack.resources(kind).values()) if stack else []


def detect_refusal(error: ClientError) -> DeployError:
    """Return the sentence for a refusal of Detect: a missing permission, or that it is closed."""
    return judge(explain(error))


def judge(error: DeployError) -> DeployError:
    """Return what to say of an error of Detect's: that it is closed, where AWS refuses it for no missing permission."""
    refused = isinstance(error, StackFailed) or (isinstance(error, Refused) and error.action is None)
    return DeployError(CLOSED.format(reason=error)) if refused else error


def _refuse_other_types(own: Mapping[str, str], metrics: Mapping[str, str]) -> None:
    """Raise DeployError for a metric of the fleet's that is to have another type, which AWS does not change."""
    for name, kind in metrics.items():
        if own.get(name, kind) != kind:
            raise _other_type(name, own[name], kind)


def _other_type(name: str, kind: str, needed: str) -> DeployError:
    return DeployError(
        f"the custom metric {name} exists in this account as a {kind}, and the security profiles need a {needed}: give "
        "the metric another name in the profiles"
    )


def _shared_metrics(account: Account, metrics: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of the metrics that another fleet brought; DeployError for one that somebody else did."""
    return tuple(name for name, kind in metrics.items() if _is_shared(account, name, kind))


def _is_shared(account: Account, name: str, kind: str) -> bool:
    metric = found(account.iot.describe_custom_metric, metricName=name)
    if metric is None:
        return False
    if metric["metricType"] != kind:
        raise _other_type(name, metric["metricType"], kind)
    tags = found(account.iot.list_tags_for_resource, resourceArn=metric["metricArn"]) or {"tags": []}
    if TAG not in {tag["Key"] for tag in tags["tags"]}:
        raise DeployError(
            f"the custom metric {name} exists in this account already, outside this fleet: delete it "
            f"(`aws iot delete-custom-metric --metric-name {name}`), or let all fleets use it "
            f"(`aws iot tag-resource --resource-arn {metric['metricArn']} --tags Key={TAG},Value=shared`)"
        )
    return True


def _refuse_foreign_profiles(fleet: Fleet, profiles: Sequence[Profile]) -> None:
    own = deployed_profiles(fleet)
    for name in (fleet.names.profile(profile.name) for profile in profiles):
        if name not in own and found(fleet.account.iot.describe_security_profile, securityProfileName=name):
            raise DeployError(
                f"the security profile {name} exists in this account already, outside this fleet: delete it "
                f"(`aws iot delete-security-profile --security-profile-name {name}`), or give --prefix"
            )


def _validate(account: Account, profiles: Sequence[Profile]) -> None:
    """Have AWS check each profile's behaviors; DeployError with all that it finds."""
    problems = []
    for profile in profiles:
        behaviors = profile.document.get("behaviors", [])
        if not behaviors:  # it only retains metrics
            continue
        answer = account.iot.validate_security_profile_behaviors(behaviors=behaviors)
        if not answer["valid"]:
            problems += [f"{profile.path}: {each['errorMessage']}" for each in answer.get("validationErrors", [])]
    if problems:
        raise DeployError("\n".join(problems))
