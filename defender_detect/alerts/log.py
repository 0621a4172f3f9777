"""Alerts in the log: one line each."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from defender_detect.alerts.target import Publish, Target
from defender_detect.evaluate.sentences import line_of, subject_of
from defender_detect.evaluate.shapes import metric_value

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

log = logging.getLogger(__name__)


class Log(Target, frozen=True):
    """The log, which has every alert whether or not it is a target."""

    def open(self, publish: Publish) -> None:
        """Return nothing: nothing is left to be sent."""


def log_alert(event: Event) -> None:
    """Log an alert: WARNING if an alarm begins, INFO if it ends; what is normal and what is, whole, at DEBUG."""
    level = logging.WARNING if event.type == "in-alarm" else logging.INFO
    log.log(level, "%s", line_of(event))
    if event.value is not None and log.isEnabledFor(logging.DEBUG):
        value, criteria = json.dumps(metric_value(event.kind, event.value)), json.dumps(event.criteria)
        log.debug("%s: %s is %s, normal is %s", subject_of(event), event.metric, value, criteria)
