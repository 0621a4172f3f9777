"""The audience: whom a configuration, and the profiles that it names, let hear of alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from defender_detect.alerts.followers import Follower
from defender_detect.alerts.of_profiles import exports_of, make_exporters, make_profile_sinks
from defender_detect.alerts.queue import Alerts
from defender_detect.alerts.target import Publish, Sink, Target
from defender_detect.config import Config
from defender_detect.errors import AlertSettingError, CredentialElsewhere
from defender_detect.evaluate.detector import Rules

NO_RETAINED = (
    "it needs a broker that keeps retained messages, which the built-in one does not: use mosquitto, for instance "
    "(agent.embedded_broker: false)"
)
Made = TypeVar("Made")


def make_alerts(config: Config, publish: Publish, rules: Rules | None = None) -> Alerts:
    """Make the alerts of a configuration, and of the profiles themselves; raises AlertSettingError."""
    profiles = [each.profile for each in (rules.attachments if rules is not None else ())]
    kept = config.agent.state_directory
    directory, seconds = Path(kept) if kept else None, config.detect.group_seconds
    followers = [*make_followers(config, publish), *make_exporters(profiles, publish)]
    return Alerts(make_sinks(config, publish), True, seconds, directory, followers, make_profile_sinks(profiles))


def make_sinks(config: Config, publish: Publish) -> list[Sink]:
    """Make what alerts go to beside the log; raises AlertSettingError."""
    return list(_made(config, lambda target: target.open(publish)))


def make_followers(config: Config, publish: Publish) -> list[Follower]:
    """Make what shows which alarms are on; raises AlertSettingError."""
    return list(_made(config, lambda target: target.follow(publish)))


def check_targets(config: Config, publish: Publish) -> Iterator[str]:
    """Yield a sentence for each target that only the service itself can check; raise AlertSettingError for a wrong one.

    A credential of systemd is there for the service, and for nobody who checks its configuration.
    """
    for index in range(len(config.detect.alerts)):
        try:
            list(_made(config, lambda target: target.open(publish), index))
            list(_made(config, lambda target: target.follow(publish), index))
        except CredentialElsewhere as error:
            yield f"not checked: {error}"


def _made(config: Config, make: Callable[[Target], Made | None], only: int | None = None) -> Iterator[Made]:
    """Yield what targets make; raise the AlertSettingError of one that cannot, with its place."""
    for index, target in enumerate(config.detect.alerts):
        if only not in (None, index):
            continue
        try:
            if target.needs_retained and config.agent.embedded_broker:
                raise AlertSettingError(NO_RETAINED)
            made = make(target)
        except AlertSettingError as error:
            raise type(error)(f"detect.alerts[{index}]: {error}") from error
        if made is not None:
            yield made


def alert_topics(config: Config, rules: Rules | None = None) -> dict[str, frozenset[str]]:
    """Return the topics that alerts go to, each with the names of those who may hear them at the built-in broker.

    What profiles export is for those only whom an alert target of the same topic names.
    """
    profiles = [each.profile for each in (rules.attachments if rules is not None else ())]
    readers: dict[str, frozenset[str]] = {topic: frozenset() for topic in exports_of(profiles)}
    for target in config.detect.alerts:
        for topic, names in target.topics.items():
            readers[topic] = readers.get(topic, frozenset()) | names
    return readers
