"""What a profile asks for by itself is said and done: its SNS topic, and the export of metrics in AWS's schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from defender_detect.alerts.of_profiles import describe_outside, make_exporters, make_profile_sinks
from defender_detect.alerts.queue import Alerts
from defender_detect.checking import check
from defender_detect.config import Config
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.profiles import Profile, parse_profile
from device_defender import profile as aws
from device_defender.validation import find_problems
from tests.detect.alerts.test_sns import ARN, FakeSns
from tests.detect.store.test_store import event
from tests.waiting import PATIENCE

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
