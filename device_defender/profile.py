"""A security profile: the keys, types and limits of CreateSecurityProfile, and AWS's rules that no type can say.

`Profile` is the definition and `AWS_RULES` are the rules, for `device_defender.validation`; `read_documents(path)`
reads files by them. Whoever demands more gives more rules: `{**AWS_RULES, Behavior: (*AWS_RULES[Behavior], mine)}`. The
sources are the service's model and the developer guide's chapters on device-side and cloud-side metrics, dimensions,
ML Detect and quotas.
"""

import ipaddress
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from device_defender.definition import that
from device_defender.metrics import AWS_PREFIX, CLOUD_SIDE, DEVICE_SIDE, LARGEST_COUNT, TYPES, Name
from device_defender.validation import Invalid, Rules, read, read_json
from device_defender.wording import did_you_mean, shown

MOST_BEHAVIORS, MOST_ELEMENTS = 100, 1000  # per profile; value elements of all behaviors together
MOST_TAGS = 50
KINDS = {**DEVICE_SIDE, **CLOUD_SIDE}  # of the metrics that AWS defines, by name
CUSTOM_KINDS = tuple(each.in_profile for each in TYPES.values())
COMPARING = ("less-than", "less-than-equals", "greater-than", "greater-than-equals")
OPERATORS = {  # by the kind of a value
    "count": COMPARING,
    "cidrs": ("in-cidr-set", "not-in-cidr-set"),
    "ports": ("in-port-set", "not-in-port-set"),
    "number": COMPARING,
    "numbers": ("in-set", "not-in-set"),
    "strings": ("in-set", "not-in-set"),
}
OPERATORS_OF = {"aws:disconnect-duration": ("less-than", "less-than-equals")}  # where a metric has fewer than its kind
WITH_DIMENSION = (
    "aws:message-byte-size",
    "aws:num-authorization-failures",
    "aws:num-messages-received",
    "aws:num-messages-sent",
    "aws:source-ip-address",
)
NOT_LEARNED = ("aws:disconnect-duration",)  # of the metrics that are numbers; ML Detect has models of the others


