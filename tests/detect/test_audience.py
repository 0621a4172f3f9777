"""Whom a configuration lets hear of alarms: on which topics, and which of its targets cannot be made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.alerts.home_assistant import HomeAssistant
from defender_detect.alerts.log import Log
from defender_detect.alerts.secret import Secret
from defender_detect.alerts.topic import Topic
from defender_detect.alerts.webhook import Webhook
from defender_detect.audience import alert_topics, check_targets, make_alerts, make_followers
from defender_detect.config import Agent, Config, Detect
from defender_detect.errors import AlertSettingError
from tests.detect.alerts.test_of_profiles import EXPORTED, TOPIC, profile, rules
from tests.detect.alerts.test_secret import nothing


def test_who_hears_an_alert_at_the_embedded_broker_is_in_the_configuration() -> None:
    alerts = [
        Topic(topic="alerts/a", readers=["dashboard"]),
        Topic(topic="alerts/b"),
        Topic(topic="alerts/a", readers=["phone"]),
        Log(),
    ]
    expected = {"alerts/a": {"dashboard", "phone"}, "alerts/b": set()}
    assert expected == alert_topics(Config(detect=Detect(alerts=alerts)))


def test_what_is_exported_is_for_nobody_at_the_built_in_broker_that_is_not_named() -> None:
    exporting = rules(profile(topic=TOPIC, **EXPORTED))
    assert {TOPIC: frozenset()} == alert_topics(Config(), exporting)


def test_a_credential_that_only_the_service_has_is_no_fault_of_a_configuration_that_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    targets = [Webhook(url=Secret(credential="url")), Webhook(url="http://localhost/")]
    (sentence,) = check_targets(Config(detect=Detect(alerts=targets)), nothing)
    assert sentence.startswith(
        "not checked: detect.alerts[0]: the credential url cannot be read: $CREDENTIALS_DIRECTORY"
    )
    wrong = Webhook(url=Secret(file=str(tmp_path / "nowhere")))
    with pytest.raises(AlertSettingError, match=r"^detect.alerts\[1\]: the secret .* cannot be read: No such file"):
        list(check_targets(Config(detect=Detect(alerts=[*targets[1:], wrong])), nothing))


def test_the_built_in_broker_which_retains_nothing_is_refused_with_what_to_do() -> None:
    config = Config(agent=Agent(embedded_broker=True), detect=Detect(alerts=[HomeAssistant()]))
    with pytest.raises(
        AlertSettingError, match=r"^detect.alerts\[0\]: it needs a broker that keeps retained .* mosquitto"
    ):
        make_followers(config, nothing)


def test_the_alerts_are_those_of_the_configuration_and_of_the_profiles(tmp_path: Path) -> None:
    targets = [Log(), Webhook(url="http://localhost/x"), Topic(topic="a/b")]
    config = Config(agent=Agent(state_directory=str(tmp_path)), detect=Detect(alerts=targets))
    alerts = make_alerts(config, nothing, rules(profile(topic=TOPIC, **EXPORTED)))
    assert ["the webhook at http://localhost", "alerts to the topic a/b"] == [queue.name for queue in alerts.queues]
    assert alerts.hears_reports  # for the export
    alerts.close()
