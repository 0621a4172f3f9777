"""Alerts in the log: one line each."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from defender_detect.alerts.target import Publish, Target
from defender_detect.evaluate.shapes import metric_value

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

LONGEST_VALUE = 200  # characters

log = logging.getLogger(__name__)


class Log(Target, frozen=True):
    """The log, which has every alert whether or not it is a target."""

    def open(self, publish: Publish) -> None:
        """Return nothing: nothing is left to be sent."""


def log_alert(event: Event) -> None:
    """Log an alert: WARNING if an alarm begins, INFO if it ends."""
    level = logging.WARNING if event.type == "in-alarm" else logging.INFO
    log.log(level, "%s", describe_alert(event))


def describe_alert(event: Event) -> str:
    """Return an alert in a line of ASCII, short whatever the value is."""
    value = json.dumps(metric_value(event.kind, event.value))
    shown = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 3]}..."
    where = f"{event.thing}: {event.type}: {event.behavior} of {event.profile}"
    if event.value is None:
        return where
    return f"{where}: {event.metric} is {shown}, normal is {describe_criteria(event)}"


def describe_criteria(event: Event) -> str:
    """Return what is normal, in a few words."""
    criteria = event.criteria
    threshold = criteria.get("value") or criteria.get("statisticalThreshold") or {}
    text = f"{criteria.get('comparisonOperator', '')} {json.dumps(threshold)}".strip()
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
