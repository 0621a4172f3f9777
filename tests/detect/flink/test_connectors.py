"""Flink's connectors are asked for what the properties say, and a jar that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from defender_detect.errors import ConfigError
from defender_detect.flink.properties import Files, Kafka, Kinesis
from tests.fakes.pyflink import Call, imported

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/reports"
KINESIS = Kinesis(stream_arn=STREAM, region="eu-west-1", initial_position="TRIM_HORIZON")
KAFKA = Kafka(bootstrap_servers="b:9092", topic="reports", group_id="g", client={"security.protocol": "SSL"})


@pytest.fixture
def made() -> Iterator[tuple[ModuleType, list[Call]]]:
    """The module, and what it asked PyFlink for."""
    with imported("connectors") as found:
        yield found


def without_jar(made: tuple[ModuleType, list[Call]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module where Java finds no class."""

    def gateway() -> None:
        raise RuntimeError("java.lang.ClassNotFoundException")

    monkeypatch.setattr(made[0], "get_gateway", gateway)
    return made[0]


@pytest.mark.parametrize(("place", "jar"), [(KINESIS, "kinesis-streams"), (KAFKA, "kafka")], ids=["kinesis", "kafka"])
def test_a_jar_that_is_missing_is_named_with_where_to_put_it(
    made: tuple[ModuleType, list[Call]], monkeypatch: pytest.MonkeyPatch, place: Any, jar: str
) -> None:
    connectors = without_jar(made, monkeypatch)
    for make in (connectors.make_source, connectors.make_sink):
        with pytest.raises(ConfigError, match=f"^{type(place).__name__} needs flink-sql-connector-.*{jar}-VERSION.jar"):
            make(place)


def test_files_need_no_jar(made: tuple[ModuleType, list[Call]], monkeypatch: pytest.MonkeyPatch) -> None:
    connectors = without_jar(made, monkeypatch)
    connectors.make_sink(Files(path="/out"))
    assert "/in" == connectors.make_source(Files(path="/in")).settings["for_record_stream_format"][1]


@pytest.mark.parametrize(("seconds", "milliseconds"), [("0", None), ("0.2", 200), ("10", 10_000)])
def test_files_are_read_once_or_looked_for_every_so_often(
    made: tuple[ModuleType, list[Call]], seconds: str, milliseconds: int | None
) -> None:
    source = made[0].make_source(Files(path="/in", watch_seconds=seconds))
    watched = source.settings.get("monitor_continuously")
    assert (milliseconds is not None) == (watched is not None)
    assert [call[1] for call in made[1] if call[0] == "of_millis"] == ([(milliseconds,)] if milliseconds else [])


def test_files_that_are_written_begin_with_each_checkpoint(made: tuple[ModuleType, list[Call]]) -> None:
    sink = made[0].make_sink(Files(path="/out"))
    assert "/out" == sink.settings["for_row_format"][0]
    (policy,) = sink.settings["with_rolling_policy"]
    assert "on_checkpoint_rolling_policy" in policy.settings


def test_a_topic_is_read_from_where_its_group_was(made: tuple[ModuleType, list[Call]]) -> None:
    settings = made[0].make_source(KAFKA).settings
    assert [("b:9092",), ("reports",), ("g",), ("security.protocol", "SSL")] == [
        settings[each] for each in ("set_bootstrap_servers", "set_topics", "set_group_id", "set_property")
    ]
    (start,) = settings["set_starting_offsets"]
    assert "committed_offsets" in start.settings


def test_a_topic_is_written_at_least_once_or_exactly_once_within_what_brokers_allow(
    made: tuple[ModuleType, list[Call]],
) -> None:
    connectors, log = made
    plain = connectors.make_sink(KAFKA).settings
    assert "set_transactional_id_prefix" not in plain
    exact = Kafka(bootstrap_servers="b", topic="t", group_id="g", guarantee="exactly-once")
    settings = connectors.make_sink(exact).settings
    assert [("g",), ("transaction.timeout.ms", "900000")] == [
        settings["set_transactional_id_prefix"], settings["set_property"],
    ]  # fmt: skip
    assert ("set_topic", ("t",)) in log


def test_what_is_for_kafkas_client_wins(made: tuple[ModuleType, list[Call]]) -> None:
    place = Kafka(
        bootstrap_servers="b", topic="t", guarantee="exactly-once", client={"transaction.timeout.ms": "60000"}
    )
    assert ("transaction.timeout.ms", "60000") == made[0].make_sink(place).settings["set_property"]  # the last one


def test_a_stream_of_kinesis_is_read_by_its_arn_and_written_by_its_name(made: tuple[ModuleType, list[Call]]) -> None:
    connectors, log = made
    connectors.make_source(KINESIS)
    assert ("setStreamArn", (STREAM,)) in log
    assert [("aws.region", "eu-west-1"), ("source.init.position", "TRIM_HORIZON")] == [
        given for name, given in log if name == "set_string"
    ]
    settings = connectors.make_sink(KINESIS).settings
    assert ({"aws.region": "eu-west-1"},) == settings["set_kinesis_client_properties"]
    assert (("reports",), (False,)) == (settings["set_stream_name"], settings["set_fail_on_error"])
