"""Security profiles in the JSON of `aws iot create-security-profile`, and the custom metrics that they need."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from device_defender import profile as aws
from device_defender import validation
from device_defender.metrics import AWS_PREFIX, BUILT_INS, TYPES
from device_defender.profile_rules import AWS_RULES, read_documents
from device_defender.wording import key_path
from infrastructure.errors import DeployError

DEFAULT_METRIC, NUMBER = "cpu_usage", "number"
TYPE_OF = {each.in_profile: name for name, each in TYPES.items()}  # by a value's key
# CloudFormation looks such a text up, a secret of the account for instance; aws_cdk takes such a one for a reference.
REFERENCES = {"{{resolve:": "CloudFormation", "${Token[": "aws_cdk", "#{Token[": "aws_cdk"}
NUMBER_REFERENCE = b"\xfb\xff"  # how the numbers begin that aws_cdk writes for a reference, about -1.888e289


@dataclass(frozen=True)
class Profile:
    """A security profile."""

    name: str
    path: Path
    document: Mapping[str, Any]  # as the API takes it (camelCase)


def read_profiles(directory: Path) -> tuple[Profile, ...]:
    """Read every `*.json` of a directory, in the order of their names; raise DeployError with all problems of all."""
    try:
        documents = read_documents(directory, RULES)
    except validation.Invalid as error:
        raise DeployError(str(error)) from error
    return tuple(Profile(each["securityProfileName"], path, each) for path, each in documents.items())


def custom_metrics(profiles: Sequence[Profile], device_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom metrics that must exist, with their types: cpu_usage, and those that the profiles name.

    The kind of a behavior's value tells a metric's type, or else the devices' configuration does. Raises DeployError
    for a metric without a type, and for one with two.
    """
    uses = [use for profile in profiles for use in _find_uses(profile)]
    metrics = {}
    problems = []
    for name in dict.fromkeys([DEFAULT_METRIC, *(name for name, _, _ in uses)]):
        types = _find_types(name, uses, device_config)
        if len(types) == 1:
            metrics[name] = next(iter(types))
        else:
            problems.append(_explain_types(name, types))
    if problems:
        raise DeployError("\n".join(problems))
    return metrics


def reported_type(name: str, device_config: Mapping[str, Any]) -> str | None:
    """Return the type that the devices report a custom metric with; None if they do not report it."""
    definition = device_config.get("custom_metrics", {}).get(name)
    if definition is None:
        return None
    found = BUILT_INS.get(definition.get("source", name)) if "command" not in definition else None
    return found.type if found else definition.get("type")


Use = tuple[str, "str | None", str]  # of a custom metric: its name, its type if a value tells, and where


def _find_uses(profile: Profile) -> Iterator[Use]:
    for metric, criteria in _name_metrics(profile.document):
        if not metric.startswith(AWS_PREFIX):
            yield metric, _type_of(criteria), str(profile.path)


def _name_metrics(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for behavior in document.get("behaviors", []):
        yield behavior["metric"], behavior.get("criteria", {})
    for metric in document.get("additionalMetricsToRetain", []):
        yield metric, {}
    for entry in document.get("additionalMetricsToRetainV2", []):
        yield entry["metric"], {}


def _type_of(criteria: Mapping[str, Any]) -> str | None:
    if "statisticalThreshold" in criteria or "mlDetectionConfig" in criteria:
        return NUMBER  # percentiles and models are of numbers only
    return next((TYPE_OF[kind] for kind in criteria.get("value", {})), None)


def _find_types(name: str, uses: Sequence[Use], device_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the types that a custom metric has, with who says so."""
    types = {kind: path for metric, kind, path in reversed(uses) if metric == name and kind}
    if reported := reported_type(name, device_config):
        types.setdefault(reported, "the devices' configuration")
    return types or ({BUILT_INS[name].type: "the publisher"} if name in BUILT_INS else {})


def _explain_types(name: str, types: Mapping[str, str]) -> str:
    if types:
        given = " and ".join(f"{kind} in {where}" for kind, where in types.items())
        return f"the custom metric {name} must have one type, got {given}"
    return (
        f"the custom metric {name} has no type: no behavior compares it with a value, and the devices' configuration "
        f'does not report it (custom_metrics, with "type" one of {", ".join(TYPES)})'
    )


def _find_references(profile: aws.Profile, path: str) -> Iterator[str]:
    for place, value in _find_leaves(msgspec.to_builtins(profile), path):
        for mark, reader in REFERENCES.items():
            if isinstance(value, str) and mark in value:
                yield f"{place} must not have {mark}... in it, which {reader} takes for a reference"
        if isinstance(value, (int, float)) and struct.pack(">d", value).startswith(NUMBER_REFERENCE):
            yield f"{place} must be another number than {value}, which aws_cdk takes for a reference"


def _find_leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    for key, each in items or ():
        yield from _find_leaves(each, key_path(path, key) if isinstance(value, dict) else f"{path}[{key}]")


def _demand_metric(behavior: aws.Behavior, path: str) -> Iterator[str]:
    if behavior.metric is UNSET and behavior.criteria is UNSET:  # with criteria, AWS demands it
        yield f"{path}.metric is missing; without it, a behavior says nothing"


def _demand_value(tag: aws.Tag, path: str) -> Iterator[str]:
    if not tag.Value:  # the API takes a tag without a value
        yield f"{path}.Value must not be empty, which CloudFormation does not take"


RULES: validation.Rules = {
    **AWS_RULES,
    aws.Profile: (*AWS_RULES[aws.Profile], _find_references),
    aws.Behavior: (*AWS_RULES[aws.Behavior], _demand_metric),
    aws.Tag: (_demand_value,),
}
