"""The attachments: the profiles that a configuration names, read, and the things they are for."""

from __future__ import annotations

import logging
from pathlib import Path

from defender_detect.config import Config, Source
from defender_detect.config_file import read_groups
from defender_detect.errors import ConfigError, ProfileError
from defender_detect.evaluate.detector import ALL_THINGS, Attachment, Rules
from defender_detect.evaluate.targets import MOST_PER_TARGET, UNREGISTERED, name_target
from defender_detect.profiles import Profile, parse_profile, read_profiles
from defender_detect.store.documents import Documents
from device_defender.profile_rules import find_profile_problems

log = logging.getLogger(__name__)


def read_rules(config: Config) -> Rules:
    """Read profiles and thing groups, and warn of what only AWS evaluates; raise ConfigError with every problem."""
    rules = find_rules(config)
    for profile in (attachment.profile for attachment in rules.attachments):
        for sentence in profile.left_to_aws:
            log.warning("security profile %s: %s", profile.name, sentence)
    return rules


def find_rules(config: Config) -> Rules:
    """Read profiles and thing groups; raise ConfigError with every problem."""
    problems: list[str] = []
    groups: dict[str, list[str]] = {}
    attachments: list[Attachment] = []
    if config.detect.thing_groups is not None:
        try:
            groups = read_groups(Path(config.detect.thing_groups))
        except ConfigError as error:
            problems += error.problems
    for source in config.detect.sources:
        try:
            attachments += read_attachments(source)
        except ProfileError as error:
            problems += error.problems
    try:
        attachments += read_written(config.agent.state_directory)
    except ProfileError as error:
        problems += error.problems
    problems += find_shared_names([attachment.profile for attachment in attachments])
    if not problems:  # otherwise a group may seem unknown because its file cannot be read
        problems += find_wrong_targets(attachments, groups)
    if problems:
        raise ConfigError(problems)
    return Rules(attachments, groups)


def read_attachments(source: Source) -> list[Attachment]:
    """Return the profiles of one file, or of all files of a directory."""
    targets = frozenset(map(name_target, source.targets))
    return [Attachment(profile, targets) for profile in read_profiles(Path(source.path))]


def read_written(state_directory: str | None) -> list[Attachment]:
    """Return the profiles that the API wrote; raise ProfileError for one that is not valid any more."""
    written = Documents(state_directory).read() if state_directory is not None else []
    problems = [
        f"{each.name}, written by the API: {problem}"
        for each in written
        for problem in find_profile_problems(each.document)
    ]
    if problems:
        raise ProfileError(problems)
    return [Attachment(parse_profile(each.document), frozenset(each.targets)) for each in written]


def find_shared_names(profiles: list[Profile]) -> list[str]:
    """Return a problem for each name that more than one profile has."""
    names = [profile.name for profile in profiles]
    return [
        f'securityProfileName must be unique, but {names.count(name)} files have "{name}"'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def find_wrong_targets(attachments: list[Attachment], groups: dict[str, list[str]]) -> list[str]:
    """Return a problem for each target that is no thing group, or has more profiles than AWS allows."""
    targets = sorted({target for attachment in attachments for target in attachment.targets})
    unknown = [
        f'detect.profiles: the target "{target}" is neither "{ALL_THINGS}" nor a group of detect.thing_groups'
        for target in targets
        if target not in (ALL_THINGS, UNREGISTERED) and target not in groups
    ]
    numbers = {target: sum(target in attachment.targets for attachment in attachments) for target in targets}
    return unknown + [
        f'detect.profiles: "{target}" must have at most {MOST_PER_TARGET} profiles, got {number}'
        for target, number in numbers.items()
        if number > MOST_PER_TARGET
    ]
