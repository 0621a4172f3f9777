"""The profiles: each behavior as a sentence, whom it is for, and how often it alarmed."""

from __future__ import annotations

from typing import Any, NamedTuple

from defender_daemon.text import printable
from defender_detect.console.sight import Sight
from defender_detect.console.wording import name_metric, say_behavior
from defender_detect.evaluate.alarms import IN_ALARM
from defender_detect.evaluate.detector import ALL_THINGS, Attachment
from defender_detect.profiles import why_not_evaluated


class Sentence(NamedTuple):
    """A behavior in words, and how often it alarmed."""

    name: str
    words: str
    note: str  # why it is not evaluated, or that nobody is notified
    raised: int
    on: int


class Described(NamedTuple):
    """A profile in words."""

    name: str
    description: str
    targets: str
    sentences: list[Sentence]
    retained: list[str]  # metrics that are kept besides


def make_profiles(sight: Sight) -> dict[str, Any]:
    """Return what the page of profiles shows; those that the configuration names, or those that alarmed."""
    rules = sight.rules()
    raised = {(key[0], key[1]): int(value) for key, value in sight.store.counts(IN_ALARM).items()}
    on = {(each.profile, each.behavior): each.number for each in sight.store.on_now()}
    profiles = [describe(each, raised, on) for each in rules.attachments] if rules is not None else []
    named = {(each.name, behavior.name) for each in profiles for behavior in each.sentences}
    others = sorted({*raised, *on} - named)
    return {
        "profiles": profiles,
        "others": [(*key, raised.get(key, 0), on.get(key, 0)) for key in others],
        "is_configured": rules is not None,
    }


def describe(attachment: Attachment, raised: dict[tuple[str, str], int], on: dict[tuple[str, str], int]) -> Described:
    """Return a profile in words."""
    profile = attachment.profile
    targets = (
        "all things" if ALL_THINGS in attachment.targets else ", ".join(map(printable, sorted(attachment.targets)))
    )
    text = profile.document.get("securityProfileDescription", "")
    sentences = [describe_behavior(profile.name, each, raised, on) for each in profile.document.get("behaviors", ())]
    retained = [name_metric(each) for each in profile.additional_metrics]
    return Described(profile.name, printable(text, 1000), targets, sentences, retained)


def describe_behavior(
    profile: str, document: dict[str, Any], raised: dict[tuple[str, str], int], on: dict[tuple[str, str], int]
) -> Sentence:
    """Return a behavior in words."""
    key, reason = (profile, document["name"]), why_not_evaluated(document)
    quiet = "nobody is notified" if document.get("suppressAlerts") else ""
    words = say_behavior(document["metric"], document.get("criteria", {})) if not reason else document.get("metric", "")
    return Sentence(key[1], words, f"not evaluated: {reason}" if reason else quiet, raised.get(key, 0), on.get(key, 0))
