"""AWS's rules of a security profile that no type can say, and the reading of profiles by them.

Whoever demands more gives more rules: `{**AWS_RULES, Behavior: (*AWS_RULES[Behavior], mine)}`. The sources are the
developer guide's chapters on device-side and cloud-side metrics, dimensions, ML Detect and quotas.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from msgspec import UNSET

from device_defender.metrics import AWS_PREFIX, CLOUD_SIDE, DEVICE_SIDE, TYPES
from device_defender.profile import OPERATORS, Behavior, Criteria, Profile, Retained
from device_defender.validation import Invalid, Rules, find_problems, read, read_json
from device_defender.wording import did_you_mean, shown

MOST_ELEMENTS = 1000  # value elements of all behaviors of a profile together
KINDS = {**DEVICE_SIDE, **CLOUD_SIDE}  # of the metrics that AWS defines, by name
CUSTOM_KINDS = tuple(each.in_profile for each in TYPES.values())
OPERATORS_OF = {"aws:disconnect-duration": ("less-than", "less-than-equals")}  # where a metric has fewer than its kind
WITH_DIMENSION = (
    "aws:message-byte-size",
    "aws:num-authorization-failures",
    "aws:num-messages-received",
    "aws:num-messages-sent",
    "aws:source-ip-address",
)
NOT_LEARNED = ("aws:disconnect-duration",)  # of the metrics that are numbers; ML Detect has models of the others


def _profile_problems(profile: Profile, path: str) -> Iterator[str]:
    for index, metric in enumerate(profile.additional_metrics_to_retain):
        yield from _metric_problems(metric, f"additionalMetricsToRetain[{index}]")
    yield from _repetitions("behaviors", "name", [each.name for each in profile.behaviors])
    yield from _repetitions("tags", "Key", [each.Key for each in profile.tags])
    elements = sum(map(_count_elements, profile.behaviors))
    if elements > MOST_ELEMENTS:
        yield f"behaviors must have at most {MOST_ELEMENTS} value elements together, got {elements}"


def _repetitions(path: str, key: str, names: Sequence[str]) -> Iterator[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{path}[{index}].{key} must be unique, got {shown(name)}"


def _count_elements(behavior: Behavior) -> int:
    """Return how many value elements a behavior has: a list has as many as items, anything else is one."""
    if behavior.criteria is UNSET or behavior.criteria.value is UNSET:
        return 0
    return sum(len(each) if isinstance(each, list) else 1 for each in behavior.criteria.value.given.values())


def _retained_problems(retained: Retained, path: str) -> Iterator[str]:
    yield from _metric_problems(retained.metric, f"{path}.metric")
    yield from _dimension_problems(retained, path)


def _behavior_problems(behavior: Behavior, path: str) -> Iterator[str]:
    if behavior.metric is UNSET:
        if behavior.criteria is not UNSET or behavior.metric_dimension is not UNSET:
            yield f"{path}.metric is missing; it must be what the criteria are about"
        return
    problems = list(_metric_problems(behavior.metric, f"{path}.metric"))
    yield from problems or _dimension_problems(behavior, path)
    if behavior.criteria is not UNSET and not problems:
        yield from _criteria_problems(behavior.criteria, behavior.metric, f"{path}.criteria")


def _metric_problems(metric: str, path: str) -> Iterator[str]:
    if metric.startswith(AWS_PREFIX) and metric not in KINDS:
        yield f"{path} must be a metric that AWS has or a custom one, got {shown(metric)}{did_you_mean(metric, KINDS)}"


def _dimension_problems(each: Union[Behavior, Retained], path: str) -> Iterator[str]:
    if each.metric_dimension is not UNSET and each.metric not in WITH_DIMENSION:
        yield f"{path}.metricDimension cannot be used with {each.metric}, only with {', '.join(WITH_DIMENSION)}"


def _criteria_problems(criteria: Criteria, metric: str, path: str) -> Iterator[str]:
    kinds = (KINDS[metric],) if metric in KINDS else CUSTOM_KINDS
    if criteria.ml_detection_config is not UNSET:
        if metric in NOT_LEARNED or not {"count", "number"}.intersection(kinds):
            yield f"{path}.mlDetectionConfig cannot be used with {metric}, of which ML Detect has no models"
        return
    if criteria.comparison_operator is UNSET:
        yield f"{path}.comparisonOperator is missing; it must be one of {', '.join(_operators(metric, kinds))}"
    if (criteria.value is UNSET) is (criteria.statistical_threshold is UNSET):
        found = "neither" if criteria.value is UNSET else "both"
        yield f"{path} must have either value or statisticalThreshold, got {found}"
    elif criteria.value is UNSET:
        yield from _threshold_problems(criteria, metric, kinds, path)
    else:
        yield from _value_problems(criteria, metric, kinds, path)


def _threshold_problems(criteria: Criteria, metric: str, kinds: tuple[str, ...], path: str) -> Iterator[str]:
    if criteria.duration_seconds is UNSET:
        yield f"{path}.durationSeconds is missing, which a statisticalThreshold needs"
    numbers = tuple(kind for kind in kinds if kind in ("count", "number"))
    if not numbers:
        yield f"{path}.statisticalThreshold cannot be used with {metric}, which is a list"
    else:
        yield from _operator_problems(criteria, _operators(metric, numbers), "a statisticalThreshold", path)


def _value_problems(criteria: Criteria, metric: str, kinds: tuple[str, ...], path: str) -> Iterator[str]:
    given = list(criteria.value.given) if criteria.value is not UNSET else []
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        yield f"{path}.value must have exactly one of {', '.join(OPERATORS)}, got {found}"
    elif given[0] not in kinds:
        yield f"{path}.value must have {' or '.join(kinds)} for {metric}, got {given[0]}"
    else:
        yield from _operator_problems(criteria, _operators(metric, (given[0],)), given[0], path)
        if criteria.duration_seconds is not UNSET and given[0] not in ("count", "number"):
            yield f"{path}.durationSeconds cannot be used with {given[0]}: lists have no duration"


def _operator_problems(criteria: Criteria, allowed: Sequence[str], what: str, path: str) -> Iterator[str]:
    operator = criteria.comparison_operator
    if operator is not UNSET and operator not in allowed:
        yield f"{path}.comparisonOperator must be one of {', '.join(allowed)} for {what}, got {shown(operator)}"


def _operators(metric: str, kinds: Sequence[str]) -> Sequence[str]:
    if metric in OPERATORS_OF:
        return OPERATORS_OF[metric]
    return tuple(dict.fromkeys(operator for kind in kinds for operator in OPERATORS[kind]))


AWS_RULES: Rules = {
    Profile: (_profile_problems,),
    Behavior: (_behavior_problems,),
    Retained: (_retained_problems,),
}


def find_profile_problems(document: object) -> list[str]:
    """Return a sentence for everything in a document that AWS does not take as a security profile."""
    return find_problems(document, Profile, AWS_RULES)


def read_documents(path: Path, rules: Rules = AWS_RULES) -> dict[Path, dict[str, Any]]:
    """Return the profiles in a file, or in every `*.json` of a directory in the order of their names, as JSON has them.

    Raises Invalid with every problem of all of them, each with its file.
    """
    documents: dict[Path, dict[str, Any]] = {}
    problems: list[str] = []
    for each in _list_files(path):
        try:
            document = read_json(each)
            read(document, Profile, rules)
        except Invalid as error:
            problems += [f"{each}: {problem}" for problem in error.problems]
        else:
            documents[each] = document
    problems += _find_shared_names(documents)
    if problems:
        raise Invalid(problems)
    return documents


def _list_files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        return sorted(each for each in path.iterdir() if each.suffix == ".json" and not each.name.startswith("."))
    except OSError as error:
        raise Invalid([f"{path}: cannot be read: {error.strerror}"]) from error


def _find_shared_names(documents: Mapping[Path, Mapping[str, Any]]) -> Iterator[str]:
    first: dict[str, Path] = {}
    for path, document in documents.items():
        name = document["securityProfileName"]
        if first.setdefault(name, path) != path:
            yield f'{path}: securityProfileName "{name}" is in {first[name]}, too'
