"""The graph: which lines go where, under which names their state is kept, and what is read one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from defender_detect.flink import lines
from defender_detect.flink.properties import Files, Job, Place, Properties, Sns, Table
from defender_detect.flink.records import Refused
from defender_detect.flink.rules import start_with
from demo.flink.reports import make_document, make_profile
from tests.fakes.pyflink import Call, Stream, imported

ALL = [
    f"{lines.ALARM}loud", f"{lines.QUIET}quiet", f"{lines.RULES}rules", f"{lines.THRESHOLD}[]",
    lines.of_refused(Refused("BadTime", "why")), lines.of_refused(Refused("Late", "why")),
]  # fmt: skip
FILES, TOPIC = Files(path="/alarms"), Sns(topic_arn="arn:aws:sns:eu-west-1:123456789012:alarms")
TABLE = Table(table="alarms", region="eu-west-1")


@pytest.fixture
def made() -> Iterator[tuple[ModuleType, list[Call]]]:
    """The module, and what it asked PyFlink for."""
    with imported("graph") as found:
        yield found


def uids_of(made: tuple[ModuleType, list[Call]], alarms: tuple[Place, ...] = (FILES,), **job: Any) -> list[str]:
    """The names that a job's states are kept under."""
    graph, log = made
    properties = Properties(Job(rules="r", **job), Files(path="/in"), alarms, (Files(path="/refused"),))
    log.clear()
    graph.build(properties, start_with(make_document(make_profile()), 0.0))
    return [str(given[0]) for name, given in log if name == "uid"]


def test_an_alarm_that_nobody_is_to_be_notified_of_is_kept_and_not_told(made: tuple[ModuleType, list[Call]]) -> None:
    ends: dict[str, list[str]] = {}
    made[0].deliver_alarms(Stream(ALL, ends), (FILES, TOPIC, TABLE))
    assert ends == {
        "alarms": ["loud", "quiet"], "alarms to files": ["loud", "quiet"], "alarms to sns": ["loud"],
        "alarms to table": ["loud", "quiet"],
    }  # fmt: skip


def test_what_was_refused_is_counted_by_its_code(made: tuple[ModuleType, list[Call]]) -> None:
    ends: dict[str, list[str]] = {}
    made[0].keep_refused(Stream(ALL, ends), (Files(path="/refused"),))
    assert ends == {"keys": ["BadTime", "Late"], "count refused": ALL[-2:], "refused to files": ALL[-2:]}


def test_refused_records_are_counted_also_where_they_are_not_kept(made: tuple[ModuleType, list[Call]]) -> None:
    ends: dict[str, list[str]] = {}
    made[0].keep_refused(Stream(ALL, ends), ())
    assert {"keys", "count refused"} == set(ends)


def test_every_operator_with_a_state_has_a_name_of_its_own(made: tuple[ModuleType, list[Call]]) -> None:
    uids = uids_of(made, (FILES, TOPIC, TABLE), updates="/updates")
    assert len(set(uids)) == len(uids)
    assert {"reports", "first rules", "updates", "check rules", "find datapoints", "condense", "find thresholds"} <= {
        *uids
    }
    assert {"evaluate", "alarms", "count refused", "alarms to sns", "alarms to files", "refused to files"} <= {*uids}


def test_percentiles_and_updates_are_left_out_where_they_are_not_wanted(made: tuple[ModuleType, list[Call]]) -> None:
    uids = uids_of(made, percentiles="off")
    assert {"find datapoints", "condense", "find thresholds", "updates"}.isdisjoint(uids)
    assert {"check rules", "evaluate"} <= {*uids}


@pytest.mark.parametrize(("seconds", "milliseconds"), [("10", [10_000]), ("0.5", [500]), ("0", [])])
def test_checkpoints_are_as_often_as_said_or_left_to_the_cluster(
    made: tuple[ModuleType, list[Call]], seconds: str, milliseconds: list[int]
) -> None:
    graph, log = made
    graph.open_environment(Job(rules="r", checkpoint_seconds=seconds, execution_mode="process"))
    assert milliseconds == [given[0] for name, given in log if name == "enable_checkpointing"]
    assert ("set_string", ("python.execution-mode", "process")) in log


def test_what_keeps_the_order_is_one_of_each_and_the_rest_as_many_as_before(
    made: tuple[ModuleType, list[Call]],
) -> None:
    class Environment:
        parallelism = 7

        def get_parallelism(self) -> int:
            return self.parallelism

        def set_parallelism(self, number: int) -> None:
            self.parallelism = number

    environment = Environment()
    with made[0].one_after_the_other(environment):
        assert 1 == environment.parallelism
    assert 7 == environment.parallelism


def test_a_part_of_the_stream_that_is_silent_holds_up_nobodys_time(made: tuple[ModuleType, list[Call]]) -> None:
    uids_of(made)
    assert ("of_seconds", (60,)) in made[1]
    assert any(name == "with_idleness" for name, _ in made[1])
