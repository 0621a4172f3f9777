"""The doctor: the ladder from the configuration to an accepted report, and its findings as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from defender_publisher.doctor import ladder, reach, rungs, trial
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.ladder import FAIL, Rung, Step
from defender_publisher.identity import COMMAND_TIMEOUT

RUNGS = (
    Rung("config", rungs.read_configuration),
    Rung("thing name", rungs.find_thing_name, longest=COMMAND_TIMEOUT + 1),
    Rung("key and certificate", rungs.find_files),
    Rung("belong together", rungs.match_key),
    Rung("valid today", rungs.check_dates),
    Rung("issued for this thing", rungs.check_owner),
    Rung("clock", rungs.check_clock),
    Rung("endpoint", rungs.check_endpoint),
    Rung("DNS", reach.look_up, reach.CHECK_DNS),
    Rung("TCP", reach.connect_tcp),
    Rung("TLS", reach.greet_server, reach.CHECK_TLS),
    Rung("MQTT CONNECT", trial.connect_mqtt, trial.CHECK_BROKER),
    Rung("SUBACK", trial.hear_replies),
    Rung("report", trial.send_report, trial.CHECK_COMMANDS, trial.REPORT_WITHIN),
)


def examine(case: Case) -> Iterator[Step]:
    """Climb the ladder and yield each step as it is known; whatever was opened for it is closed at the end."""
    try:
        yield from ladder.climb(RUNGS, case)
    finally:
        case.close()


def is_well(steps: Sequence[Step]) -> bool:
    """Return whether no rung failed."""
    return all(step.verdict != FAIL for step in steps)


def as_object(steps: Sequence[Step]) -> dict[str, object]:
    """Return the findings as JSON has them."""
    return {"ok": is_well(steps), "rungs": [msgspec.to_builtins(step) for step in steps]}


def as_json(steps: Sequence[Step]) -> str:
    """Return the findings as the text of one JSON object."""
    return json.dumps(as_object(steps), indent=2)
