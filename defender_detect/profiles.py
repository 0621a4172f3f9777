"""Security profiles: what is normal for a thing, in the JSON of `aws iot create-security-profile --cli-input-json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defender_detect.errors import ProfileError
from defender_detect.metrics import FORGOTTEN_AFTER, Value
from device_defender.metrics import CLOUD_SIDE, SILENCE
from device_defender.profile_rules import read_documents
from device_defender.validation import Invalid

NOT_MEASURED = frozenset(CLOUD_SIDE) - {SILENCE}  # of AWS's metrics
LONGEST_SILENCE = int(FORGOTTEN_AFTER / 60)  # minutes
IN_THE_CLOUD = "is a cloud-side metric, which only AWS IoT measures"
NO_ML = (
    "ML Detect's models exist in AWS only; say what is normal with comparisonOperator and value or statisticalThreshold"
)


@dataclass(frozen=True)
class Criteria:
    """What makes a behavior normal: a comparison with a value, or with a percentile over all things that report."""

    operator: str  # comparisonOperator: "less-than", ..., "not-in-set"
    kind: str | None  # of the value: "count", "cidrs", "ports", "number", "numbers" or "strings"; None for a percentile
    value: Value | None  # None for a percentile
    duration: int | None = None  # seconds
    to_alarm: int = 1  # datapoints in violation that make an alarm
    to_clear: int = 1  # datapoints in compliance that clear it
    statistic: str | None = None  # "p0" to "p100"
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # as it is in the JSON


@dataclass(frozen=True)
class Behavior:
    """One thing that is normal about a metric."""

    name: str
    metric: str
    criteria: Criteria
    suppress_alerts: bool = False  # nobody is notified; the violation is recorded all the same
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # as it is in the JSON


@dataclass(frozen=True)
class Profile:
    """What is evaluated of a security profile; which things it is for stands elsewhere, as AWS attaches it apart."""

    name: str
    behaviors: tuple[Behavior, ...] = ()
    additional_metrics: tuple[str, ...] = ()  # kept besides those of the behaviors
    left_to_aws: tuple[str, ...] = field(default=(), compare=False)  # what nothing comes of here, a sentence each
    alert_topic: str | None = None  # the SNS topic's ARN that its alarms go to as well
    export_topic: str | None = None  # the MQTT topic that the values of some metrics are published on
    exported: tuple[str, ...] = ()  # those metrics
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # as it is in the JSON

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that are kept because of this profile."""
        return frozenset(self.additional_metrics).union(behavior.metric for behavior in self.behaviors)


def read_profiles(path: Path) -> tuple[Profile, ...]:
    """Read the profile in a file, or those in every `*.json` of a directory, in the order of their names.

    Raises ProfileError with all problems of all.
    """
    try:
        return tuple(map(parse_profile, read_documents(path).values()))
    except Invalid as error:
        raise ProfileError(error.problems) from error


def read_profile(path: Path) -> Profile:
    """Read the one profile in a file; raise ProfileError with everything that is wrong with it."""
    (profile,) = read_profiles(path)
    return profile


def parse_profile(document: Mapping[str, Any]) -> Profile:
    """Return what is evaluated of the profile that a valid document describes."""
    behaviors = document.get("behaviors", ())
    retained = [*document.get("additionalMetricsToRetain", ())]
    retained += [each["metric"] for each in document.get("additionalMetricsToRetainV2", ())]
    retained += [each["metric"] for each in behaviors if "metric" in each and why_not_evaluated(each)]
    return Profile(
        name=document["securityProfileName"],
        behaviors=tuple(parse_behavior(each) for each in behaviors if not why_not_evaluated(each)),
        additional_metrics=tuple(dict.fromkeys(metric for metric in retained if metric not in CLOUD_SIDE)),
        left_to_aws=tuple(find_left_to_aws(document)),
        alert_topic=document.get("alertTargets", {}).get("SNS", {}).get("alertTargetArn"),
        export_topic=document.get("metricsExportConfig", {}).get("mqttTopic"),
        exported=tuple(find_exported(document)),
        document=document,
    )


def find_exported(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the metrics of a valid document that are to be exported, and that reports have."""
    places = (*document.get("behaviors", ()), *document.get("additionalMetricsToRetainV2", ()))
    metrics = dict.fromkeys(each["metric"] for each in places if each.get("exportMetric") and "metric" in each)
    return (metric for metric in metrics if metric not in CLOUD_SIDE)


def find_left_to_aws(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each part of a valid document that is not evaluated, or not kept, here."""
    for index, each in enumerate(document.get("behaviors", ())):
        if reason := why_not_evaluated(each):
            yield f'behaviors[{index}] "{each["name"]}" is not evaluated here: {reason}'
    for key in ("additionalMetricsToRetain", "additionalMetricsToRetainV2"):
        for index, each in enumerate(document.get(key, ())):
            metric = each if isinstance(each, str) else each["metric"]
            if metric in NOT_MEASURED:
                yield f"{key}[{index}] is not kept here: {metric} {IN_THE_CLOUD}"
            elif metric == SILENCE:
                yield f"{key}[{index}] is not kept here: {metric} follows from the times of the reports"
    if any(find_exported(document)) and "metricsExportConfig" not in document:
        yield "nothing is exported: exportMetric needs metricsExportConfig, which says where to"
    if "metricsExportConfig" in document and not any(find_exported(document)):
        yield "nothing is exported, although there is metricsExportConfig: no metric that reports have has exportMetric"


def why_not_evaluated(behavior: Mapping[str, Any]) -> str:
    """Return why nothing is compared for a behavior of a valid document; an empty string for one that is evaluated."""
    metric = behavior.get("metric")
    if metric is None:
        return "it names no metric"
    if metric in NOT_MEASURED:
        return f"{metric} {IN_THE_CLOUD}"
    if "criteria" not in behavior:
        return f"it has no criteria, so {metric} is kept and compared with nothing"
    if "mlDetectionConfig" in behavior["criteria"]:
        return NO_ML
    return why_silence_is_not_evaluated(behavior["criteria"]) if metric == SILENCE else ""


def why_silence_is_not_evaluated(criteria: Mapping[str, Any]) -> str:
    """Return why nothing comes of a behavior about silence; an empty string for one that is evaluated."""
    if "statisticalThreshold" in criteria:
        return (
            f"of {SILENCE} there are no percentiles; say how many minutes are normal with comparisonOperator and value"
        )
    minutes = criteria["value"]["count"]
    if minutes >= LONGEST_SILENCE:
        return (
            f"of a thing nothing is remembered for {minutes} minutes, only for less than {LONGEST_SILENCE} (two days)"
        )
    return ""


def parse_behavior(document: Mapping[str, Any]) -> Behavior:
    """Return the behavior that a valid document describes."""
    criteria, suppressed = parse_criteria(document["criteria"]), document.get("suppressAlerts", False)
    return Behavior(document["name"], document["metric"], criteria, suppressed, document)


def parse_criteria(document: Mapping[str, Any]) -> Criteria:
    """Return the criteria that a valid document describes."""
    kind, value = next(iter(document.get("value", {}).items()), (None, None))
    return Criteria(
        operator=document["comparisonOperator"],
        kind=kind,
        value=tuple(value) if isinstance(value, list) else value,
        duration=document.get("durationSeconds"),
        to_alarm=document.get("consecutiveDatapointsToAlarm", 1),
        to_clear=document.get("consecutiveDatapointsToClear", 1),
        statistic=document.get("statisticalThreshold", {}).get("statistic"),
        document=document,
    )
