"""What chats, phones and programs of one's own are posted says the alarm in words, and calls nobody by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from defender_detect.alerts.templates import NAMES, TEMPLATES, words_of
from defender_detect.alerts.webhook import WebhookSink
from defender_detect.errors import AlertError, AlertRefused
from defender_detect.evaluate.alarms import Group
from tests.detect.alerts.test_webhook import Webhook
from tests.detect.alerts.test_webhook import webhook as webhook
from tests.detect.store.test_store import event

LINE = "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)"
HOSTILE = event(thing="<!channel> @everyone [x](http://y) *b*")


def posted(webhook: Webhook, template: Any, told: Any = None) -> Any:
    WebhookSink(webhook.url, template=template).send(event() if told is None else told)
    return webhook.received[-1][2]


def test_slack_is_posted_a_text_in_which_nothing_is_a_command(webhook: Webhook) -> None:
    assert {"text": LINE} == posted(webhook, "slack")
    assert posted(webhook, "slack", HOSTILE)["text"].startswith("&lt;!channel&gt; @everyone")


def test_discord_is_posted_a_text_that_mentions_nobody(webhook: Webhook) -> None:
    body = posted(webhook, "discord", HOSTILE)
    assert {"parse": []} == body["allowed_mentions"]
    assert r"\<" not in body["content"]
    assert r"\[x\]\(http://y\) \*b\*" in body["content"]
    long = event(thing="*" * 5000, value=("x" * 5000,), kind="strings")
    assert len(posted(webhook, "discord", long)["content"]) <= 2000


def test_teams_is_posted_a_card(webhook: Webhook) -> None:
    (attachment,) = posted(webhook, "teams")["attachments"]
    assert "application/vnd.microsoft.card.adaptive" == attachment["contentType"]
    assert LINE.replace("(", r"\(").replace(")", r"\)").replace("_", r"\_") == attachment["content"]["body"][0]["text"]


def test_a_template_of_ones_own_has_an_alerts_words_in_its_texts(webhook: Webhook) -> None:
    template = {"a": ["{thing} {event} {count}", 7, None], "b": {"{thing}": "{message}"}, "c": "{metric} {{x} {"}
    told = event(thing="{count}", group=Group(12, ("a", "b"), ()))
    assert {
        "a": ["{count} in-alarm 12", 7, None],
        "b": {"{thing}": f"a and b: in-alarm: {LINE[17:-19]} (the first of 12; cpu of cpu-usage)"},
        "c": "cpu_usage {{x} {",
    } == posted(webhook, template, told)


def test_every_name_of_a_template_has_words() -> None:
    assert set(NAMES) == set(words_of(event()))
    assert "99.5" in words_of(event())["sentence"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_json_that_says_the_alarm(name: str) -> None:
    assert "99.5" in json.dumps(TEMPLATES[name](event()))


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_a_sentence_and_cost_no_alert(webhook: Webhook, status: int) -> None:
    webhook.answers = [status]
    with pytest.raises(AlertError, match=f"the answer was {status}: the credentials are wrong, or may not") as caught:
        posted(webhook, "slack")
    assert not isinstance(caught.value, AlertRefused)