def is_cidr(text: str) -> bool:
    """Tell whether a string is a range of IPv4 or IPv6 addresses; a single address is one, too."""
    try:
        return "%" not in text and bool(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return False


def is_tag_key(text: str) -> bool:
    """Tell whether a string is of letters, digits, white space and what else a tag's key may have."""
    has_only = all(unicodedata.category(each)[0] in "LNZ" or each in "_.:/=+-@" for each in text)
    return has_only and not text.startswith(AWS_PREFIX)


Number = Union[int, float]
Port = Annotated[int, Meta(ge=0, le=65535)]
Cidr = Annotated[str, Meta(min_length=2, max_length=43), that(is_cidr, "a CIDR such as 10.0.0.0/8 or 2001:db8::/32")]
Datapoints = Annotated[int, Meta(ge=1, le=10)]
Count = Annotated[int, Meta(ge=0, le=LARGEST_COUNT), that(None, "a whole number of at least 0")]
Operator = Literal[
    "less-than", "less-than-equals", "greater-than", "greater-than-equals", "in-cidr-set", "not-in-cidr-set",
    "in-port-set", "not-in-port-set", "in-set", "not-in-set",
]  # fmt: skip
Duration = Annotated[Literal[300, 600, 900, 1800, 3600], that(None, "one of 300, 600, 900, 1800, 3600 (seconds)")]
STATISTICS = ("p0", "p0.01", "p0.1", "p1", "p10", "p50", "p90", "p99", "p99.9", "p99.99", "p100")
Statistic = Annotated[str, that(STATISTICS.__contains__, f"one of {', '.join(STATISTICS)}")]
RoleArn = Annotated[
    str, Meta(min_length=20, max_length=2048, pattern="^arn:"), that(None, "an ARN (arn:...) of 20 to 2048 characters")
]
TopicArn = Annotated[
    str, Meta(max_length=2048, pattern="^arn:"), that(None, "an ARN (arn:...) of at most 2048 characters")
]
# The model's pattern is [\p{Graph}\x20]*, which to Java are characters of ASCII.
Description = Annotated[
    str, Meta(max_length=1000, pattern=r"^[ -~]*$(?!\n)"), that(None, "at most 1000 characters of ASCII in one line")
]
TagKey = Annotated[
    str,
    Meta(min_length=1, max_length=128),
    that(is_tag_key, "1 to 128 letters, digits, blanks and _ . : / = + - @, not beginning with aws:"),
]


class Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An object of a profile."""


class Dimension(Block, frozen=True):  # what narrows a cloud-side metric
    dimension_name: Name
    operator: Literal["IN", "NOT_IN"] = "IN"


class Value(Block, frozen=True):
    """What a metric is compared with: exactly one of these is set."""

    count: Union[Count, UnsetType] = UNSET
    cidrs: Union[list[Cidr], UnsetType] = UNSET
    ports: Union[list[Port], UnsetType] = UNSET
    number: Union[Number, UnsetType] = UNSET
    numbers: Union[list[Number], UnsetType] = UNSET
    strings: Union[list[str], UnsetType] = UNSET

    @property
    def given(self) -> dict[str, Any]:
        """The values that are set, by their kind."""
        return {kind: getattr(self, kind) for kind in OPERATORS if getattr(self, kind) is not UNSET}


class Threshold(Block, frozen=True):  # a percentile over all things that report
    statistic: Statistic


class MachineLearning(Block, frozen=True):  # how sure ML Detect must be
    confidence_level: Literal["LOW", "MEDIUM", "HIGH"]


class Criteria(Block, frozen=True):  # what is normal
    comparison_operator: Union[Operator, UnsetType] = UNSET
    value: Union[Value, UnsetType] = UNSET
    duration_seconds: Union[Duration, UnsetType] = UNSET
    consecutive_datapoints_to_alarm: Datapoints = 1
    consecutive_datapoints_to_clear: Datapoints = 1
    statistical_threshold: Union[Threshold, UnsetType] = UNSET
    ml_detection_config: Union[MachineLearning, UnsetType] = UNSET


class Behavior(Block, frozen=True):
    """One thing that is normal about a metric; without criteria the metric is only kept."""

    name: Name
    metric: Union[Name, UnsetType] = UNSET
    metric_dimension: Union[Dimension, UnsetType] = UNSET
    criteria: Union[Criteria, UnsetType] = UNSET
    suppress_alerts: bool = False
    export_metric: bool = False


class Retained(Block, frozen=True):  # a metric that is kept although no behavior needs it
    metric: Name
    metric_dimension: Union[Dimension, UnsetType] = UNSET
    export_metric: bool = False


class Target(Block, frozen=True):
    alert_target_arn: TopicArn
    role_arn: RoleArn


class Targets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    SNS: Union[Target, UnsetType] = UNSET


class Tag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    Key: TagKey
    Value: Annotated[str, Meta(max_length=256)] = ""


class Export(Block, frozen=True):  # where AWS exports metrics to
    mqtt_topic: Annotated[str, Meta(min_length=1, max_length=512)]
    role_arn: RoleArn


class Profile(Block, frozen=True):
    """A security profile, as CreateSecurityProfile takes it and DescribeSecurityProfile prints it."""

    security_profile_name: Name
    security_profile_description: Description = ""
    behaviors: Annotated[list[Behavior], Meta(max_length=MOST_BEHAVIORS)] = []
    alert_targets: Union[Targets, UnsetType] = UNSET
    additional_metrics_to_retain: list[Name] = []
    additional_metrics_to_retain_v2: list[Retained] = []
    tags: Annotated[list[Tag], Meta(max_length=MOST_TAGS)] = []
    metrics_export_config: Union[Export, UnsetType] = UNSET
    security_profile_arn: Any = None  # this and what follows is what DescribeSecurityProfile adds
    version: Any = None
    creation_date: Any = None
    last_modified_date: Any = None


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
