"""Each thing is a device of Home Assistant, with its alarms, its numbers, and whether it is heard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from defender_detect.alerts import home_assistant
from defender_detect.alerts.followers import Reported
from defender_detect.alerts.home_assistant import HomeAssistant, HomeAssistantFollower, node_of
from defender_detect.errors import AlertError
from defender_detect.evaluate.alarms import Violation
from tests.detect.store.test_store import CRITERIA, event
from tests.waiting import PATIENCE, wait_until

CONFIG, STATE, HEARD = (
    "homeassistant/device/rpi-1/config",
    "amazon-defender-detect/rpi-1/state",
    "amazon-defender-detect/rpi-1/heard",
)
RULES = ("cpu-usage/cpu", "silence/regular")


class Broker:
    """What was published, by topic, and what of it is retained."""

    def __init__(self) -> None:
        self.failures = 0
        self.published: list[tuple[str, bytes]] = []
        self.retained: dict[str, Any] = {}

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise AlertError("there is no connection to the broker")
        self.published.append((topic, payload))
        if retain:
            self.retained[topic] = json.loads(payload)

    def topics(self) -> list[str]:
        return [topic for topic, _ in list(self.published)]


@pytest.fixture
def broker() -> Broker:
    return Broker()


Follow = Callable[..., HomeAssistantFollower]


@pytest.fixture
def follow(broker: Broker) -> Iterator[Follow]:
    made: list[HomeAssistantFollower] = []

    def follow(*active: Violation, **options: Any) -> HomeAssistantFollower:
        made.append(HomeAssistantFollower(HomeAssistant(**options), broker.publish, pause=0.01))
        made[-1].begin(active)
        return made[-1]

    yield follow
    for each in made:
        each.close(PATIENCE)


def reported(thing: str = "rpi-1", **values: Any) -> Reported:
    return Reported(
        thing, 1.8e9, frozenset(), {name.replace("__", ":"): value for name, value in values.items()}, RULES
    )


def test_a_thing_that_reports_is_a_device_with_its_numbers_and_alarms(broker: Broker, follow: Follow) -> None:
    follow().report(reported(cpu_usage=12.5, names=("a",), aws__bytes=5))
    assert wait_until(lambda: HEARD in broker.topics())
    assert [CONFIG, STATE, HEARD] == broker.topics()
    assert HEARD not in broker.retained
    device = broker.retained[CONFIG]
    assert "rpi-1" == device["device"]["name"]
    components = device["components"].values()
    assert [
        ("binary_sensor", "Connected"),
        ("binary_sensor", "cpu (cpu-usage)"),
        ("binary_sensor", "regular (silence)"),
        ("sensor", "aws:bytes"),
        ("sensor", "cpu_usage"),
    ] == [(each["platform"], each["name"]) for each in components]
    assert len({each["unique_id"] for each in components}) == 5
    heard = device["components"]["heard"]
    assert (HEARD, 900, "connectivity") == (heard["state_topic"], heard["off_delay"], heard["device_class"])
    alarms = {"cpu-usage/cpu": "OFF", "silence/regular": "OFF"}
    assert {"alarms": alarms, "numbers": {"cpu_usage": 12.5, "aws:bytes": 5}} == broker.retained[STATE]
    paths = [re.findall(r"value_json\.(\w+)\.get\('([^']+)'", each.get("value_template", "")) for each in components]
    for ((section, key),) in filter(None, paths):
        assert key in broker.retained[STATE][section]


def test_an_alarm_is_on_until_it_ends_and_the_description_is_published_once(broker: Broker, follow: Follow) -> None:
    follower = follow()
    follower.report(reported(cpu_usage=99))
    follower.tell(event())
    assert wait_until(lambda: broker.retained.get(STATE, {}).get("alarms", {}).get("cpu-usage/cpu") == "ON")
    follower.report(reported(cpu_usage=1))
    follower.tell(event("alarm-cleared", value=1))
    assert wait_until(lambda: broker.retained[STATE]["alarms"]["cpu-usage/cpu"] == "OFF")
    assert 1 == broker.topics().count(CONFIG)
    follower.report(reported(load=1))  # another number
    assert wait_until(lambda: broker.topics().count(CONFIG) == 2)


def test_an_alarm_does_not_say_that_the_thing_was_heard(broker: Broker, follow: Follow) -> None:
    follow().tell(event())
    assert wait_until(lambda: STATE in broker.retained)
    assert HEARD not in broker.topics()


def test_the_alarms_that_are_on_are_shown_after_a_restart(broker: Broker, follow: Follow) -> None:
    on = Violation("v", "rpi-1", "cpu-usage", "cpu", "cpu_usage", 1.0, 1.0, 99, CRITERIA, "number", False)
    follow(on, on._replace(thing="rpi-2", suppressed=True))
    assert wait_until(lambda: STATE in broker.retained)
    assert {"cpu-usage/cpu": "ON"} == broker.retained[STATE]["alarms"]
    assert {CONFIG, STATE} == set(broker.retained)


def test_what_could_not_be_published_is_when_there_is_a_connection(
    broker: Broker, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    broker.failures = 3
    follower = follow()
    for thing in ("rpi-1", "rpi-2"):
        follower.report(reported(thing, cpu_usage=1))
    assert wait_until(lambda: len(broker.retained) == 4)
    assert wait_until(lambda: broker.topics().count(HEARD) == 1)
    assert 1 == caplog.text.count("not updated: there is no connection to the broker; trying again")


def test_no_more_things_are_shown_than_there_is_room_for_and_that_is_said_once(
    broker: Broker, follow: Follow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(home_assistant, "MOST_DEVICES", 2)
    follower = follow()
    for thing in ("a", "b", "c", "d", "a"):
        follower.report(reported(thing, cpu_usage=1))
        follower.tell(event(thing=thing))
    assert wait_until(lambda: len(broker.retained) == 4)
    assert 1 == caplog.text.count("2 things are shown, and no others from now on")


@pytest.mark.parametrize("thing", ["caf\u00e9", "a b", "x" * 128, "\u202e", "a.b"])
def test_a_name_that_is_no_level_of_a_topic_has_one_of_its_own(thing: str, broker: Broker, follow: Follow) -> None:
    node = node_of(thing)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", node)
    assert node != node_of(f"{thing}.")
    follow().report(reported(thing, cpu_usage=1))
    assert wait_until(lambda: f"homeassistant/device/{node}/config" in broker.retained)
    assert broker.retained[f"homeassistant/device/{node}/config"]["device"]["name"].isprintable()


def test_the_topics_are_those_of_the_configuration(broker: Broker, follow: Follow) -> None:
    follow(discovery_prefix="ha", topic="fleet/ours", silent_minutes=2.0).report(reported(cpu_usage=1))
    assert wait_until(lambda: "fleet/ours/rpi-1/heard" in broker.topics())
    assert 120 == broker.retained["ha/device/rpi-1/config"]["components"]["heard"]["off_delay"]
