"""The rules for the behaviors in a security profile: metrics, and whether the criteria are some for the metric."""

from __future__ import annotations

from typing import Any

from defender_detect.criteria_rules import ALL_OPERATORS, OPERATORS, check_criteria
from defender_detect.entries import NAME, Check, Entry, check_boolean, check_name, check_unique, suggest
from defender_detect.metrics import METRICS
from defender_detect.rules import describe
from device_defender.metrics import AWS_PREFIX as RESERVED_PREFIX

MOST_BEHAVIORS, MOST_ELEMENTS = 100, 1000  # per profile
CUSTOM_KINDS = ("number", "numbers", "strings", "cidrs")
CLOUD_SIDE = (
    "aws:message-byte-size",
    "aws:num-authorization-failures",
    "aws:num-connection-attempts",
    "aws:num-disconnects",
    "aws:num-messages-received",
    "aws:num-messages-sent",
    "aws:disconnect-duration",
    "aws:source-ip-address",
)
NO_DIMENSION = "cannot be evaluated here: dimensions narrow cloud-side metrics, which only AWS IoT measures"


def check_behaviors(entry: Entry) -> None:
    """Require behaviors, each name once."""
    behaviors = [each for each in entry.items() if each.check_object(BEHAVIOR, required=["name", "metric", "criteria"])]
    if len(behaviors) > MOST_BEHAVIORS:
        entry.complain(f"must have at most {MOST_BEHAVIORS} behaviors, got {len(behaviors)}")
    elements = sum(count_elements(behavior.value) for behavior in behaviors)
    if elements > MOST_ELEMENTS:
        entry.complain(f"must have at most {MOST_ELEMENTS} value elements together, got {elements}")
    check_unique(behaviors, "name")
    for behavior in behaviors:
        check_agreement(behavior)


def check_metric(entry: Entry) -> None:
    """Require a metric that a report can hold."""
    name = entry.value
    if isinstance(name, str) and name in CLOUD_SIDE:
        entry.complain(
            f"cannot be {name} here: it is a cloud-side metric, which only AWS IoT measures; no report holds it"
        )
    elif isinstance(name, str) and name.startswith(RESERVED_PREFIX) and name not in METRICS:
        entry.complain(f"cannot be {describe(name)}, which is no device-side metric{suggest(name, METRICS)}")
    else:
        check_name(entry)


def refuse_dimension(entry: Entry) -> None:
    """Refuse dimensions."""
    entry.complain(NO_DIMENSION)


def check_agreement(behavior: Entry) -> None:
    """Require that metric, operator, value and duration of a behavior go together, as far as each of them is right."""
    metric, criteria = behavior.value.get("metric"), behavior.value.get("criteria")
    if not isinstance(criteria, dict) or not is_evaluated(metric):
        return
    kinds = (METRICS[metric],) if metric in METRICS else CUSTOM_KINDS
    value = criteria.get("value")
    given = [kind for kind in OPERATORS if kind in value] if isinstance(value, dict) else []
    if len(given) == 1 and given[0] not in kinds:
        behavior.key("criteria").key("value").complain(f"must have {' or '.join(kinds)} for {metric}, got {given[0]}")
    else:
        check_operator_and_duration(behavior.key("criteria"), given[0] if len(given) == 1 else None, kinds)


def is_evaluated(metric: Any) -> bool:
    """Tell whether a report can hold the metric: one of the device-side metrics, or any custom one."""
    if not isinstance(metric, str) or not NAME.fullmatch(metric):
        return False
    return metric in METRICS or not metric.startswith(RESERVED_PREFIX)


def check_operator_and_duration(criteria: Entry, given: str | None, kinds: tuple[str, ...]) -> None:
    """Require an operator for this kind of value, and no duration and no percentile for a list."""
    operator, is_ranked = criteria.value.get("comparisonOperator"), "statisticalThreshold" in criteria.value
    possible = {"number", "count"}.intersection(kinds) if is_ranked else {given} if given else set()
    allowed = tuple(dict.fromkeys(each for kind in sorted(possible) for each in OPERATORS[kind]))
    if is_ranked and not possible:
        criteria.key("statisticalThreshold").complain("cannot be used with a metric that is a list")
    elif allowed and isinstance(operator, str) and operator in ALL_OPERATORS:
        kind = "a statisticalThreshold" if is_ranked else given
        criteria.key("comparisonOperator").expect(operator in allowed, f"be one of {', '.join(allowed)} for {kind}")
    if "durationSeconds" in criteria.value and given not in (None, "count", "number"):
        criteria.key("durationSeconds").complain(f"cannot be used with {given}: lists have no duration")


def count_elements(behavior: Any) -> int:
    """Return how many value elements a behavior has: a list has as many as items, anything else is one."""
    criteria = behavior.get("criteria") if isinstance(behavior, dict) else None
    value = criteria.get("value") if isinstance(criteria, dict) else None
    return sum(len(each) if isinstance(each, list) else 1 for each in value.values()) if isinstance(value, dict) else 0


BEHAVIOR: dict[str, Check] = {
    "name": check_name,
    "metric": check_metric,
    "metricDimension": refuse_dimension,
    "criteria": check_criteria,
    "suppressAlerts": check_boolean,
    "exportMetric": check_boolean,
}
