"""The rules for a behavior's criteria: operator, value, duration, datapoints and percentile, each for itself."""

from __future__ import annotations

import ipaddress
from typing import Any

from defender_detect.entries import Check, Entry, check_each
from defender_detect.evaluate.percentiles import STATISTICS
from defender_detect.metrics import LARGEST_COUNT
from defender_detect.rules import LARGEST_PORT, is_number

MOST_CONSECUTIVE = 10
DURATIONS = (300, 600, 900, 1800, 3600)
SHORTEST_CIDR, LONGEST_CIDR = 2, 43
COMPARING = ("less-than", "less-than-equals", "greater-than", "greater-than-equals")
OPERATORS = {  # by the kind of a value
    "count": COMPARING,
    "number": COMPARING,
    "ports": ("in-port-set", "not-in-port-set"),
    "cidrs": ("in-cidr-set", "not-in-cidr-set"),
    "numbers": ("in-set", "not-in-set"),
    "strings": ("in-set", "not-in-set"),
}
ALL_OPERATORS = tuple(dict.fromkeys(operator for operators in OPERATORS.values() for operator in operators))
NO_ML = (
    "cannot be evaluated here: ML Detect's models exist in AWS only; "
    "say what is normal with comparisonOperator and value or statisticalThreshold"
)


def check_criteria(entry: Entry) -> None:
    """Require an operator and either a value or a percentile."""
    if not entry.check_object(CRITERIA) or "mlDetectionConfig" in entry.value:
        return
    if "comparisonOperator" not in entry.value:
        entry.problems.append(f"{entry.path}.comparisonOperator is missing")
    given = [name for name in ("value", "statisticalThreshold") if name in entry.value]
    if len(given) != 1:
        found = " and ".join(given) or "neither"
        entry.complain(f"must have either value or statisticalThreshold, got {'both' if given else found}")
    if "statisticalThreshold" in given and "durationSeconds" not in entry.value:
        entry.problems.append(f"{entry.path}.durationSeconds is missing, which a statisticalThreshold needs")


def check_operator(entry: Entry) -> None:
    """Require one of AWS's operators."""
    is_right = isinstance(entry.value, str) and entry.value in ALL_OPERATORS
    entry.expect(is_right, f"be one of {', '.join(ALL_OPERATORS)}")


def check_duration(entry: Entry) -> None:
    """Require one of AWS's durations."""
    is_right = is_plain_integer(entry.value) and entry.value in DURATIONS
    entry.expect(is_right, f"be one of {', '.join(map(str, DURATIONS))} (seconds)")


def check_consecutive(entry: Entry) -> None:
    """Require a number of datapoints."""
    is_right = is_plain_integer(entry.value) and 1 <= entry.value <= MOST_CONSECUTIVE
    entry.expect(is_right, f"be an integer from 1 to {MOST_CONSECUTIVE}")


def check_statistical_threshold(entry: Entry) -> None:
    """Require a percentile."""
    entry.check_object({"statistic": check_statistic}, required=["statistic"])


def check_statistic(entry: Entry) -> None:
    """Require one of AWS's percentiles."""
    entry.expect(isinstance(entry.value, str) and entry.value in STATISTICS, f"be one of {', '.join(STATISTICS)}")


def refuse_ml(entry: Entry) -> None:
    """Refuse ML Detect."""
    entry.complain(NO_ML)


def check_value(entry: Entry) -> None:
    """Require exactly one value."""
    if entry.check_object(VALUE):
        given = [kind for kind in VALUE if kind in entry.value]
        if len(given) != 1:
            entry.complain(f"must have exactly one of {', '.join(VALUE)}, got {' and '.join(given) or 'none of them'}")


def check_count(entry: Entry) -> None:
    """Require a whole number, as JSON: only CloudFormation writes it as a string."""
    is_right = is_plain_integer(entry.value) and 0 <= entry.value <= LARGEST_COUNT
    entry.expect(is_right, "be an integer of at least 0")


def check_number(entry: Entry) -> None:
    """Require a number."""
    entry.expect(is_number(entry.value), "be a number")


def check_string(entry: Entry) -> None:
    """Require a string."""
    entry.expect(isinstance(entry.value, str), "be a string")


def check_port(entry: Entry) -> None:
    """Require a port."""
    is_right = is_plain_integer(entry.value) and 0 <= entry.value <= LARGEST_PORT
    entry.expect(is_right, f"be an integer from 0 to {LARGEST_PORT}")


def check_cidr(entry: Entry) -> None:
    """Require a range of IPv4 or IPv6 addresses."""
    entry.expect(is_cidr(entry.value), "be a CIDR such as 10.0.0.0/8 or 2001:db8::/32")


def is_plain_integer(value: Any) -> bool:
    """Tell whether a value is an integer that is written as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_cidr(value: Any) -> bool:
    """Tell whether a value is a CIDR of at most AWS's length; a single address is one, too."""
    if not isinstance(value, str) or not SHORTEST_CIDR <= len(value) <= LONGEST_CIDR or "%" in value:
        return False
    try:
        return bool(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return False


VALUE: dict[str, Check] = {
    "count": check_count,
    "cidrs": check_each(check_cidr),
    "ports": check_each(check_port),
    "number": check_number,
    "numbers": check_each(check_number),
    "strings": check_each(check_string),
}
CRITERIA: dict[str, Check] = {
    "comparisonOperator": check_operator,
    "value": check_value,
    "durationSeconds": check_duration,
    "consecutiveDatapointsToAlarm": check_consecutive,
    "consecutiveDatapointsToClear": check_consecutive,
    "statisticalThreshold": check_statistical_threshold,
    "mlDetectionConfig": refuse_ml,
}
