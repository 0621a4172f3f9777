"""Alerts to ntfy, which brings them to phones: a notification each, at ntfy.sh or a server of one's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Optional, Union

from msgspec import Meta

from defender_daemon.text import printable
from defender_detect.alerts.posting import is_header, origin_of, post
from defender_detect.alerts.secret import Elsewhere, revealed
from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.alerts.webhook import Url, read_url
from defender_detect.errors import AlertSettingError
from defender_detect.evaluate.alarms import IN_ALARM
from defender_detect.evaluate.sentences import line_of
from device_defender.wording import SECRET, that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
TOPIC_RULE = "1 to 64 of the characters a-z A-Z 0-9 _ -"
ENDED_PRIORITY = 3  # ntfy's default; an alarm that ends wakes nobody
TAGS = {True: ["rotating_light"], False: ["white_check_mark"]}  # emojis


def is_topic(topic: str) -> bool:
    """Tell whether ntfy can have a topic."""
    return bool(TOPIC.fullmatch(topic))


class Ntfy(Target, frozen=True):
    """A topic of ntfy, for phones."""

    topic: Annotated[
        Union[Annotated[str, SECRET, that(is_topic, TOPIC_RULE)], Elsewhere],
        Meta(description="The topic, or the secret that has it: whoever knows a topic of ntfy.sh can read it."),
    ]
    url: Annotated[Url, Meta(description="The server.")] = "https://ntfy.sh"
    token: Annotated[Optional[Elsewhere], Meta(description="The secret with an access token, if the server asks.")] = (
        None
    )
    priority: Annotated[
        int, Meta(ge=1, le=5, description="Of an alarm that begins: 1 is the lowest, 5 the highest.")
    ] = 4

    def open(self, publish: Publish) -> NtfySink:
        """Return what posts."""
        topic, token = revealed(self.topic), self.token.read() if self.token else None
        if not is_topic(topic):
            raise AlertSettingError(f"topic must be {TOPIC_RULE}, and what the secret has is not")
        if token is not None and not is_header(token):
            raise AlertSettingError("token must be one line of ASCII, and what the secret has is not")
        return NtfySink(read_url(self.url), topic, token, self.priority)


class NtfySink:
    """Posts notifications."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, url: str, topic: str, token: str | None = None, priority: int = 4) -> None:
        """Prepare to post to a server."""
        self.name = f"ntfy at {origin_of(url)}"
        self._url, self._topic, self._priority = url, topic, priority
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, event: Event) -> None:
        """Post an alert."""
        has_begun = event.type == IN_ALARM
        body = {
            "topic": self._topic,
            "title": f"{printable(event.thing)}: {event.type}",
            "message": line_of(event),
            "priority": self._priority if has_begun else ENDED_PRIORITY,
            "tags": TAGS[has_begun],
        }
        post(self._url, body, self._headers)
