"""The rules for a security profile's JSON, as AWS publishes them: everything that is wrong, each with its place."""

from __future__ import annotations

from typing import Any

from defender_detect.behavior_rules import check_behaviors, check_metric, refuse_dimension
from defender_detect.entries import Check, Entry, check_boolean, check_each, check_name, check_text, check_unique

LONGEST_DESCRIPTION, LONGEST_TAG_KEY, LONGEST_TAG_VALUE, LONGEST_TOPIC, MOST_TAGS = 1000, 128, 256, 512, 50
SHORTEST_ROLE, LONGEST_ARN = 20, 2048


def find_problems(document: Any) -> list[str]:
    """Return everything that is wrong with a decoded profile, as sentences."""
    profile = Entry(document, "", [])
    profile.check_object(PROFILE, required=["securityProfileName"])
    return profile.problems


def check_description(entry: Entry) -> None:
    """Require a text in one line."""
    is_text = isinstance(entry.value, str) and len(entry.value) <= LONGEST_DESCRIPTION
    rule = f"be a string of at most {LONGEST_DESCRIPTION} characters in one line"
    entry.expect(is_text and entry.value.isprintable(), rule)


def check_metrics_to_retain(entry: Entry) -> None:
    """Require objects that name a metric."""
    for item in entry.items():
        item.check_object(METRIC_TO_RETAIN, required=["metric"])


def check_alert_targets(entry: Entry) -> None:
    """Require SNS's topic and role."""
    entry.check_object({"SNS": check_alert_target})


def check_alert_target(entry: Entry) -> None:
    """Require the ARNs of a topic and of the role that may publish to it."""
    checks = {"alertTargetArn": check_arn(1), "roleArn": check_arn(SHORTEST_ROLE)}
    entry.check_object(checks, required=checks)


def check_arn(shortest: int) -> Check:
    """Return the check for an ARN of at least this many characters."""

    def check(entry: Entry) -> None:
        is_text = isinstance(entry.value, str) and entry.value.startswith("arn:")
        is_right = is_text and shortest <= len(entry.value) <= LONGEST_ARN
        entry.expect(is_right, f"be an ARN (arn:...) of {shortest} to {LONGEST_ARN} characters")

    return check


def check_tags(entry: Entry) -> None:
    """Require tags, each key once."""
    checks = {"Key": check_text(1, LONGEST_TAG_KEY), "Value": check_text(0, LONGEST_TAG_VALUE)}
    tags = [tag for tag in entry.items() if tag.check_object(checks, required=["Key"])]
    if len(tags) > MOST_TAGS:
        entry.complain(f"must have at most {MOST_TAGS} tags, got {len(tags)}")
    check_unique(tags, "Key")


def check_metrics_export(entry: Entry) -> None:
    """Require the topic and the role for AWS's metrics export."""
    checks = {"mqttTopic": check_text(1, LONGEST_TOPIC), "roleArn": check_arn(SHORTEST_ROLE)}
    entry.check_object(checks, required=checks)


METRIC_TO_RETAIN: dict[str, Check] = {
    "metric": check_metric,
    "metricDimension": refuse_dimension,
    "exportMetric": check_boolean,
}
PROFILE: dict[str, Check] = {
    "securityProfileName": check_name,
    "securityProfileDescription": check_description,
    "behaviors": check_behaviors,
    "alertTargets": check_alert_targets,
    "additionalMetricsToRetain": check_each(check_metric),
    "additionalMetricsToRetainV2": check_metrics_to_retain,
    "tags": check_tags,
    "metricsExportConfig": check_metrics_export,
}
