"""What the keyed operators put out, as lines of text whose first character says what they are.

A timer's output cannot go to a side output in thread mode, and so everything leaves by the same door.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from defender_detect.evaluate.shapes import alert_body
from defender_detect.flink.records import Refused

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

ALARM, QUIET, REFUSED = "A", "Q", "R"  # an event to be told, one that nobody is to be notified of, a refused record
RULES, THRESHOLD = "U", "T"  # what is broadcast


def of_event(event: Event) -> str:
    """Return an event as a line: what AWS sends to an SNS topic."""
    return (QUIET if event.suppressed else ALARM) + json.dumps(alert_body(event))


def of_refused(refused: Refused) -> str:
    """Return a refused record as a line."""
    return REFUSED + json.dumps(refused)


def of_threshold(name: str, window: int, value: float | None) -> str:
    """Return a percentile as a line."""
    return THRESHOLD + json.dumps([name, window, value])


def read_refused(line: str) -> Refused:
    """Return the refused record of a line."""
    return Refused(*json.loads(line[1:]))


def select(lines: Iterator[str], kinds: str) -> Iterator[str]:
    """Yield what lines of some kinds hold."""
    return (line[1:] for line in lines if line[0] in kinds)
