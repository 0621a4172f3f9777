"""Verdicts that do not come, or are not what they should be: reports go on, and every byte is accounted for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.chaos.scene import Scene
from tests.chaos.service import ACCEPT, SILENT, Messages, Verdict, rejected
from tests.chaos.table import Fault
from tests.fakes.scripted_broker import accept

NewScene = Callable[..., Scene]
GIVEN_UP_AFTER = 15.0  # seconds that the daemon waits for a verdict
LOOK = 2.5  # seconds: as in test_network
UNANSWERED = "neither accepted nor rejected within 15 s.*check that something answers"
DELIVERED = r"report (\d+) counts as delivered.*check that something answers"


def of_another(topic: str, payload: bytes) -> Messages:
    """Accept another report than the one that came."""
    ((reply_topic, reply),) = accept(topic, payload)
    content = json.loads(reply)
    return [(reply_topic, json.dumps({**content, "reportId": content["reportId"] + 1_000}).encode())]


def garbled(topic: str, payload: bytes) -> Messages:
    """Answer with what is no JSON."""
    return [(f"{topic}/accepted", b'\xff\x00{"reportId"')]


def begin(new_scene: NewScene, *verdicts: Verdict, interval: int = 2) -> Scene:
    """Return a scene whose next reports get these verdicts, and all after them are accepted."""
    scene = new_scene(interval=interval)
    scene.service.verdicts.extend(verdicts)
    scene.drip()
    return scene


def check_cured(scene: Scene, fault: Fault, since: float, twice: int = 0, intervals: int = 1) -> None:
    """See that the next report is accepted within an interval, and that the kernel counted what reports say."""
    fault.resumed(scene.resumed_within(intervals * scene.interval + LOOK, since))
    scene.settle()
    fault.accounted(scene.assert_accounted(twice))


def check_unanswered(scene: Scene, fault: Fault) -> None:
    """See that a report goes unanswered once, and that the next one counts its stretch again and says so."""
    line = scene.wait_for_line(f"ERROR : {UNANSWERED}", scene.interval + GIVEN_UP_AFTER + LOOK)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment, twice=1)
    assert [] == scene.find("as delivered")


@pytest.mark.slow
@pytest.mark.fault("verdict silent once")
def test_a_report_that_nobody_answers_is_counted_again(new_scene: NewScene, fault: Fault) -> None:
    check_unanswered(begin(new_scene, SILENT), fault)


@pytest.mark.slow
@pytest.mark.fault("verdict silent twice in a row")
def test_the_second_report_in_a_row_that_nobody_answers_counts_as_delivered(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, SILENT, SILENT)
    fault.logged(scene.wait_for_line(UNANSWERED, scene.interval + GIVEN_UP_AFTER + LOOK).text)
    line = scene.wait_for_line(f"WARNING : {DELIVERED}", scene.interval + GIVEN_UP_AFTER + LOOK)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment, twice=1)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.fault("verdict silent for ever (4 reports)")
def test_growth_does_not_pile_up_where_nobody_ever_answers(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, *[SILENT] * 4)
    line = scene.wait_for_line(DELIVERED, 2 * (scene.interval + GIVEN_UP_AFTER + LOOK))
    fault.logged(line.text)
    for _ in range(2):
        line = scene.wait_for_line(r"report \d+ sent \(", scene.interval + GIVEN_UP_AFTER + LOOK, line.moment + 0.1)
    check_cured(scene, fault, line.moment, twice=1)
    assert 1 == len(scene.find(DELIVERED)), "the warning is logged once"


@pytest.mark.fault("verdict rejected")
def test_a_rejected_report_is_counted_by_the_next_one(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, rejected("InternalError", "try again"), interval=1)
    line = scene.wait_for_line(r"ERROR : report \d+ rejected: InternalError: try again", 5)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment)


@pytest.mark.slow
@pytest.mark.fault("verdict InvalidPayload once")
def test_a_report_that_is_called_malformed_once_is_counted_by_the_next_one(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, rejected("InvalidPayload"))
    line = scene.wait_for_line(r"ERROR : report \d+ rejected: InvalidPayload: Malformed metrics report \(send", 10)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment)
    assert [] == scene.find("given up")


@pytest.mark.slow
@pytest.mark.fault("verdict InvalidPayload twice in a row")
def test_the_second_malformed_report_in_a_row_is_logged_whole_and_given_up(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, rejected("InvalidPayload"), rejected("InvalidPayload"))
    line = scene.wait_for_line(r"ERROR : what this report holds is given up.*malformed twice: \{", 10)
    fault.logged(line.text)
    report = json.loads(line.text[line.text.index("{") :])
    refused = [each for each in scene.service.reports if not each.taken]
    assert [each.report_id for each in refused][-1] == report["header"]["report_id"]
    assert refused[-1].growth._asdict() == report["metrics"]["network_stats"]
    check_cured(scene, fault, line.moment)


@pytest.mark.slow
@pytest.mark.fault("verdict Throttled")
def test_a_throttled_report_is_counted_by_the_next_one_two_turns_later(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, rejected("Throttled"))
    line = scene.wait_for_line(r"ERROR : report \d+ rejected: Throttled: .*look for a second publisher", 10)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment, intervals=2)


@pytest.mark.slow
@pytest.mark.fault("verdict for another report, then silence")
def test_a_verdict_for_another_report_is_none_for_this(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, Verdict(True, of_another))
    fault.logged(scene.wait_for_line(r"ignoring a reply to report \d+ while waiting for report \d+", 10).text)
    check_unanswered(scene, fault)


@pytest.mark.slow
@pytest.mark.fault("verdict for another report, then the own")
def test_a_verdict_for_another_report_does_not_hide_the_own(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, Verdict(True, lambda *report: of_another(*report) + accept(*report)))
    line = scene.wait_for_line("ignoring a reply to report", 10)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment)


@pytest.mark.slow
@pytest.mark.fault("verdict garbled, then silence")
def test_a_garbled_verdict_is_none(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, Verdict(True, garbled))
    fault.logged(scene.wait_for_line("WARNING : ignoring a reply on .*/accepted that cannot be read", 10).text)
    check_unanswered(scene, fault)


@pytest.mark.slow
@pytest.mark.fault("verdict 6 s late")
def test_a_verdict_that_comes_late_in_time_settles_the_report(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, ACCEPT._replace(late=6))
    line = scene.wait_for_line(r"report \d+ accepted after 6\.\d+ s", 12)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment)
    assert [] == scene.find("WARNING|ERROR")


@pytest.mark.slow
@pytest.mark.fault("verdict 16 s late, before the next report")
def test_a_verdict_that_comes_before_the_next_report_settles_the_last(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, ACCEPT._replace(late=16), interval=18)
    fault.logged(scene.wait_for_line(UNANSWERED, 18 * 1.2 + GIVEN_UP_AFTER + LOOK).text)
    line = scene.wait_for_line(r"report \d+ was accepted after all", 18 - GIVEN_UP_AFTER + LOOK)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment)


@pytest.mark.slow
@pytest.mark.fault("verdict 18 s late, after the next report")
def test_a_verdict_that_comes_after_the_next_report_is_said_to_be_counted_twice(
    new_scene: NewScene, fault: Fault
) -> None:
    scene = begin(new_scene, ACCEPT._replace(late=18), ACCEPT._replace(late=6))
    fault.logged(scene.wait_for_line(UNANSWERED, scene.interval + GIVEN_UP_AFTER + LOOK).text)
    line = scene.wait_for_line(r"report (\d+) was accepted, but that came too late: a later report counts", 10)
    fault.logged(line.text)
    check_cured(scene, fault, line.moment + 4, twice=1)
    lost = int(re.findall(r"report (\d+)", line.text)[0])
    assert lost in [each.report_id for each in scene.accepted]


@pytest.mark.slow
@pytest.mark.fault("verdict late for a delivered report")
def test_a_late_verdict_on_a_report_that_counts_as_delivered_claims_nothing(new_scene: NewScene, fault: Fault) -> None:
    scene = begin(new_scene, SILENT, ACCEPT._replace(late=18), ACCEPT._replace(late=6))
    scene.wait_for_line(DELIVERED, 2 * (scene.interval + GIVEN_UP_AFTER + LOOK))
    line = scene.wait_for_line(r"report \d+ accepted after 6", 12)
    check_cured(scene, fault, line.moment, twice=1)


@pytest.mark.slow
@pytest.mark.fault("verdicts contradict: rejected, then accepted")
def test_a_report_that_is_accepted_after_it_was_rejected_counts(new_scene: NewScene, fault: Fault) -> None:
    refuse = rejected("InternalError").answer
    scene = begin(new_scene, Verdict(True, lambda *report: refuse(*report) + accept(*report)))
    fault.logged(scene.wait_for_line("rejected: InternalError", 10).text)
    line = scene.wait_for_line(r"report \d+ was accepted after all", 10)
    check_cured(scene, fault, line.moment)
