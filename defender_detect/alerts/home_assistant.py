"""Things in Home Assistant, by MQTT discovery: a device each, at the broker that the reports come from.

It has a binary sensor for each behavior, a sensor for each number that is retained, and one that says whether the thing
is heard. What describes a device is retained by the broker, and so is its state, but for whether it is heard.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from defender_daemon.text import printable
from defender_detect import __version__
from defender_detect.alerts.followers import Follower, Reported, Worker
from defender_detect.alerts.target import Publish, Target
from defender_detect.alerts.topic import is_topic
from defender_detect.evaluate.alarms import IN_ALARM, Event, Violation
from device_defender.definition import that

PAUSE = 1.0  # seconds between two rounds of what changed
MOST_DEVICES = 10_000  # about 20 MB; a broker without access control lets anyone make up names
AGAIN = 3600.0  # seconds until devices are described again, to a broker that has forgotten them
NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
OURS = "amazon-defender-detect"
UNITS = {"aws:all-bytes-in": "B", "aws:all-bytes-out": "B"}
PREFIX_RULE = "a topic of its own without + and #"

log = logging.getLogger(__name__)

Components = dict[str, dict[str, Any]]


def is_prefix(topic: str) -> bool:
    """Tell whether topics can begin so."""
    return is_topic(topic) and topic.count("/") < 3 and not topic.startswith("$") and "" not in topic.split("/")


class HomeAssistant(Target, frozen=True, tag="home_assistant"):
    """Home Assistant, by MQTT discovery at the broker that the reports come from; not at the built-in one."""

    needs_retained: ClassVar[bool] = True

    discovery_prefix: Annotated[str, that(is_prefix, PREFIX_RULE)] = "homeassistant"
    """What its discovery topics begin with."""
    topic: Annotated[str, that(is_prefix, PREFIX_RULE)] = OURS
    """What the topics of states begin with."""
    silent_minutes: Annotated[float, Meta(gt=0, le=1e6)] = 15.0
    """A thing that has not reported for so long is shown as disconnected."""

    def follow(self, publish: Publish) -> Follower:
        """Return what publishes."""
        return HomeAssistantFollower(self, publish)


class Device:
    """What is known of a thing."""

    def __init__(self, thing: str) -> None:
        self.node = node_of(thing)
        self.numbers: dict[str, float] = {}
        self.rules: tuple[str, ...] = ()
        self.alarms: dict[str, bool] = {}  # those that are on, and those that were
        self.has_reported = False
        self.announced: tuple[Any, ...] | None = None  # what the description that was published is made of


class HomeAssistantFollower:
    """Publishes devices and their states, in a thread of its own."""

    hears_reports = True

    def __init__(self, target: HomeAssistant, publish: Publish, pause: float = PAUSE) -> None:
        """Prepare to publish."""
        self.name = f"Home Assistant below {target.discovery_prefix}"
        self._target, self._publish = target, publish
        self._worker = Worker(self.name, self._work, pause)
        self._devices: dict[str, Device] = {}
        self._changed: dict[str, Device] = {}
        self._again = time.monotonic() + AGAIN
        self._has_complained = False

    def begin(self, active: Iterable[Violation]) -> None:
        """Show the alarms that are on."""
        for each in (each for each in active if not each.suppressed):
            self._note(each.thing, each.profile, each.behavior, True)
        self._worker.start()

    def tell(self, event: Event) -> None:
        """Show an alarm that begins or ends."""
        self._note(event.thing, event.profile, event.behavior, event.type == IN_ALARM)

    def report(self, reported: Reported) -> None:
        """Show a thing's numbers, and that it is heard."""
        numbers = {name: value for name, value in reported.values.items() if isinstance(value, (int, float))}
        with self._worker.changed:
            device = self._device(reported.thing)
            if device is None:
                return
            device.numbers.update(numbers)
            device.rules, device.has_reported = reported.rules, True
            self._worker.wake()

    def close(self, timeout: float) -> None:
        """Publish what changed."""
        self._worker.close(timeout)

    def _note(self, thing: str, profile: str, behavior: str, is_on: bool) -> None:
        with self._worker.changed:
            if (device := self._device(thing)) is not None:
                device.alarms[f"{profile}/{behavior}"] = is_on
                self._worker.wake()

    def _device(self, thing: str) -> Device | None:
        """Return the device of a thing, which is to be published; None if there are too many."""
        device = self._devices.get(thing)
        if device is None:
            if len(self._devices) >= MOST_DEVICES:
                self._say_that_there_are_too_many()
                return None
            device = self._devices[thing] = Device(thing)
        self._changed[thing] = device
        return device

    def _say_that_there_are_too_many(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            log.error("%s: %d things are shown, and no others from now on", self.name, MOST_DEVICES)

    def _work(self) -> float:
        """Publish the devices that changed."""
        with self._worker.changed:
            changed, self._changed = self._changed, {}
            if time.monotonic() >= self._again:
                self._again = time.monotonic() + AGAIN
                for device in self._devices.values():
                    device.announced = None
        while changed:
            thing, device = next(iter(changed.items()))
            try:
                self._show(thing, device)
            except BaseException:
                with self._worker.changed:
                    self._changed = {**changed, **self._changed}
                raise
            del changed[thing]
        return AGAIN

    def _show(self, thing: str, device: Device) -> None:
        with self._worker.changed:
            rules = tuple(dict.fromkeys((*device.rules, *device.alarms)))
            numbers, alarms, has_reported = dict(device.numbers), dict(device.alarms), device.has_reported
        base, described = f"{self._target.topic}/{device.node}", (rules, tuple(sorted(numbers)))
        if device.announced != described:
            description = describe(thing, device.node, base, rules, sorted(numbers), self._target.silent_minutes)
            topic = f"{self._target.discovery_prefix}/device/{device.node}/config"
            self._publish(topic, json.dumps(description).encode(), retain=True)
            device.announced = described
        state = {"alarms": {rule: "ON" if alarms.get(rule) else "OFF" for rule in rules}, "numbers": numbers}
        self._publish(f"{base}/state", json.dumps(state).encode(), retain=True)
        if has_reported:
            self._publish(f"{base}/heard", b"ON")
            device.has_reported = False


def describe(
    thing: str, node: str, base: str, rules: Iterable[str], numbers: Iterable[str], silent_minutes: float
) -> Mapping[str, Any]:
    """Return a device as MQTT discovery takes it."""
    name = printable(thing)
    heard = {
        "platform": "binary_sensor",
        "name": "Connected",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": f"{base}/heard",
        "off_delay": round(silent_minutes * 60),  # Home Assistant itself turns it off
        "unique_id": f"{node}_heard",
    }
    components: Components = {"heard": heard}
    for rule in rules:
        profile, _, behavior = rule.partition("/")
        components[f"alarm_{digest_of(rule)}"] = {
            "platform": "binary_sensor",
            "name": f"{behavior} ({profile})",
            "device_class": "problem",
            "state_topic": f"{base}/state",
            "value_template": f"{{{{ value_json.alarms.get('{rule}', 'OFF') }}}}",
            "unique_id": f"{node}_alarm_{digest_of(rule)}",
        }
    for metric in numbers:
        unit = {"unit_of_measurement": UNITS[metric]} if metric in UNITS else {}
        components[f"number_{digest_of(metric)}"] = {
            "platform": "sensor",
            "name": metric,
            "state_class": "measurement",
            "state_topic": f"{base}/state",
            "value_template": f"{{{{ value_json.numbers.get('{metric}') }}}}",
            "unique_id": f"{node}_number_{digest_of(metric)}",
            **unit,
        }
    return {
        "device": {"identifiers": [f"{OURS}_{node}"], "name": name, "manufacturer": OURS},
        "origin": {"name": OURS, "sw_version": __version__},
        "components": components,
    }


def node_of(thing: str) -> str:
    """Return a thing's name as a level of a topic, which has few characters; another one for every thing."""
    return thing if NODE.fullmatch(thing) else f"{re.sub(r'[^A-Za-z0-9_-]', '_', thing)[:48]}_{digest_of(thing)}"


def digest_of(text: str) -> str:
    """Return a short name for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
