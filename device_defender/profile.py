"""A security profile: the keys, types and limits of CreateSecurityProfile, and AWS's words for what is in it.

`Profile` is the definition, for `device_defender.validation`; `device_defender.profile_rules` has what no type can say.
The sources are the service's model and the developer guide's chapters on device-side and cloud-side metrics and quotas.
"""

import ipaddress
import unicodedata
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from device_defender.definition import that
from device_defender.metrics import AWS_PREFIX, LARGEST_COUNT, Name

MOST_BEHAVIORS, MOST_TAGS = 100, 50  # per profile
COMPARING = ("less-than", "less-than-equals", "greater-than", "greater-than-equals")
OPERATORS = {  # by the kind of a value
    "count": COMPARING,
    "cidrs": ("in-cidr-set", "not-in-cidr-set"),
    "ports": ("in-port-set", "not-in-port-set"),
    "number": COMPARING,
    "numbers": ("in-set", "not-in-set"),
    "strings": ("in-set", "not-in-set"),
}


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
