"""The rules for a report's custom metrics: each is an array of exactly one object with exactly one typed value."""

from __future__ import annotations

import re
from typing import Any

from defender_detect.blocks import ListOf
from defender_detect.rules import Place, Rule, address, custom_number, text

METRIC_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
RESERVED_PREFIX = "aws:"


VALUE_RULES: dict[str, Rule] = {  # by the inner key, which is the same in reports with short names
    "number": custom_number,
    "number_list": ListOf(custom_number),
    "string_list": ListOf(text),
    "ip_list": ListOf(address),
}


def custom_metrics(value: Any, place: Place) -> dict[str, Any]:
    """Require an object of custom metrics, and return it."""
    if not isinstance(value, dict):
        place.refuse("be an object", value)
    return {check_name(name, place): check_metric(metric, place.key(name)) for name, metric in value.items()}


def check_name(name: Any, place: Place) -> Any:
    """Require a name that a custom metric can have."""
    if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
        place.refuse("name its metrics with 1 to 128 of a-z A-Z 0-9 : _ -", name)
    if name.startswith(RESERVED_PREFIX):
        place.refuse(f"not name a metric {RESERVED_PREFIX}..., which AWS keeps for itself", name)
    return name


def check_metric(value: Any, place: Place) -> list[dict[str, Any]]:
    """Require a custom metric's array of one object of one value; keys that we do not know are left out."""
    if not isinstance(value, list) or len(value) != 1:
        place.refuse("be an array of exactly one object", value)
    return [check_value(value[0], place.item(0))]


def check_value(value: Any, place: Place) -> dict[str, Any]:
    """Require an object with exactly one of the typed values."""
    if not isinstance(value, dict):
        place.refuse("be an object", value)
    kinds = [kind for kind in VALUE_RULES if kind in value]
    if len(kinds) != 1:
        place.complain(f"have exactly one of {', '.join(VALUE_RULES)}", " and ".join(kinds) or "none of them")
    return {kind: VALUE_RULES[kind](value[kind], place.key(kind)) for kind in kinds}
