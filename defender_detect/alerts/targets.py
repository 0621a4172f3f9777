"""The targets of alerts: a row for each of ours, and those that installed packages add.

A package adds one with an entry point of the group `defender_detect.alerts`, named as the type, which leads to a
subclass of `Target` of its own. It is loaded only for a configuration that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

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
    ours = set(map(type_of, TARGETS))
    wanted = sorted(set(types) - ours)
    points = sorted(_entry_points(), key=lambda point: point.value) if wanted else []
    found = ({point.value: point for point in points if point.name == name} for name in wanted)
    return (*TARGETS, *(_load_one(list(each.values())) for each in found if each))


def _entry_points() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP) if sys.version_info >= (3, 10) else entry_points().get(GROUP, ())


def _load_one(points: list[EntryPoint]) -> type[Target]:
    point = points[0]
    if len(points) > 1:
        both = " and ".join(map(_shown, points))
        raise AlertSettingError(f"{both} are both an alert target of the type {point.name}: uninstall one")
    try:
        target = point.load()
    except Exception as error:  # noqa: BLE001 - a package can raise anything
        reason = " ".join(str(error).split())
        raise AlertSettingError(f"{_shown(point)} cannot be loaded: {type(error).__name__}: {reason}") from error
    if not (isinstance(target, type) and issubclass(target, Target) and type_of(target) == point.name):
        raise AlertSettingError(f"{_shown(point)} must be a subclass of Target whose tag is {point.name}")
    return target


def _shown(point: EntryPoint) -> str:
    """Return what an entry point leads to, and the package's name where Python tells it (from 3.10 on)."""
    package = getattr(getattr(point, "dist", None), "name", None)
    return f"{point.value} of the package {package}" if package else point.value
