"""Templates: the bodies that Slack, Discord and Teams take, and those of one's own with an alert's words in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from defender_daemon.text import printable
from defender_detect.evaluate.sentences import line_of, sentence_of
from defender_detect.evaluate.shapes import alert_body
from device_defender.wording import did_you_mean

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

LONGEST_OF_DISCORD = 2_000  # characters of a message
PLACE = re.compile(r"\{([A-Za-z_]+)\}")
MARKUP = re.compile(r"([\\`*_~|>#\[\]()])")  # of Discord and of Teams' cards, in what a device can choose


def words_of(event: Event) -> dict[str, str]:
    """Return what can stand in a template of one's own, by the name in braces."""
    return {
        "message": line_of(event),
        "sentence": sentence_of(event),
        "thing": printable(event.thing),
        "profile": event.profile,
        "behavior": event.behavior,
        "metric": event.metric,
        "event": event.type,
        "count": str(event.group.number if event.group else 1),
        "time": str(round(event.time)),
    }


NAMES = ("message", "sentence", "thing", "profile", "behavior", "metric", "event", "count", "time")


def for_slack(event: Event) -> dict[str, Any]:
    """Return a message for an incoming webhook of Slack, Mattermost or Rocket.Chat; nothing in it calls anybody."""
    return {"text": line_of(event).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def for_discord(event: Event) -> dict[str, Any]:
    """Return a message for a webhook of Discord; nothing in it calls anybody."""
    text = _without_markup(line_of(event))
    short = text if len(text) <= LONGEST_OF_DISCORD else f"{text[: LONGEST_OF_DISCORD - 3]}..."
    return {"content": short, "allowed_mentions": {"parse": []}}


def for_teams(event: Event) -> dict[str, Any]:
    """Return a card for a webhook of a Teams workflow."""
    text = {"type": "TextBlock", "text": _without_markup(line_of(event)), "wrap": True}
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    card = {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": [text]}
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


TEMPLATES: Mapping[str, Callable[[Event], dict[str, Any]]] = {
    "aws": alert_body,
    "slack": for_slack,
    "discord": for_discord,
    "teams": for_teams,
}


def filled(template: Any, words: Mapping[str, str]) -> Any:
    """Return a template with an alert's words in its texts."""
    if isinstance(template, str):
        return PLACE.sub(lambda place: words.get(place[1], place[0]), template)
    if isinstance(template, dict):
        return {key: filled(value, words) for key, value in template.items()}
    return [filled(each, words) for each in template] if isinstance(template, list) else template


def find_unknown(template: Any, path: str) -> Iterator[str]:
    """Yield a sentence for each name in braces that an alert has no words for."""
    if isinstance(template, str):
        for name in PLACE.findall(template):
            if name not in NAMES:
                known = ", ".join(f"{{{each}}}" for each in NAMES)
                yield f"{path} must have no other name in braces than {known}, got {name}{did_you_mean(name, NAMES)}"
    elif isinstance(template, (dict, list)):
        places = template.items() if isinstance(template, dict) else enumerate(template)
        for key, value in places:
            yield from find_unknown(value, f"{path}.{key}" if isinstance(template, dict) else f"{path}[{key}]")


def _without_markup(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)
