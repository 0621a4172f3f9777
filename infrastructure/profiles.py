"""Security profiles in the JSON of `aws iot create-security-profile`, and the custom metrics that they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.errors import DeployError
from infrastructure.json_file import read_json
from infrastructure.profile_keys import find_problems

AWS_PREFIX = "aws:"  # of the metrics that AWS IoT has by itself
DEFAULT_METRIC, NUMBER = "cpu_usage", "number"
TYPES = {
    "number": NUMBER,
    "numbers": "number-list",
    "strings": "string-list",
    "cidrs": "ip-address-list",
}  # by a value's key
BUILT_INS = {  # what the publisher measures by itself, with the metric's type in AWS IoT
    "cpu_usage": NUMBER,
    "memory_usage": NUMBER,
    "swap_usage": NUMBER,
    "disk_usage": NUMBER,
    "load_average": "number-list",
    "cpu_temperature": NUMBER,
    "process_count": NUMBER,
    "process_names": "string-list",
    "logged_in_users": "string-list",
    "uptime": NUMBER,
    "interface_addresses": "ip-address-list",
    "open_file_count": NUMBER,
}


@dataclass(frozen=True)
class Profile:
    """A security profile."""

    name: str
    path: Path
    document: Mapping[str, Any]  # as the API takes it (camelCase)


def read_profiles(directory: Path) -> tuple[Profile, ...]:
    """Read every `*.json` of a directory, in the order of their names; raise DeployError with all problems of all."""
    profiles: list[Profile] = []
    problems: list[str] = []
    for path in _list_profiles(directory):
        try:
            profiles.append(_read_profile(path))
        except DeployError as error:
            problems.append(str(error))
    problems += _find_shared_names(profiles)
    if problems:
        raise DeployError("\n".join(problems))
    return tuple(profiles)


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
    found = BUILT_INS.get(definition.get("source", name)) if "command" not in definition else definition.get("type")
    return found or definition.get("type")


def _list_profiles(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError as error:
        raise DeployError(f"{directory} cannot be read: {error.strerror}") from error


def _read_profile(path: Path) -> Profile:
    document = read_json(path)
    if problems := find_problems(document):
        raise DeployError("\n".join(f"{path}: {problem}" for problem in problems))
    return Profile(document["securityProfileName"], path, document)


def _find_shared_names(profiles: Sequence[Profile]) -> Iterator[str]:
    first: dict[str, Path] = {}
    for profile in profiles:
        other = first.setdefault(profile.name, profile.path)
        if other != profile.path:
            yield f'{profile.path}: securityProfileName "{profile.name}" is in {other}, too'


Use = tuple[str, "str | None", str]  # of a custom metric: its name, its type if a value tells, and where


def _find_uses(profile: Profile) -> Iterator[Use]:
    for metric, criteria in _name_metrics(profile.document):
        if not metric.startswith(AWS_PREFIX):
            yield metric, _type_of(metric, criteria, profile.path), str(profile.path)


def _name_metrics(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for behavior in document.get("behaviors", []):
        yield behavior["metric"], behavior.get("criteria", {})
    for metric in document.get("additionalMetricsToRetain", []):
        yield metric, {}
    for entry in document.get("additionalMetricsToRetainV2", []):
        yield entry["metric"], {}


def _type_of(metric: str, criteria: Mapping[str, Any], path: Path) -> str | None:
    if "statisticalThreshold" in criteria or "mlDetectionConfig" in criteria:
        return NUMBER  # percentiles and models are of numbers only
    kinds = list(criteria.get("value", {}))
    if wrong := [kind for kind in kinds if kind not in TYPES]:
        raise DeployError(
            f"{path}: the custom metric {metric} must have {', '.join(TYPES)} as its value, got {wrong[0]}"
        )
    return TYPES[kinds[0]] if kinds else None


def _find_types(name: str, uses: Sequence[Use], device_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the types that a custom metric has, with who says so."""
    types = {kind: path for metric, kind, path in reversed(uses) if metric == name and kind}
    if reported := reported_type(name, device_config):
        types.setdefault(reported, "the devices' configuration")
    return types or ({BUILT_INS[name]: "the publisher"} if name in BUILT_INS else {})


def _explain_types(name: str, types: Mapping[str, str]) -> str:
    if types:
        given = " and ".join(f"{kind} in {where}" for kind, where in types.items())
        return f"the custom metric {name} must have one type, got {given}"
    return (
        f"the custom metric {name} has no type: no behavior compares it with a value, and the devices' configuration "
        f'does not report it (custom_metrics, with "type" one of {", ".join(TYPES.values())})'
    )
