"""The Greengrass component as `make component` leaves it in dist/greengrass: a recipe, and the zips that it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.errors import DeployError

RECIPE = "recipe.yaml"
BUCKET = "BUCKET_NAME"  # what the recipe has instead of a bucket's name, as the GDK wants it
BUILD = "build it with `make component`, then run this again"
_NAME = re.compile(r'^ComponentName: "([\w.-]+)"$', re.MULTILINE)
_VERSION = re.compile(r'^ComponentVersion: "([\w.+-]+)"$', re.MULTILINE)
_ARTIFACT = re.compile(rf'^ *- Uri: "s3://{BUCKET}/(\S+/([\w.-]+\.zip))"$', re.MULTILINE)
# Keys of `agent` that are the nucleus's affair in a component, that it would refuse or that are another program's.
NOT_IN_A_COMPONENT = (
    *("authentication", "client_id", "dry_run", "instance", "logfile", "logs_collection_interval", "proxy", "region"),
    *("provisioning", "state_directory", "thing_name", "topic"),
)
FOR_CLOUDWATCH = ("dimensions", "names", "namespace")  # keys of `metrics` that are another program's


@dataclass(frozen=True)
class Artifact:
    """A zip for one architecture."""

    key: str  # where it is in the bucket
    path: Path
    digest: str  # SHA-256, in hexadecimal digits


@dataclass(frozen=True)
class Component:
    """A version of the component."""

    name: str
    version: str
    recipe: str  # with BUCKET_NAME for the bucket
    artifacts: tuple[Artifact, ...]

    def recipe_in(self, bucket: str) -> str:
        """Return the recipe with the bucket that the zips are in."""
        return self.recipe.replace(f"s3://{BUCKET}/", f"s3://{bucket}/")

    @property
    def digests(self) -> dict[str, str]:
        """The zips' digests by their keys; a version's zips never change."""
        return {artifact.key: artifact.digest for artifact in self.artifacts}


def read_component(directory: Path) -> Component:
    """Read what was built; raise DeployError where something is missing, with what to run."""
    try:
        recipe = (directory / RECIPE).read_text("utf-8")
    except FileNotFoundError as error:
        raise DeployError(f"there is no {directory / RECIPE}: {BUILD}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"{directory / RECIPE} cannot be read ({error}): {BUILD}") from error
    name, version, artifacts = _NAME.search(recipe), _VERSION.search(recipe), _ARTIFACT.findall(recipe)
    if name is None or version is None or not artifacts:
        raise DeployError(f"{directory / RECIPE} is not a recipe of `make component`: {BUILD}")
    found = tuple(Artifact(key, directory / file, _digest(directory / file)) for key, file in artifacts)
    return Component(name[1], version[1], recipe, found)


def configure(device_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the component's configuration: what all devices report, but for what is the nucleus's affair."""
    left_out = {"agent": NOT_IN_A_COMPONENT, "metrics": FOR_CLOUDWATCH, "custom_metrics": ()}
    return {
        section: {key: value for key, value in device_config.get(section, {}).items() if key not in keys}
        for section, keys in left_out.items()
    }


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DeployError(f"{path}, which the recipe names, cannot be read ({error.strerror}): {BUILD}") from error
