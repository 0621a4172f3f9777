"""Alerts to an HTTP webhook: a POST of AWS's body, of one that a chat takes, or of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from msgspec import Meta

from defender_detect.alerts.posting import LONGEST, TIMEOUT, URL_RULE, is_header, is_url, origin_of, post
from defender_detect.alerts.secret import Elsewhere, Secret, revealed
from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.alerts.templates import TEMPLATES, filled, find_unknown, words_of
from defender_detect.errors import AlertSettingError
from device_defender.wording import SECRET, that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$(?!\n)"
HEADER_VALUE = r"^[ -~]*$(?!\n)"  # ASCII, in one line

Url = Annotated[str, SECRET, Meta(min_length=1, max_length=LONGEST), that(is_url, URL_RULE)]
Headers = dict[
    Annotated[str, Meta(pattern=HEADER_NAME), that(None, "a header's name, in ASCII and without spaces")],
    Union[Annotated[str, SECRET, Meta(pattern=HEADER_VALUE), that(None, "one line of ASCII")], Elsewhere],
]
Template = Union[Literal["aws", "slack", "discord", "teams"], dict[str, Any]]


class Webhook(Target, frozen=True):
    """An HTTP POST; any status of 2xx means taken."""

    url: Annotated[
        Union[Url, Elsewhere],
        Meta(description="Where to post to, or the secret that says it. Not logged beyond its host."),
    ]
    headers: Annotated[
        Headers, SECRET, Meta(description="Further headers, or secrets that have them. Their values are never logged.")
    ] = {}
    template: Annotated[
        Template,
        Meta(
            description="What is posted: AWS's body, what Slack, Discord or Teams takes, or an object of your own, in "
            "whose texts `{message}`, `{thing}`, `{event}` and so on stand for an alert's."
        ),
        that(None, "one of aws, slack, discord, teams, or an object"),
    ] = "aws"

    def open(self, publish: Publish) -> WebhookSink:
        """Return what posts."""
        return WebhookSink(read_url(self.url), read_headers(self.headers), template=self.template)


def webhook_problems(webhook: Webhook, path: str) -> Iterator[str]:
    """Yield what is wrong with a template of one's own."""
    if isinstance(webhook.template, dict):
        yield from find_unknown(webhook.template, f"{path}.template")


def read_url(url: str | Secret) -> str:
    """Return a URL, wherever it is; raises AlertSettingError."""
    found = revealed(url)
    if not is_url(found):
        raise AlertSettingError(f"url must be {URL_RULE}, and what the secret has is not")
    return found


def read_headers(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return headers, wherever their values are; raises AlertSettingError."""
    found = {name: revealed(value) for name, value in headers.items()}
    for name, value in found.items():
        if not is_header(value):
            raise AlertSettingError(f"headers.{name} must be one line of ASCII, and what the secret has is not")
    return found


class WebhookSink:
    """Posts alerts to a URL; any status of 2xx means that it was taken."""

    give_up_after = GIVE_UP_AFTER

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        template: str | dict[str, Any] = "aws",
    ) -> None:
        """Prepare to post to `url` with further `headers`."""
        self.name = f"the webhook at {origin_of(url)}"  # and not the rest of the URL, which is often the secret
        self._url, self._headers, self._timeout, self._template = url, headers or {}, timeout, template

    def send(self, event: Event) -> None:
        """Post an alert."""
        if isinstance(self._template, str):
            body = TEMPLATES[self._template](event)
        else:
            body = filled(self._template, words_of(event))
        post(self._url, body, self._headers, self._timeout)
