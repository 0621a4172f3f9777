"""The doctor: the ladder from the configuration to an accepted report, and the daemon as a witness."""

from __future__ import annotations

from collections.abc import Iterator

from defender_daemon import ladder
from defender_daemon.identity import COMMAND_TIMEOUT
from defender_daemon.ladder import Rung, Step
from defender_publisher.doctor import claim, daemon, local, mqtt, network, nucleus
from defender_publisher.doctor.case import Case

RUNGS = (
    Rung("config", local.read_configuration),
    Rung("thing name", local.find_thing_name, longest=COMMAND_TIMEOUT + 1),
    Rung("Greengrass nucleus", nucleus.look_for_nucleus),
    Rung("key and certificate", local.find_files),
    Rung("belong together", local.match_key),
    Rung("valid today", local.check_dates),
    Rung("issued for this thing", local.check_owner),
    Rung("clock", local.check_clock),
    Rung("state directory", local.check_state_directory),
    Rung("endpoint", local.check_endpoint),
    Rung("DNS", network.look_up, network.CHECK_DNS),
    Rung("TCP", network.connect_tcp),
    Rung("TLS", network.greet_server, network.CHECK_TLS),
    Rung("MQTT CONNECT", mqtt.connect_mqtt, mqtt.CHECK_BROKER, witnessed=True),
    Rung("SUBACK", mqtt.hear_replies, witnessed=True),
    Rung("report", mqtt.send_report, mqtt.CHECK_COMMANDS, mqtt.REPORT_WITHIN, witnessed=True),
)


CLAIM = Rung("claim", claim.check_claim, longest=claim.CONNECT_WITHIN)  # comes before the files that it brings


def examine(case: Case) -> Iterator[Step]:
    """Climb the ladder and yield each step as it is known; whatever was opened for it is closed at the end."""
    try:
        yield from ladder.climb(_rungs_for(case), case, overruling=daemon.proof_that_reports_arrive)
    finally:
        case.close()


def _rungs_for(case: Case) -> Iterator[Rung]:
    """Yield the rungs, and the claim's where there is one, which is known once the configuration has been read."""
    for rung in RUNGS:
        if rung.attempt is local.find_files and claim.has_claim(case):
            yield CLAIM
        yield rung
