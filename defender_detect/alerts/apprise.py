"""Alerts to any of the services that apprise knows; it is imported only where this is used."""

from __future__ import annotations

import importlib
import logging
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from defender_daemon.text import printable
from defender_detect.alerts.secret import Elsewhere
from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.errors import AlertError, AlertSettingError
from defender_detect.evaluate.alarms import IN_ALARM
from defender_detect.evaluate.sentences import line_of

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event


class Apprise(Target, frozen=True):
    """A service that apprise knows; needs the package apprise."""

    url: Annotated[Elsewhere, Meta(description="The secret with apprise's URL of the service, which has its password.")]

    def open(self, publish: Publish) -> AppriseSink:
        """Return what sends; raises AlertSettingError without apprise, or if it knows no such service."""
        return AppriseSink(self.url.read())


class AppriseSink:
    """Sends notifications by one URL of apprise."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, url: str) -> None:
        """Prepare to send; raises AlertSettingError."""
        self._apprise = load_apprise()
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # what it logs may have parts of the URL
        self._service = self._apprise.Apprise()
        if not self._service.add(url):
            raise AlertSettingError("url must be one that apprise knows (https://appriseit.com/services/), and is not")
        self.name = f"apprise to {printable(str(self._service[0].service_name))}"

    def send(self, event: Event) -> None:
        """Send an alert."""
        kind = self._apprise.NotifyType.FAILURE if event.type == IN_ALARM else self._apprise.NotifyType.SUCCESS
        title = f"{printable(event.thing)}: {event.type}"
        plain = self._apprise.NotifyFormat.TEXT
        if not self._service.notify(line_of(event), title, kind, body_format=plain):
            raise AlertError("the service did not take it, or cannot be reached; apprise does not say why")


def load_apprise() -> Any:
    """Import apprise; raises AlertSettingError without it."""
    try:
        return importlib.import_module("apprise")
    except ImportError as error:
        raise AlertSettingError(
            f"alerts by apprise need its package ({error}); run: {shlex.quote(sys.executable)} -m pip install apprise"
        ) from error
