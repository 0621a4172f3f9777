"""Detect's configuration as a file has it, and as the options of a command line change it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar, Union, cast

import msgspec
from msgspec import Meta, field

from defender_detect.alerts.targets import TARGETS, find_targets
from defender_detect.config import ALL_RULES, Config, Console, Detect, GroupName
from defender_detect.errors import AlertSettingError, ConfigError
from defender_detect.evaluate.detector import ALL_THINGS
from device_defender.definition import Section, with_absolute_paths
from device_defender.shards import EXAMPLE, shards_of
from device_defender.validation import Invalid, find_problems, read, read_json

Groups = dict[GroupName, list[Annotated[str, Meta(min_length=1, max_length=128)]]]  # of things
S = TypeVar("S", bound=Section)


def read_config(path: Optional[Path], options: Mapping[str, Any]) -> Config:
    """Read a file (None: none) and lay the options given over it; raise ConfigError with all that is wrong with it.

    An option is named as its key is, whatever section that is in; paths become absolute.
    """
    try:
        config = _read_file(path) if path else Config()
    except (Invalid, AlertSettingError) as error:
        raise ConfigError([f"{path}: {problem}" for problem in str(error).splitlines()]) from error
    config = _laid_over(config, {key: value for key, value in options.items() if value is not None})
    if config.agent.state_directory is None and os.environ.get("STATE_DIRECTORY"):
        config = _laid_over(config, {"state_directory": os.environ["STATE_DIRECTORY"].split(":")[0]})  # systemd's
    return _of_its_shard(config)


def _of_its_shard(config: Config) -> Config:
    """Return the configuration of a shard, which keeps its state apart from the others'; raise ConfigError."""
    agent = config.agent
    if agent.shard is None:
        return config
    shards = shards_of(agent.topic)
    if shards is None:
        raise ConfigError([f"agent.shard (--shard) goes with an agent.topic that has {EXAMPLE} in it, for instance"])
    if agent.shard >= shards:
        raise ConfigError(
            [f"agent.shard (--shard) must be from 0 to {shards - 1}, as agent.topic says, got {agent.shard}"]
        )
    if agent.state_directory is None:
        return config
    return _laid_over(config, {"state_directory": str(Path(agent.state_directory) / str(agent.shard))})


def read_groups(path: Path) -> dict[str, list[str]]:
    """Return the thing groups of a JSON file, name -> things; raise ConfigError with all problems."""
    try:
        groups = read_json(path)
        problems = find_problems(groups, Groups)
    except Invalid as error:
        problems = error.problems
    else:
        if ALL_THINGS in groups:
            problems.append(f"{ALL_THINGS} must have another name, because this one means every thing")
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return dict(groups)


def _read_file(path: Path) -> Config:
    raw = read_json(path)
    definition, directory = _definition_for(raw), path.parent.resolve()
    filled = msgspec.to_builtins(read(raw, definition, ALL_RULES))  # a default may be relative, too
    placed = with_absolute_paths(filled, definition, lambda path: str(directory / Path(path).expanduser()))
    return msgspec.convert(placed, definition)


def _definition_for(raw: Any) -> type[Config]:
    """Return the definition, with the targets of packages that a configuration names the types of."""
    detect = raw.get("detect") if isinstance(raw, dict) else None
    alerts = detect.get("alerts") if isinstance(detect, dict) else None
    types = [each.get("type") for each in alerts if isinstance(each, dict)] if isinstance(alerts, list) else []
    targets = find_targets(each for each in types if isinstance(each, str))
    if targets == TARGETS:
        return Config
    sinks: tuple[str, Any, Any] = ("alerts", list[Union[targets]], [])  # type: ignore[valid-type]
    section = msgspec.defstruct("Detect", [sinks], bases=(Detect,), frozen=True, kw_only=True)
    key = ("detect", section, field(default_factory=section))
    return cast("type[Config]", msgspec.defstruct("Config", [key], bases=(Config,), frozen=True, kw_only=True))


def _laid_over(section: S, given: Mapping[str, Any]) -> S:
    """Return a section with what is given in the place of its keys, and of those of the sections in it."""
    inner = {key: getattr(section, key) for key in section.__struct_fields__}
    sections = {
        key: _laid_over(each, given)
        for key, each in inner.items()
        if isinstance(each, Section) and not isinstance(each, Console)  # whose port and key are others than Detect's
    }
    return msgspec.structs.replace(section, **sections, **{key: given[key] for key in inner if key in given})
