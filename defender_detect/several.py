"""Several Detects on one machine, a shard of the things each: whom a question is about, and what each of them says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import DetectError, StoreError, all_of
from defender_detect.store.reader import Reader
from defender_detect.store.several import AnyReader, Readers
from device_defender.shards import shards_of

NO_DIRECTORY = "give Detect's CONFIG with agent.state_directory, or --state-directory"


class One(NamedTuple):
    """One of several Detects: its configuration, what it is called, and the options that choose it."""

    config: Config
    name: str  # empty where there is only one
    options: Mapping[str, Any]


def each_of(path: Path | None, given: Mapping[str, Any]) -> list[One]:
    """Return the Detects that a question is about: those of the directories given, or else one for each shard.

    `given` are the options; a shard that they choose is one alone. Raises ConfigError for what cannot be used.
    """
    directories = list({os.path.realpath(each): each for each in given.get("state_directories") or ()}.values())
    config = read_config(path, given)
    if len(directories) > 1:
        chosen = [(f"{directory}", {"state_directory": directory}) for directory in directories]
    else:
        shards = None if directories or config.agent.shard is not None else shards_of(config.agent.topic)
        if shards is None:
            return [One(config, "", given)]
        chosen = [(f"shard {shard}", {"shard": shard}) for shard in range(shards)]
    return [One(read_config(path, {**given, **more}), name, {**given, **more}) for name, more in chosen]


def open_all(detects: Sequence[One], otherwise: str = "") -> tuple[AnyReader, list[StoreError]]:
    """Return what reads all that the Detects keep, and why that of some cannot be read.

    Raises all of these errors, as one, where there is nothing to be read; `otherwise` is what could be given else.
    """
    if len(detects) == 1:
        return Reader(directory_of(detects[0], otherwise)), []
    problems, readers = [], []
    for each in detects:
        reader = Reader(directory_of(each, otherwise))
        try:
            reader.check()
            readers.append(reader)
        except StoreError as error:
            problems.append(error)
    if not readers:
        raise all_of(problems)
    return Readers(readers), problems


def directory_of(detect: One, otherwise: str = "") -> Path:
    """Return a Detect's state directory; raise DetectError where it has none."""
    if detect.config.agent.state_directory is None:
        raise DetectError(NO_DIRECTORY + otherwise)
    return Path(detect.config.agent.state_directory)


def show_problems(problems: Sequence[Exception], asked: int) -> None:
    """Say on standard error what an answer is without."""
    for line in described(problems, asked):
        print(line, file=sys.stderr)


def described(problems: Sequence[Exception], asked: int) -> Iterator[str]:
    """Yield the lines that say what an answer is without."""
    if problems:
        yield f"the answer is of {asked - len(problems)} of {asked} state directories:"
        yield from map(str, problems)
