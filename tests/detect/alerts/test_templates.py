"""What chats, phones and programs of one's own are posted says the alarm in words, and calls nobody by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender_detect.alerts.ntfy import Ntfy
from defender_detect.alerts.secret import Secret
from defender_detect.alerts.templates import NAMES, TEMPLATES, words_of
from defender_detect.alerts.webhook import WebhookSink
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from defender_detect.evaluate.alarms import Group
from tests.detect.alerts.test_secret import nothing, write
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


def test_ntfy_is_posted_a_notification_with_its_token(webhook: Webhook, tmp_path: Path) -> None:
    token = Secret(file=str(write(tmp_path / "token", b"tk_s3cret")))
    topic = Secret(file=str(write(tmp_path / "topic", b"t0pic")))
    sink = Ntfy(topic=topic, url=webhook.url, token=token, priority=5).open(nothing)
    sink.send(event())
    sink.send(event("alarm-cleared", value=5))
    (_, headers, begun), (_, _, ended) = webhook.received
    assert "Bearer tk_s3cret" == headers["Authorization"]
    assert {
        "topic": "t0pic",
        "title": "rpi-1: in-alarm",
        "message": LINE,
        "priority": 5,
        "tags": ["rotating_light"],
    } == begun
    assert ("rpi-1: alarm-cleared", 3) == (ended["title"], ended["priority"])
    assert "t0pic" not in sink.name


@pytest.mark.parametrize(("topic", "token"), [(b"a b", b"x"), (b"a", "\xe9".encode())])
def test_a_secret_that_ntfy_cannot_take_is_said_at_the_start(topic: bytes, token: bytes, tmp_path: Path) -> None:
    secrets = [Secret(file=str(write(tmp_path / name, text))) for name, text in (("t", topic), ("k", token))]
    with pytest.raises(AlertSettingError, match="and what the secret has is not$"):
        Ntfy(topic=secrets[0], token=secrets[1]).open(nothing)
