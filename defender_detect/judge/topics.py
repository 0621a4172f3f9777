"""The MQTT topics of Device Defender: where reports arrive, whose they are, and where the replies go."""

from __future__ import annotations

from typing import NamedTuple

from device_defender.metrics import is_thing_name
from device_defender.shards import shards_of, topic_of

FILTERS = (  # never the bare `#`, and never without the format: that would bring our own replies back to us
    "$aws/things/+/defender/metrics/json",
    "$aws/things/+/defender/metrics/cbor",
)
THING_LEVEL = "{thing_name}"
NAME_RULE = "1 to 128 bytes without control characters, / + # and a $ at its beginning"
ENCODINGS = ("json", "cbor")
BEGIN, END = "$aws/things/", "/defender/metrics/json"  # of a reserved topic; all encodings are of one length
OWN_PREFIX = "$"  # of what Detect keeps that is of no thing; MQTT keeps topics that begin with it for the server's use


class ReportTopic(NamedTuple):  # no data class, which takes three times as long to make
    """A topic that a thing publishes its reports on, taken apart."""

    thing: str
    encoding: str  # "json" or "cbor": that of the report and of its reply
    own: str = ""  # the topic itself, where it is none of the reserved ones

    @property
    def accepted(self) -> str:
        """The topic that tells the thing its report was accepted."""
        return f"{self}/accepted"

    @property
    def rejected(self) -> str:
        """The topic that tells the thing its report was rejected."""
        return f"{self}/rejected"

    def __str__(self) -> str:
        return self.own or f"$aws/things/{self.thing}/defender/metrics/{self.encoding}"


def may_report(thing: object) -> bool:
    """Tell whether something can be the name of a thing that reports: whatever AWS takes, but `$...`."""
    return is_thing_name(thing) and not str(thing).startswith(OWN_PREFIX)


def parse_topic(topic: str) -> ReportTopic | None:
    """Take a reserved report topic apart; None for every other topic, and for a thing no thing can be called."""
    begin, thing, end = topic[: len(BEGIN)], topic[len(BEGIN) : -len(END)], topic[-len(END) :]
    if begin != BEGIN or end[:-4] != END[:-4] or end[-4:] not in ENCODINGS or not may_report(thing):
        return None
    return ReportTopic(thing, end[-4:])


class Topics:
    """The topics that reports arrive on: the reserved ones, or one of one's own with {thing_name} as a level."""

    def __init__(self, own: str | None = None) -> None:
        self._level = own.split("/").index(THING_LEVEL) if own else 0
        self.filters = (own.replace(THING_LEVEL, "+"),) if own else FILTERS
        self._own = own
        self._is_sharded = shards_of(own) is not None  # what was recorded of all shards; a Detect has one of them

    def parse(self, topic: str, payload: bytes) -> ReportTopic | None:
        """Take a report's topic apart; on a topic of one's own the payload itself tells its encoding."""
        if not self._own:
            return parse_topic(topic)
        thing = topic.split("/")[self._level : self._level + 1]
        if not thing or not may_report(thing[0]) or self._topic_of(thing[0]) != topic:
            return None
        return ReportTopic(thing[0], "json" if payload.lstrip()[:1] == b"{" else "cbor", topic)

    def _topic_of(self, thing: str) -> str:
        own = str(self._own)
        return topic_of(own, thing) if self._is_sharded else own.replace(THING_LEVEL, thing)


def may_use(thing: str, topic: str) -> bool:
    """Tell whether `thing` may publish, subscribe to or receive `topic`.

    As in the recommended device policy: of the reserved topics (`$...`) only those of the thing itself. `topic` can be
    a filter; a wildcard in the thing's place names other things too, so it is not allowed.
    """
    if not topic.startswith("$"):
        return True
    return may_report(thing) and topic.startswith(f"$aws/things/{thing}/")
