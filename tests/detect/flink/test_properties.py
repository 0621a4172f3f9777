"""The job's properties, as Managed Service for Apache Flink hands them over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender_detect.errors import ConfigError
from defender_detect.flink.properties import Files, Kafka, Kinesis, Sns, Table, parse_properties, read_properties

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/reports"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
LEAST: dict[str, dict[str, str]] = {
    "detect": {"rules": "rules.json"},
    "source.files": {"path": "records"},
    "alarms.files": {"path": "alarms"},
}


def groups(**changed: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return the least that a job needs, with other groups; None leaves one out."""
    named = {**LEAST, **{name.replace("__", "."): each for name, each in changed.items()}}
    return [{"PropertyGroupId": name, "PropertyMap": each} for name, each in named.items() if each is not None]


def test_the_least_that_a_job_needs_has_defaults_for_the_rest() -> None:
    found = parse_properties(groups())
    assert ("rules.json", "300", "on", "10", "thread") == (
        found.job.rules,
        found.job.minimum_interval,
        found.job.percentiles,
        found.job.checkpoint_seconds,
        found.job.execution_mode,
    )
    assert (Files(path="records"), (Files(path="alarms"),), ()) == (found.source, found.alarms, found.refused)


def test_managed_flinks_own_groups_are_its_affair(tmp_path: Path) -> None:
    path = tmp_path / "application_properties.json"
    path.write_text(json.dumps(groups(kinesis__analytics__flink__run__options={"python": "main.py"})))
    assert Files(path="records") == read_properties(path).source


def test_every_kind_of_source_and_of_place_for_alarms_is_taken() -> None:
    kinesis = {"stream_arn": STREAM, "region": "eu-west-1"}
    kafka = {"bootstrap_servers": "broker:9092", "topic": "alarms", "kafka.security.protocol": "SSL"}
    found = parse_properties(
        groups(
            source__files=None,
            source__kinesis={**kinesis, "initial_position": "TRIM_HORIZON"},
            alarms__sns={"topic_arn": TOPIC},
            alarms__dynamodb={"table": "alarms", "region": "eu-west-1"},
            alarms__kinesis=kinesis,
            alarms__kafka=kafka,
            refused__kafka=kafka,
        )
    )
    assert [Files, Sns, Table, Kinesis, Kafka] == list(map(type, found.alarms))
    (refused,) = found.refused
    assert isinstance(refused, Kafka)
    assert {"security.protocol": "SSL"} == refused.client


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"detect": None}, "the group detect is missing"),
        ({"detect": {}}, "detect: rules is missing; it must be a string"),
        ({"detect": {"rules": "r", "percentile": "on"}}, 'percentile is not a known key; did you mean "percentiles"?'),
        ({"detect": {"rules": "r", "minimum_interval": "soon"}}, "minimum_interval must be a number of seconds"),
        ({"detect": {"rules": "r", "checkpoint_seconds": "nan"}}, "checkpoint_seconds must be a number of seconds"),
        ({"source__files": None}, "there must be one of source.files, source.kinesis, source.kafka, got none of them"),
        ({"alarms__files": None}, "alarms go nowhere; there must be at least one of alarms.files"),
        ({"alarm__sns": {"topic_arn": TOPIC}}, 'alarm.sns is no group of properties; did you mean "alarms.sns"?'),
        ({"alarms__sns": {"topic_arn": "alarms"}}, "alarms.sns: topic_arn must be the ARN of an SNS topic"),
        ({"source__kinesis": {"stream_arn": STREAM, "region": "eu-west-1"}}, "got source.files and source.kinesis"),
        ({"refused__kinesis": {"stream_arn": STREAM, "region": "Ireland"}}, "region must be a region of AWS"),
        ({"refused__kinesis": {"stream_arn": STREAM, "region": "eu-west-1\n"}}, "region must be a region of AWS"),
        ({"refused__kinesis": {"stream_arn": f"{STREAM}\n", "region": "eu-west-1"}}, "the ARN of a Kinesis stream"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(changed: dict[str, dict[str, str] | None], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_properties(groups(**changed))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("document", [{}, ["detect"], [{"PropertyGroupId": "detect", "PropertyMap": {"rules": 1}}]])
def test_what_is_no_list_of_groups_is_refused(document: Any) -> None:
    with pytest.raises(ConfigError, match="must be .*PropertyGroupId"):
        parse_properties(document)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent.json: cannot be read: No such file or directory"):
        read_properties(tmp_path / "absent.json")
