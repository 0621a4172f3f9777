"""The rules of a fleet: which profiles are for which thing, as they are, as JSON, and after others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from defender_detect.errors import ProfileError
from defender_detect.evaluate.percentiles import Population, Ranking
from defender_detect.evaluate.ruleset import Name, Rule, Ruleset, Thresholds, make_rule, ranking_of
from defender_detect.profiles import Profile, parse_behavior, parse_profile
from device_defender.profile_rules import find_profile_problems

ALL_THINGS = "all"  # the target that every thing belongs to
Populations = dict[Name, Population]


@dataclass(frozen=True)
class Attachment:
    """A profile, and what it is for: "all", or names of thing groups."""

    profile: Profile
    targets: frozenset[str] = frozenset({ALL_THINGS})


class AttachmentDocument(msgspec.Struct):
    """An attachment in JSON; the profile is AWS's document."""

    profile: dict[str, Any]
    targets: list[str]


class RulesDocument(msgspec.Struct):
    """Rules in JSON."""

    attachments: list[AttachmentDocument]
    groups: dict[str, list[str]]
    since: float
    retired: dict[Name, dict[str, Any]]  # behaviors


@dataclass
class Rules:
    """Which profiles are for which thing: attachments and thing groups, with the rulesets that follow from them."""

    attachments: Sequence[Attachment] = ()
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    populations: Populations = field(default_factory=dict)  # of every behavior with a statisticalThreshold
    since: float = 0.0  # when they came into force; 0 where there were no others before
    retired: dict[Name, Rule] = field(default_factory=dict, repr=False)  # of the rules before
    _rulesets: dict[frozenset[int], Ruleset] = field(default_factory=dict, repr=False)
    _applying: dict[str, frozenset[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for_all = frozenset(i for i, each in enumerate(self.attachments) if ALL_THINGS in each.targets)
        self._for_all = for_all
        for index, each in enumerate(self.attachments):
            for group in each.targets - {ALL_THINGS}:
                for thing in self.groups.get(group, ()):
                    self._applying[thing] = self._applying.get(thing, for_all) | {index}
        self.ranked: Mapping[Name, Ranking] = {
            f"{each.profile.name}/{behavior.name}": ranking
            for each in self.attachments
            for behavior in each.profile.behaviors
            if (ranking := ranking_of(behavior)) is not None
        }
        self.restore_populations(self.populations)

    @classmethod
    def from_json(cls, document: bytes) -> Rules:
        """Return what `to_json` wrote; raise msgspec.DecodeError for anything else.

        Raises ProfileError with every problem of the profiles: whoever wrote the document may have read none of them.
        """
        read = msgspec.json.decode(document, type=RulesDocument)
        problems = [
            f"attachments[{place}].profile.{problem}"
            for place, each in enumerate(read.attachments)
            for problem in find_profile_problems(each.profile)
        ]
        if problems:
            raise ProfileError(problems)
        attachments = [Attachment(parse_profile(each.profile), frozenset(each.targets)) for each in read.attachments]
        retired = {
            name: make_rule(name.partition("/")[0], parse_behavior(behavior)) for name, behavior in read.retired.items()
        }
        return cls(attachments, read.groups, since=read.since, retired=retired)

    def to_json(self) -> bytes:
        """Return them for another process, which cannot be handed what is compiled; without the percentiles."""
        attachments = [
            AttachmentDocument(dict(each.profile.document), sorted(each.targets)) for each in self.attachments
        ]
        groups = {name: sorted(things) for name, things in self.groups.items()}
        retired = {name: dict(rule.behavior.document) for name, rule in self.retired.items()}
        return msgspec.json.encode(RulesDocument(attachments, groups, self.since, retired))

    def restore_populations(self, kept: Populations) -> None:
        """Go on with the percentiles of an earlier run or of other rules, of the behaviors that have the same ones."""
        self.populations = {
            name: kept[name] if name in kept and kept[name].ranking == ranking else Population(*ranking)
            for name, ranking in self.ranked.items()
        }

    def succeed(self, before: Rules, now: float) -> None:
        """Come into force at a time instead of others, whose alarms end by what those said of them."""
        self.since = now
        gone = {
            rule.name: rule
            for each in before.attachments
            for rule in (make_rule(each.profile.name, behavior) for behavior in each.profile.behaviors)
        }
        self.retired = {**before.retired, **gone}
        self._rulesets.clear()

    def of(self, thing: str) -> Ruleset:
        """Return the rules for a thing; things with the same profiles share them."""
        applying = self._applying.get(thing, self._for_all)
        ruleset = self._rulesets.get(applying)
        if ruleset is None:
            profiles = [self.attachments[index].profile for index in sorted(applying)]
            ruleset = self._rulesets[applying] = Ruleset(profiles, self.since, self.retired)
        return ruleset

    def thresholds(self, ruleset: Ruleset, now: float) -> Thresholds:
        """Return the percentiles in force for one of the rulesets."""
        return {name: self.populations[name].advance(now) for name in ruleset.ranked}

    def count(self, datapoints: Sequence[tuple[Name, float]]) -> None:
        """Count what a report of the time of the last `thresholds` brought for the percentiles to come."""
        for name, datapoint in datapoints:
            self.populations[name].sketch.add(datapoint)
