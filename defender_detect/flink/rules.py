"""Rules on their way to the workers: documents of strangers, checked before anybody goes by them.

The workers are given JSON, never compiled rules, which cannot be pickled. What the job was started with holds until a
document comes, and again when the job is started with another one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from defender_detect.errors import ProfileError
from defender_detect.evaluate.rules import ALL_THINGS, Attachment, Rules
from defender_detect.evaluate.targets import MOST_PER_TARGET, UNREGISTERED, name_target
from defender_detect.profiles import parse_profile
from device_defender.profile import Profile as Document
from device_defender.profile_rules import AWS_RULES
from device_defender.validation import find_problems


class Attached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A security profile, and what it is for."""

    profile: Document
    targets: Annotated[list[Annotated[str, Meta(min_length=1, max_length=2048)]], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [ALL_THINGS]
    )


class RulesDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that reports are evaluated by, as `Rules.to_json` writes it."""

    attachments: list[Attached]
    groups: dict[str, list[str]] = {}
    since: Annotated[float, Meta(ge=0)] = 0.0  # seconds since the epoch: when they come into force; 0 for at once
    retired: Any = None  # of other rules; what was in force here is known here


class InForce(NamedTuple):
    """The rules in force, as JSON, and which document the job had been started with when they came."""

    start: str
    rules: str


def parse_rules(text: str) -> tuple[Rules, float]:
    """Compile a rules document, and return when it is to come into force, 0 for at once.

    Raises ProfileError with everything that is wrong with it.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError([f"the rules document must be JSON in one line: {error}"]) from error
    problems = find_problems(raw, RulesDocument, AWS_RULES, "the rules document")
    if problems:
        raise ProfileError(problems)
    attached = [(parse_profile(each["profile"]), each.get("targets", [ALL_THINGS])) for each in raw["attachments"]]
    attachments = [Attachment(profile, frozenset(map(name_target, targets))) for profile, targets in attached]
    groups = raw.get("groups", {})
    if problems := [*_find_shared_names(attachments), *_find_wrong_targets(attachments, groups)]:
        raise ProfileError(problems)
    return Rules(attachments, groups), raw.get("since", 0.0)


class Start(NamedTuple):
    """What the job is started with: rules as JSON, and a mark that another document does not have.

    `since` is when they come into force where there were others before.
    """

    mark: str
    rules: str
    since: float


def start_with(text: str, now: float) -> Start:
    """Return what a job is started with; raise ProfileError with everything that is wrong with the document."""
    rules, since = parse_rules(text)
    return Start(hashlib.sha256(text.encode()).hexdigest()[:16], dump(rules), since or now)


def load(text: str) -> Rules:
    """Compile what a worker was given."""
    return Rules.from_json(text.encode())


def dump(rules: Rules) -> str:
    """Return rules as a worker is given them."""
    return rules.to_json().decode()


def in_force(kept: str | None, start: Start) -> Rules:
    """Return the rules that hold: those kept, unless the job was started with others than when they came."""
    if kept is None:
        return load(start.rules)
    mark, rules = json.loads(kept)
    return load(rules) if mark == start.mark else _follow(load(start.rules), load(rules), start.since)


def begin(start: Start) -> str:
    """Return what is kept of the rules that a job is started with, for the ones that it is started with next."""
    return json.dumps(InForce(start.mark, start.rules))


def succeed(kept: str | None, start: Start, text: str, now: float) -> str:
    """Return what is kept once a document is in force; raise ProfileError if it is not to be."""
    rules, since = parse_rules(text)
    return json.dumps(InForce(start.mark, dump(_follow(rules, in_force(kept, start), since or now))))


def update(kept: str | None, start: Start, text: str, now: float) -> str | None:
    """Return what is kept once a line of updates is in force, None if that changes nothing.

    The empty line stands for the rules that the job was started with, which are broadcast to be known after a restart.
    Raises ProfileError if the document is not to be in force.
    """
    if text.strip():
        return succeed(kept, start, text, now)
    return begin(start) if kept is None else None


def only_ranked(rules: Rules) -> Rules:
    """Return the rules that have a statisticalThreshold, for who finds the datapoints of those only."""
    attachments = [
        Attachment(replace(each.profile, behaviors=kept), each.targets)
        for each in rules.attachments
        if (kept := tuple(behavior for behavior in each.profile.behaviors if behavior.criteria.statistic))
    ]
    return Rules(attachments, rules.groups)


def _follow(rules: Rules, before: Rules, since: float) -> Rules:
    rules.succeed(before, since)
    return rules


def _find_shared_names(attachments: list[Attachment]) -> list[str]:
    names = [each.profile.name for each in attachments]
    shared = dict.fromkeys(name for name in names if names.count(name) > 1)
    return [f'securityProfileName must be unique, but {names.count(name)} profiles have "{name}"' for name in shared]


def _find_wrong_targets(attachments: list[Attachment], groups: dict[str, Any]) -> list[str]:
    targets = sorted({target for each in attachments for target in each.targets})
    unknown = [each for each in targets if each not in (ALL_THINGS, UNREGISTERED) and each not in groups]
    numbers = {target: sum(target in each.targets for each in attachments) for target in targets}
    return [
        *(f'attachments: the target "{each}" is neither "{ALL_THINGS}" nor one of groups' for each in unknown),
        *(
            f'attachments: "{target}" must have at most {MOST_PER_TARGET} profiles, got {number}'
            for target, number in numbers.items()
            if number > MOST_PER_TARGET
        ),
    ]
