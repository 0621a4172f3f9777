"""What a deployer wants, from files. One's own lie beside those that came with the software, and win over them.

git ignores what has `.local` in its name, so that nothing that is pulled is ever in conflict with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.bundles import read_device_config
from infrastructure.errors import DeployError
from infrastructure.profiles import Profile, custom_metrics, read_profiles
from infrastructure.things import read_things

LIST = Path("things.txt")  # where deploy.py is run
PROFILES, DEVICE_CONFIG = "security-profiles", "amazon-defender-publisher-fleet.json"  # in configs/


@dataclass(frozen=True)
class Wanted:
    """The fleet as it is to be."""

    source: Path  # the list of things
    things: tuple[str, ...]
    device_config: Mapping[str, Any]  # what every device has in its configuration
    profiles: tuple[Profile, ...]
    metrics: Mapping[str, str]  # the custom metrics that are needed: name to type
    config_source: Path = Path(DEVICE_CONFIG)  # where device_config is from


def read_wanted(source: Path | None, configs: Path, detect: bool = True, may_be_empty: bool = False) -> Wanted:
    """Return what is wanted, from the list that was asked for, and from one's own files where there are any.

    Raises DeployError with what is wrong in a file; that no thing is listed is, unless that `may_be_empty`.
    """
    source = source or _find_list()
    things = read_things(source, may_be_empty)
    config_source = _own_or(configs / DEVICE_CONFIG)
    device_config = read_device_config(config_source)
    profiles = read_profiles(_own_or(configs / PROFILES)) if detect else ()
    return Wanted(source, things, device_config, profiles, custom_metrics(profiles, device_config), config_source)


def own(path: Path) -> Path:
    """Return where one's own file is: things.local.txt for things.txt."""
    return path.with_name(f"{path.stem}.local{path.suffix}")


def _own_or(shipped: Path) -> Path:
    return own(shipped) if own(shipped).exists() else shipped


def _find_list() -> Path:
    """Return the list; DeployError where things.txt has names that nobody would look at, and so would be deleted."""
    chosen = _own_or(LIST)
    if chosen != LIST and LIST.exists() and (names := read_things(LIST, may_be_empty=True)):
        raise DeployError(
            f"{LIST} names {names[0]}, but {chosen} is there as well and would be read instead: move all names into "
            "one of them"
        )
    return chosen
