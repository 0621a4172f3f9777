"""The answers: what each operation returns, from the store and the profiles in force, in AWS's shapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from defender_detect.api import inputs
from defender_detect.api.faults import invalid, not_found
from defender_detect.api.paging import key_of, page_of, token_of
from defender_detect.ask.queries import check_kept, describe_events, describe_violations
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.evaluate.shapes import kind_of, metric_value
from defender_detect.evaluate.targets import arn_of_profile, arn_of_target, name_target
from defender_detect.store.documents import Kept, Written
from defender_detect.store.pages import Filter, PageReader
from defender_detect.store.verdicts import put_verdict
from device_defender.profile_rules import find_profile_problems

MOST_ERROR = 2048  # characters of a validation error; AWS's
DESCRIBED = (  # what DescribeSecurityProfile has of a profile's document
    "securityProfileName", "securityProfileDescription", "behaviors", "alertTargets", "additionalMetricsToRetain",
    "additionalMetricsToRetainV2", "metricsExportConfig",
)  # fmt: skip

Answer = dict[str, Any]


class Source(NamedTuple):
    """What is answered from."""

    store: PageReader
    rules: Callable[[], Rules | None]
    kept: Kept
    refresh: Callable[[], None]  # lets `rules` see what was written
    clock: Callable[[], float] = time.time

    def attachments(self) -> list[Attachment]:
        """The profiles in force, by name."""
        rules = self.rules()
        return sorted(rules.attachments, key=lambda each: each.profile.name) if rules is not None else []

    def find(self, name: str) -> Attachment:
        """Return a profile by its name; raise a Fault if there is none."""
        for each in self.attachments():
            if each.profile.name == name:
                return each
        raise not_found(f"there is no security profile {name}")


def list_active_violations(source: Source, given: inputs.ListActiveViolations) -> Answer:
    """Answer ListActiveViolations, the oldest first."""
    key = key_of(given.next_token, (float, str))
    found = source.store.active_page(filter_of(given), key, given.max_results + 1)
    page = found[: given.max_results]
    answer = {"activeViolations": describe_violations(source.store, page)}
    return with_next(answer, len(found) > len(page), lambda: (page[-1].started_at, page[-1].violation_id))


def list_violation_events(source: Source, given: inputs.ListViolationEvents) -> Answer:
    """Answer ListViolationEvents, the newest first."""
    check_period(given.start_time, given.end_time)
    key = key_of(given.next_token, (float, int))
    found = source.store.events_page(
        filter_of(given), (given.start_time, given.end_time), key, given.max_results + 1
    )  # fmt: skip
    page = found[: given.max_results]
    answer = {"violationEvents": describe_events(source.store, [event for _, event in page])}
    return with_next(answer, len(found) > len(page), lambda: (page[-1][1].time, page[-1][0]))


def list_metric_values(source: Source, given: inputs.ListMetricValues) -> Answer:
    """Answer ListMetricValues, the oldest first."""
    check_period(given.start_time, given.end_time)
    if given.dimension_name is not None or given.dimension_value_operator is not None:
        raise invalid("dimensionName and dimensionValueOperator are of cloud-side metrics, which are not kept here")
    key = key_of(given.next_token, (float,))
    start = given.start_time if key is None else key[0]
    values = source.store.values(given.thing_name, given.metric_name, start, given.end_time)
    if key is not None:
        values = [each for each in values if each[0] > start]
    elif not values:
        check_kept(source.store, given.thing_name, given.metric_name)
    page = values[: given.max_results]
    kind = kind_of(given.metric_name, (value for _, value in page))
    data = [{"timestamp": when, "value": metric_value(kind, value)} for when, value in page]
    return with_next({"metricDatumList": data}, len(values) > len(page), lambda: (page[-1][0],))


def list_security_profiles(source: Source, given: inputs.ListSecurityProfiles) -> Answer:
    """Answer ListSecurityProfiles; with a metric or a dimension those that name it."""
    wanted = [each for each in source.attachments() if names_all(each, given.metric_name, given.dimension_name)]
    items = [(each.profile.name,) for each in wanted]
    page, token = page_of(items, given.next_token, given.max_results)
    found = [{"name": name, "arn": arn_of_profile(name)} for (name,) in page]
    return with_token({"securityProfileIdentifiers": found}, token)


def describe_security_profile(source: Source, given: inputs.DescribeSecurityProfile) -> Answer:
    """Answer DescribeSecurityProfile: the document, and what AWS adds to it, with dates if the API wrote it."""
    document = source.find(given.security_profile_name).profile.document
    dates = next(
        (dates_of(each) for each in source.kept.profiles.read() if each.name == given.security_profile_name), {}
    )
    described = {key: document[key] for key in DESCRIBED if key in document}
    return {**described, "securityProfileArn": arn_of_profile(given.security_profile_name), "version": 1, **dates}


def dates_of(written: Written) -> Answer:
    """Return what AWS adds to a profile that was written by the API."""
    return {"version": written.version, "creationDate": written.created, "lastModifiedDate": written.modified}


def list_targets(source: Source, given: inputs.ListTargetsForSecurityProfile) -> Answer:
    """Answer ListTargetsForSecurityProfile."""
    items = [(arn_of_target(each),) for each in sorted(source.find(given.security_profile_name).targets)]
    page, token = page_of(sorted(items), given.next_token, given.max_results)
    return with_token({"securityProfileTargets": [{"arn": arn} for (arn,) in page]}, token)


def list_profiles_for_target(source: Source, given: inputs.ListSecurityProfilesForTarget) -> Answer:
    """Answer ListSecurityProfilesForTarget."""
    target = name_target(given.security_profile_target_arn)
    items = [(each.profile.name,) for each in source.attachments() if target in each.targets]
    page, token = page_of(items, given.next_token, given.max_results)
    found = [
        {
            "securityProfileIdentifier": {"name": name, "arn": arn_of_profile(name)},
            "target": {"arn": given.security_profile_target_arn},
        }
        for (name,) in page
    ]
    return with_token({"securityProfileTargetMappings": found}, token)


def validate_behaviors(source: Source, given: inputs.ValidateSecurityProfileBehaviors) -> Answer:
    """Answer ValidateSecurityProfileBehaviors."""
    document = {"securityProfileName": "unnamed", "behaviors": given.behaviors}
    problems = find_profile_problems(document)
    return {"valid": not problems, "validationErrors": [{"errorMessage": each[:MOST_ERROR]} for each in problems]}


def put_verification_state(source: Source, given: inputs.PutVerificationStateOnViolation) -> Answer:
    """Answer PutVerificationStateOnViolation."""
    directory, description = source.store.path.parent, given.verification_state_description
    put_verdict(directory, given.violation_id, given.verification_state, description, source.clock())
    return {}


def filter_of(given: inputs.Chosen) -> Filter:
    """Return which violations are asked for."""
    return Filter(
        given.thing_name, given.security_profile_name, given.behavior_criteria_type, given.list_suppressed_alerts,
        given.verification_state,
    )  # fmt: skip


def names_all(attachment: Attachment, metric: str | None, dimension: str | None) -> bool:
    """Whether a profile names a metric and a dimension, as far as they are given."""
    document = attachment.profile.document
    parts = [*document.get("behaviors", ()), *document.get("additionalMetricsToRetainV2", ())]
    metrics = {*document.get("additionalMetricsToRetain", ()), *(each.get("metric") for each in parts)}
    dimensions = {each["metricDimension"]["dimensionName"] for each in parts if "metricDimension" in each}
    return (metric is None or metric in metrics) and (dimension is None or dimension in dimensions)


def check_period(start: float, end: float) -> None:
    """Raise a Fault for a time that ends before it begins."""
    if start > end:
        raise invalid("startTime must not be later than endTime")


def with_next(answer: Answer, has_more: bool, key: Callable[[], tuple[Any, ...]]) -> Answer:
    """Return an answer with the token of the next page, if there is one."""
    return with_token(answer, token_of(*key()) if has_more else None)


def with_token(answer: Mapping[str, Any], token: str | None) -> Answer:
    """Return an answer with a token, if there is one."""
    return {**answer, **({} if token is None else {"nextToken": token})}
