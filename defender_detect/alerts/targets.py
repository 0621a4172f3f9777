"""The targets of alerts: a row for each of ours, and those that installed packages add.

A package adds one with an entry point of the group `defender_detect.alerts`, named as the type, which leads to a
subclass of `Target` of its own. It is loaded only for a configuration that names it.
"""

from __future__ import annotations

from collections.abc import Iterable

from defender_daemon import extensions
from defender_daemon.extensions import ExtensionError
from defender_detect.alerts.alertmanager import Alertmanager
from defender_detect.alerts.apprise import Apprise
from defender_detect.alerts.command import Command
from defender_detect.alerts.home_assistant import HomeAssistant
from defender_detect.alerts.log import Log
from defender_detect.alerts.mail import Email, email_problems
from defender_detect.alerts.ntfy import Ntfy
from defender_detect.alerts.secret import Secret, secret_problems
from defender_detect.alerts.sns import Sns
from defender_detect.alerts.target import Target
from defender_detect.alerts.topic import Topic
from defender_detect.alerts.webhook import Webhook, webhook_problems
from defender_detect.errors import AlertSettingError
from device_defender.validation import Rules

TARGETS: tuple[type[Target], ...] = (
    Log,
    Topic,
    Webhook,
    Command,
    Sns,
    Email,
    Ntfy,
    Apprise,
    Alertmanager,
    HomeAssistant,
)
RULES: Rules = {  # what no type can say of them
    Secret: (secret_problems,),
    Email: (email_problems,),
    Webhook: (webhook_problems,),
}
GROUP = "defender_detect.alerts"


def type_of(target: type[Target]) -> str:
    """Return what the configuration calls a target."""
    return str(target.__struct_config__.tag)


def find_targets(types: Iterable[str]) -> tuple[type[Target], ...]:
    """Return our targets, and those of installed packages that have these types; raise AlertSettingError."""
    wanted = sorted(set(types) - set(map(type_of, TARGETS)))
    try:
        found = [_load(name) for name in wanted]
    except ExtensionError as error:
        raise AlertSettingError(str(error)) from error
    return (*TARGETS, *(each for each in found if each is not None))


def _load(name: str) -> type[Target] | None:
    """Return what a package has as the type of a name, if one has it."""
    point = extensions.find(GROUP, name, f"are an alert target of the type {name}")
    if point is None:
        return None
    target = extensions.load(point)
    if not (isinstance(target, type) and issubclass(target, Target) and type_of(target) == name):
        raise ExtensionError(f"{extensions.shown(point)} must be a subclass of Target whose tag is {name}")
    return target
