"""The inputs: what each operation takes, by AWS's names and with AWS's limits. A class is called as its operation."""

from typing import Annotated, Any, Literal, Optional

import msgspec
from msgspec import Meta

from device_defender.definition import that
from device_defender.metrics import Name

LARGEST_PAGE = 250  # AWS's
ThingName = Annotated[str, Meta(min_length=1, max_length=128)]
Page = Annotated[Annotated[int, Meta(ge=1, le=LARGEST_PAGE)], that(None, f"a whole number from 1 to {LARGEST_PAGE}")]
Kind = Literal["STATIC", "STATISTICAL", "MACHINE_LEARNING"]
State = Literal["FALSE_POSITIVE", "BENIGN_POSITIVE", "TRUE_POSITIVE", "UNKNOWN"]
ViolationId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9\-]+$(?!\n)"), that(None, "1 to 128 of a-z A-Z 0-9 -")
]
DisplayName = Annotated[str, Meta(max_length=128), that(str.isprintable, "at most 128 printable characters")]
EARLIEST, LATEST = -62_135_596_800, 253_402_300_800  # the years 1 to 9999, which are all that ISO 8601 can say
Time = Annotated[
    Annotated[float, Meta(ge=EARLIEST, lt=LATEST)], that(None, "a time of the years 1 to 9999, as ISO 8601 or seconds")
]
RequestToken = Annotated[str, Meta(min_length=1, max_length=64)]
TopicFilters = Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(min_length=1, max_length=100)]
Arn = Annotated[str, Meta(min_length=1, max_length=2048)]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What an operation takes: every member is known."""


class Paged(Input, frozen=True, kw_only=True):
    """What an operation takes whose answer comes in pages."""

    next_token: Optional[str] = None
    max_results: Page = LARGEST_PAGE


class Chosen(Paged, frozen=True, kw_only=True):
    """Which violations are asked for."""

    thing_name: Optional[ThingName] = None
    security_profile_name: Optional[Name] = None
    behavior_criteria_type: Optional[Kind] = None
    list_suppressed_alerts: Optional[bool] = None  # true: only those; false: only the others
    verification_state: Optional[State] = None


class ListActiveViolations(Chosen, frozen=True, kw_only=True):
    """The input of ListActiveViolations."""


class ListViolationEvents(Chosen, frozen=True, kw_only=True):
    start_time: Time
    end_time: Time


class ListMetricValues(Paged, frozen=True, kw_only=True):
    thing_name: ThingName
    metric_name: Annotated[str, Meta(min_length=1)]
    dimension_name: Optional[Name] = None
    dimension_value_operator: Optional[Literal["IN", "NOT_IN"]] = None
    start_time: Time
    end_time: Time


class ListSecurityProfiles(Paged, frozen=True, kw_only=True):
    dimension_name: Optional[Name] = None
    metric_name: Optional[Name] = None


class DescribeSecurityProfile(Input, frozen=True, kw_only=True):
    security_profile_name: Name


class ListTargetsForSecurityProfile(Paged, frozen=True, kw_only=True):
    security_profile_name: Name


class ListSecurityProfilesForTarget(Paged, frozen=True, kw_only=True):
    security_profile_target_arn: Arn
    recursive: Optional[bool] = None  # groups have no groups in them here


class ValidateSecurityProfileBehaviors(Input, frozen=True, kw_only=True):
    behaviors: list[Any]  # what is wrong with them is the answer


class PutVerificationStateOnViolation(Input, frozen=True, kw_only=True):
    violation_id: ViolationId
    verification_state: State
    verification_state_description: Annotated[str, Meta(max_length=1000)] = ""


class Document(Input, frozen=True, kw_only=True):
    """A security profile's own members, which are checked as a whole."""

    security_profile_name: Name
    security_profile_description: Optional[str] = None
    behaviors: Optional[list[Any]] = None
    alert_targets: Optional[dict[str, Any]] = None
    additional_metrics_to_retain: Optional[list[Any]] = None
    additional_metrics_to_retain_v2: Optional[list[Any]] = None
    metrics_export_config: Optional[dict[str, Any]] = None


class CreateSecurityProfile(Document, frozen=True, kw_only=True):
    tags: Optional[list[Any]] = None


class UpdateSecurityProfile(Document, frozen=True, kw_only=True):
    delete_behaviors: Optional[bool] = None
    delete_alert_targets: Optional[bool] = None
    delete_additional_metrics_to_retain: Optional[bool] = None
    delete_metrics_export_config: Optional[bool] = None
    expected_version: Optional[int] = None


class DeleteSecurityProfile(Input, frozen=True, kw_only=True):
    security_profile_name: Name
    expected_version: Optional[int] = None


class AttachSecurityProfile(Input, frozen=True, kw_only=True):
    security_profile_name: Name
    security_profile_target_arn: Arn


class DetachSecurityProfile(Input, frozen=True, kw_only=True):
    security_profile_name: Name
    security_profile_target_arn: Arn


class CreateCustomMetric(Input, frozen=True, kw_only=True):
    metric_name: Name
    display_name: Optional[DisplayName] = None
    metric_type: Literal["string-list", "ip-address-list", "number-list", "number"]
    tags: Optional[list[Any]] = None
    client_request_token: RequestToken


class UpdateCustomMetric(Input, frozen=True, kw_only=True):
    metric_name: Name
    display_name: DisplayName


class DeleteCustomMetric(Input, frozen=True, kw_only=True):
    metric_name: Name


class DescribeCustomMetric(Input, frozen=True, kw_only=True):
    metric_name: Name


class ListCustomMetrics(Paged, frozen=True, kw_only=True):
    """The input of ListCustomMetrics."""


class CreateDimension(Input, frozen=True, kw_only=True):
    name: Name
    type: Literal["TOPIC_FILTER"]
    string_values: TopicFilters
    tags: Optional[list[Any]] = None
    client_request_token: RequestToken


class UpdateDimension(Input, frozen=True, kw_only=True):
    name: Name
    string_values: TopicFilters


class DeleteDimension(Input, frozen=True, kw_only=True):
    name: Name


class DescribeDimension(Input, frozen=True, kw_only=True):
    name: Name


class ListDimensions(Paged, frozen=True, kw_only=True):
    """The input of ListDimensions."""


class GetBehaviorModelTrainingSummaries(Input, frozen=True, kw_only=True):
    security_profile_name: Optional[Name] = None
    max_results: Annotated[int, Meta(ge=1, le=10)] = 10
    next_token: Optional[str] = None
