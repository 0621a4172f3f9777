"""The operations: by which method and path each is asked, what it takes, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from defender_detect.api import answers, declaring, inputs, writing
from defender_detect.api.answers import Answer, Source

DOCUMENT = frozenset(answers.DESCRIBED) - {"securityProfileName"}  # a profile's members that stand in the body
PARAMETER = re.compile(r"\{(\w+)\}")


class Operation(NamedTuple):
    """An operation of AWS IoT's API; what is in neither its path nor its body is in its query."""

    name: str
    method: str
    path: str
    takes: type[inputs.Input]
    answer: Callable[[Source, Any], Answer]
    body: frozenset[str] = frozenset()  # members
    needs_key: bool = False  # also on this machine, whose other users could weaken what Detect finds

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the path matches."""
        return pattern_of(self.path)


def pattern_of(path: str) -> re.Pattern[str]:
    """Return what a path with parameters matches."""
    return re.compile(PARAMETER.sub(lambda found: f"(?P<{found[1]}>[^/]+)", path))


OPERATIONS = (
    Operation(
        "ListActiveViolations", "GET", "/active-violations", inputs.ListActiveViolations, answers.list_active_violations
    ),
    Operation(
        "ListViolationEvents", "GET", "/violation-events", inputs.ListViolationEvents, answers.list_violation_events
    ),
    Operation("ListMetricValues", "GET", "/metric-values", inputs.ListMetricValues, answers.list_metric_values),
    Operation(
        "ListSecurityProfiles", "GET", "/security-profiles", inputs.ListSecurityProfiles, answers.list_security_profiles
    ),
    Operation(
        "DescribeSecurityProfile",
        "GET",
        "/security-profiles/{securityProfileName}",
        inputs.DescribeSecurityProfile,
        answers.describe_security_profile,
    ),
    Operation(
        "ListTargetsForSecurityProfile",
        "GET",
        "/security-profiles/{securityProfileName}/targets",
        inputs.ListTargetsForSecurityProfile,
        answers.list_targets,
    ),
    Operation(
        "ListSecurityProfilesForTarget",
        "GET",
        "/security-profiles-for-target",
        inputs.ListSecurityProfilesForTarget,
        answers.list_profiles_for_target,
    ),
    Operation(
        "ValidateSecurityProfileBehaviors",
        "POST",
        "/security-profile-behaviors/validate",
        inputs.ValidateSecurityProfileBehaviors,
        answers.validate_behaviors,
        frozenset({"behaviors"}),
    ),
    Operation(
        "PutVerificationStateOnViolation",
        "POST",
        "/violations/verification-state/{violationId}",
        inputs.PutVerificationStateOnViolation,
        answers.put_verification_state,
        frozenset({"verificationState", "verificationStateDescription"}),
    ),
    Operation(
        "CreateSecurityProfile",
        "POST",
        "/security-profiles/{securityProfileName}",
        inputs.CreateSecurityProfile,
        writing.create_security_profile,
        DOCUMENT | {"tags"},
        needs_key=True,
    ),
    Operation(
        "UpdateSecurityProfile",
        "PATCH",
        "/security-profiles/{securityProfileName}",
        inputs.UpdateSecurityProfile,
        writing.update_security_profile,
        DOCUMENT | set(writing.DELETIONS),
        needs_key=True,
    ),
    Operation(
        "DeleteSecurityProfile",
        "DELETE",
        "/security-profiles/{securityProfileName}",
        inputs.DeleteSecurityProfile,
        writing.delete_security_profile,
        needs_key=True,
    ),
    Operation(
        "AttachSecurityProfile",
        "PUT",
        "/security-profiles/{securityProfileName}/targets",
        inputs.AttachSecurityProfile,
        writing.attach_security_profile,
        needs_key=True,
    ),
    Operation(
        "DetachSecurityProfile",
        "DELETE",
        "/security-profiles/{securityProfileName}/targets",
        inputs.DetachSecurityProfile,
        writing.detach_security_profile,
        needs_key=True,
    ),
    Operation(
        "CreateCustomMetric",
        "POST",
        "/custom-metric/{metricName}",
        inputs.CreateCustomMetric,
        declaring.create_custom_metric,
        frozenset({"clientRequestToken", "displayName", "metricType", "tags"}),
        needs_key=True,
    ),
    Operation(
        "UpdateCustomMetric",
        "PATCH",
        "/custom-metric/{metricName}",
        inputs.UpdateCustomMetric,
        declaring.update_custom_metric,
        frozenset({"displayName"}),
        needs_key=True,
    ),
    Operation(
        "DeleteCustomMetric",
        "DELETE",
        "/custom-metric/{metricName}",
        inputs.DeleteCustomMetric,
        declaring.delete_custom_metric,
        needs_key=True,
    ),
    Operation(
        "DescribeCustomMetric",
        "GET",
        "/custom-metric/{metricName}",
        inputs.DescribeCustomMetric,
        declaring.describe_custom_metric,
    ),
    Operation("ListCustomMetrics", "GET", "/custom-metrics", inputs.ListCustomMetrics, declaring.list_custom_metrics),
    Operation(
        "CreateDimension",
        "POST",
        "/dimensions/{name}",
        inputs.CreateDimension,
        declaring.create_dimension,
        frozenset({"clientRequestToken", "stringValues", "tags", "type"}),
        needs_key=True,
    ),
    Operation(
        "UpdateDimension",
        "PATCH",
        "/dimensions/{name}",
        inputs.UpdateDimension,
        declaring.update_dimension,
        frozenset({"stringValues"}),
        needs_key=True,
    ),
    Operation(
        "DeleteDimension",
        "DELETE",
        "/dimensions/{name}",
        inputs.DeleteDimension,
        declaring.delete_dimension,
        needs_key=True,
    ),
    Operation("DescribeDimension", "GET", "/dimensions/{name}", inputs.DescribeDimension, declaring.describe_dimension),
    Operation("ListDimensions", "GET", "/dimensions", inputs.ListDimensions, declaring.list_dimensions),
    Operation(
        "GetBehaviorModelTrainingSummaries",
        "GET",
        "/behavior-model-training/summaries",
        inputs.GetBehaviorModelTrainingSummaries,
        declaring.get_training_summaries,
    ),
)

NOT_OFFERED = {  # of Detect's, by method and path: there is no mitigation here
    "CreateMitigationAction": ("POST", "/mitigationactions/actions/{actionName}"),
    "UpdateMitigationAction": ("PATCH", "/mitigationactions/actions/{actionName}"),
    "DeleteMitigationAction": ("DELETE", "/mitigationactions/actions/{actionName}"),
    "DescribeMitigationAction": ("GET", "/mitigationactions/actions/{actionName}"),
    "ListMitigationActions": ("GET", "/mitigationactions/actions"),
    "StartDetectMitigationActionsTask": ("PUT", "/detect/mitigationactions/tasks/{taskId}"),
    "CancelDetectMitigationActionsTask": ("PUT", "/detect/mitigationactions/tasks/{taskId}/cancel"),
    "DescribeDetectMitigationActionsTask": ("GET", "/detect/mitigationactions/tasks/{taskId}"),
    "ListDetectMitigationActionsTasks": ("GET", "/detect/mitigationactions/tasks"),
    "ListDetectMitigationActionsExecutions": ("GET", "/detect/mitigationactions/executions"),
}


def find_operation(method: str, path: str) -> tuple[Operation | None, dict[str, str]]:
    """Return the operation that a request asks for, with what is in its path; None if there is none."""
    for operation in OPERATIONS:
        found = operation.pattern.fullmatch(path) if operation.method == method else None
        if found is not None:
            return operation, found.groupdict()
    return None, {}


def find_refused(method: str, path: str) -> str | None:
    """Return the name of the operation of AWS's that a request asks for, of those that are not offered."""
    for name, (its_method, its_path) in NOT_OFFERED.items():
        if its_method == method and pattern_of(its_path).fullmatch(path):
            return name
    return None
