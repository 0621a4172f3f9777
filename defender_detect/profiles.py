"""Security profiles: what is normal for a thing, in the JSON of `aws iot create-security-profile --cli-input-json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defender_detect.errors import ProfileError
from defender_detect.metrics import Value
from defender_detect.profile_rules import find_problems


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
    export_metric: bool = False  # AWS's affair
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # as it is in the JSON


@dataclass(frozen=True)
class Profile:
    """A security profile; which things it is for stands elsewhere, as AWS attaches profiles with another call."""

    name: str
    behaviors: tuple[Behavior, ...] = ()
    description: str = ""
    additional_metrics: tuple[str, ...] = ()  # kept besides those of the behaviors
    alert_targets: Mapping[str, Any] = field(default_factory=dict, compare=False)  # SNS's topic and role
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    metrics_export: Mapping[str, Any] = field(default_factory=dict, compare=False)  # AWS's affair

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that are kept because of this profile."""
        return frozenset(self.additional_metrics).union(behavior.metric for behavior in self.behaviors)


def read_profiles(directory: Path) -> tuple[Profile, ...]:
    """Read every `*.json` of a directory, in the order of their names; raise ProfileError with all problems of all."""
    profiles: list[Profile] = []
    problems: list[str] = []
    for path in list_profiles(directory):
        try:
            profiles.append(read_profile(path))
        except ProfileError as error:
            problems += error.problems
    problems += find_shared_names(profiles)
    if problems:
        raise ProfileError(problems)
    return tuple(profiles)


def list_profiles(directory: Path) -> list[Path]:
    """Return the profiles' files; raise ProfileError if the directory cannot be read."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError as error:
        raise ProfileError([f"{directory}: cannot be read: {error.strerror}"]) from error


def find_shared_names(profiles: list[Profile]) -> list[str]:
    """Return a problem for each name that more than one profile has."""
    names = [profile.name for profile in profiles]
    return [
        f'securityProfileName must be unique, but {names.count(name)} files have "{name}"'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def read_profile(path: Path) -> Profile:
    """Read a profile; raise ProfileError with everything that is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise ProfileError([f"{path}: must be JSON in UTF-8: {error}"]) from error
    problems = find_problems(document)
    if problems:
        raise ProfileError([f"{path}: {problem}" for problem in problems])
    return parse_profile(document)


def parse_profile(document: Mapping[str, Any]) -> Profile:
    """Return the profile that a valid document describes."""
    retained = [entry["metric"] for entry in document.get("additionalMetricsToRetainV2", ())]
    return Profile(
        name=document["securityProfileName"],
        behaviors=tuple(parse_behavior(behavior) for behavior in document.get("behaviors", ())),
        description=document.get("securityProfileDescription", ""),
        additional_metrics=tuple(dict.fromkeys([*document.get("additionalMetricsToRetain", ()), *retained])),
        alert_targets=document.get("alertTargets", {}),
        tags={tag["Key"]: tag.get("Value", "") for tag in document.get("tags", ())},
        metrics_export=document.get("metricsExportConfig", {}),
    )


def parse_behavior(document: Mapping[str, Any]) -> Behavior:
    """Return the behavior that a valid document describes."""
    return Behavior(
        name=document["name"],
        metric=document["metric"],
        criteria=parse_criteria(document["criteria"]),
        suppress_alerts=document.get("suppressAlerts", False),
        export_metric=document.get("exportMetric", False),
        document=document,
    )


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
