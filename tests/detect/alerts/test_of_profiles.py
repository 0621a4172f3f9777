"""What a profile asks for by itself is said and done: its SNS topic, and the export of metrics in AWS's schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.alerts import export
from defender_detect.alerts.export import MetricsExporter, payloads_of
from defender_detect.alerts.followers import Reported
from defender_detect.alerts.of_profiles import describe_outside, make_exporters, make_profile_sinks
from defender_detect.alerts.queue import Alerts
from defender_detect.audience import alert_topics
from defender_detect.config import Config
from defender_detect.errors import AlertError
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.profiles import Profile, parse_profile
from defender_detect.questions import check
from defender_detect.service import Service
from device_defender import profile as aws
from device_defender.report import LARGEST_PAYLOAD
from device_defender.validation import find_problems
from tests.detect.alerts.test_sns import ARN, FakeSns
from tests.detect.store.test_store import event
from tests.detect.test_service import with_ports
from tests.waiting import PATIENCE, wait_until

ROLE = "arn:aws:iam::123456789012:role/detect"
TOPIC = "dd/metrics"
METRIC = "aws:num-listening-tcp-ports"


def profile(name: str = "p", arn: str | None = None, topic: str | None = None, **more: Any) -> Profile:
    document: dict[str, Any] = {"securityProfileName": name, **more}
    if arn is not None:
        document["alertTargets"] = {"SNS": {"alertTargetArn": arn, "roleArn": ROLE}}
    if topic is not None:
        document["metricsExportConfig"] = {"mqttTopic": topic, "roleArn": ROLE}
    assert [] == find_problems(document, aws.Profile, aws.AWS_RULES)
    return parse_profile(document)


def rules(*profiles: Profile) -> Rules:
    return Rules([Attachment(each) for each in profiles])


EXPORTED = {"additionalMetricsToRetainV2": [{"metric": METRIC, "exportMetric": True}, {"metric": "load"}]}


def test_what_comes_of_a_profiles_own_targets_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("defender_detect.alerts.sns.make_client", lambda region: FakeSns())
        told = list(describe_outside(rules(profile("a", ARN), profile("b", topic=TOPIC, **EXPORTED), profile("c"))))
    assert [
        f"security profile a: its alarms go to the SNS topic {ARN}, too (alertTargets), with the credentials of this "
        "machine and not by roleArn",
        f"security profile b: {METRIC} is exported to the MQTT topic {TOPIC} (metricsExportConfig), at the broker "
        "that the reports come from and not by roleArn",
    ] == told
    wrong = rules(profile("a", f"{ARN}.fifo"), profile("b", topic="a/#", **EXPORTED))
    fifo, topic = describe_outside(wrong)
    assert "do not go to the SNS topic" in fifo
    assert "must be the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME" in fifo
    assert "nothing is exported: 'a/#' (metricsExportConfig) is no topic to publish on" in topic
    assert [] == make_profile_sinks([each.profile for each in wrong.attachments])
    assert [] == make_exporters([each.profile for each in wrong.attachments], lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "boto3", None)
    (missing,) = describe_outside(rules(profile("a", ARN)))
    assert "pip install boto3" in missing


def test_the_check_of_a_configuration_says_it(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    config = {"mqttTopic": TOPIC, "roleArn": ROLE}
    path.write_text(json.dumps({"securityProfileName": "p", "metricsExportConfig": config, **EXPORTED}))
    from defender_detect.config import Detect

    lines = list(check(Config(detect=Detect(profiles=[str(path)])), whole=False))
    assert f"security profile p: {METRIC} is exported to the MQTT topic {TOPIC}" in lines[1]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (profile(topic=TOPIC), "nothing is exported, although there is metricsExportConfig: no metric that reports"),
        (profile(**EXPORTED), "nothing is exported: exportMetric needs metricsExportConfig, which says where to"),
    ],
)
def test_half_of_an_export_is_said(document: Profile, sentence: str) -> None:
    (found,) = document.left_to_aws
    assert found.startswith(sentence)


def test_a_profiles_alarms_go_to_its_own_sns_topic_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeSns()
    monkeypatch.setattr("defender_detect.alerts.sns.make_client", lambda region: client)
    sinks = make_profile_sinks([profile("cpu-usage", ARN), profile("b", ARN), profile("c", f"{ARN}2")])
    assert [{"cpu-usage", "b"}, {"c"}] == [names for _, names in sinks]
    alerts = Alerts(to_log=False, of_profiles=sinks)
    alerts.tell(event())
    alerts.tell(event(profile="other"))
    alerts.close(PATIENCE)
    ((arn, message),) = [(each["TopicArn"], json.loads(each["Message"])) for each in client.published]
    assert (ARN, "cpu-usage") == (arn, message["securityProfileName"])


def test_what_is_exported_is_for_nobody_at_the_built_in_broker_that_is_not_named() -> None:
    exporting = rules(profile(topic=TOPIC, **EXPORTED))
    assert {TOPIC: frozenset()} == alert_topics(Config(), exporting)


class Broker:
    """What was published on a topic."""

    def __init__(self) -> None:
        self.failures = 0
        self.messages: list[dict[str, Any]] = []

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise AlertError("there is no connection")
        assert (TOPIC, False) == (topic, retain)
        assert len(payload) <= LARGEST_PAYLOAD
        self.messages.append(json.loads(payload))

    def values(self) -> list[Any]:
        return [each for message in list(self.messages) for each in message["metrics"]]


@pytest.fixture
def broker() -> Broker:
    return Broker()


Export = Callable[..., MetricsExporter]


@pytest.fixture
def exporter(broker: Broker) -> Iterator[Export]:
    made: list[MetricsExporter] = []

    def exporter(interval: float = 0.01) -> MetricsExporter:
        made.append(MetricsExporter(TOPIC, {"p": ["cpu", "names"]}, broker.publish, interval))
        made[-1].begin(())
        return made[-1]

    yield exporter
    for each in made:
        each.close(PATIENCE)


def reported(thing: str = "rpi-1", profiles: tuple[str, ...] = ("p",), **values: Any) -> Reported:
    return Reported(thing, 1.8e9, frozenset(profiles), values, ())


def test_what_was_not_published_is_later_and_in_order(broker: Broker, exporter: Export) -> None:
    broker.failures = 2
    export = exporter()
    for number in range(20):
        export.report(reported(cpu=number))
    assert wait_until(lambda: len(broker.values()) == 20)
    assert list(range(20)) == [each["value"]["number"] for each in broker.values()]


def test_no_message_is_larger_than_one_may_be_and_odd_text_is_escaped() -> None:
    values = [export.Exported("t", 1.0, "names", ("x" * 60_000, "\ud800")) for _ in range(5)]
    found = list(payloads_of(values))
    assert 5 == sum(len(json.loads(each)["metrics"]) for each in found)
    assert max(map(len, found)) <= LARGEST_PAYLOAD


def test_the_service_exports_what_things_report(broker: Broker) -> None:
    exporting = profile(topic=TOPIC, **EXPORTED)
    exporter = MetricsExporter(TOPIC, {"p": exporting.exported}, broker.publish, 0.01)
    service = Service(rules(exporting), None, Alerts(to_log=False, followers=[exporter]))
    service.restore(lambda *_: None)
    service.accept(with_ports("rpi-1", 3), 1.8e9)
    assert wait_until(lambda: broker.values())
    assert ("rpi-1", METRIC, {"count": 3}) == tuple(broker.values()[0][key] for key in ("thing", "name", "value"))
    service.close(1.8e9)
