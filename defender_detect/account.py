"""An AWS account's security profiles, and whom they are for, read into files that Detect takes as they are.

boto3 is imported only here, when it is asked for; needed are iot:List* and iot:Describe*.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from defender_daemon import files
from defender_detect.errors import DetectError
from defender_detect.evaluate.detector import ALL_THINGS
from defender_detect.evaluate.targets import UNREGISTERED, name_target
from defender_detect.profiles import find_left_to_aws

CONFIG, GROUPS, METRICS, DIMENSIONS = "detect.json", "thing-groups.json", "custom-metrics.json", "dimensions.json"
PROFILES = "profiles"
OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")  # than a file's name has on every system

Document = dict[str, Any]


def carry_out(options: Mapping[str, Any]) -> Iterator[str]:
    """Read an account into a directory, and yield the lines that say so; raise DetectError if that cannot be done."""
    directory: Path = options["directory"]
    refuse_full(directory)
    client = open_client(options["profile"], options["region"])
    try:
        yield from import_account(client, directory)
    except Exception as error:  # botocore's errors cannot be named without importing it
        if not type(error).__module__.startswith("botocore"):
            raise
        raise DetectError(explain(error)) from error


def open_client(profile: str | None, region: str | None) -> Any:
    """Return a client of AWS IoT; raises DetectError where boto3, a region or the profile is missing."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as error:
        raise DetectError(
            f"importing from AWS needs boto3: {shlex.quote(sys.executable)} -m pip install boto3"
        ) from error
    try:
        return boto3.Session(profile_name=profile, region_name=region).client("iot")
    except BotoCoreError as error:
        raise DetectError(explain(error)) from error


def explain(error: Exception) -> str:
    """Return a sentence for what AWS or boto3 refused, with what to do."""
    name, said = type(error).__name__, str(error).strip().rstrip(".")
    advice = {
        "NoRegionError": "give --region, or set AWS_REGION",
        "NoCredentialsError": "give --profile, or run `aws configure`",
        "ProfileNotFound": "see `aws configure list-profiles`",
    }.get(name, "the credentials need iot:List* and iot:Describe*" if "AccessDenied" in said else "")
    return f"the account cannot be read: {said}{f'; {advice}' if advice else ''}"


def refuse_full(directory: Path) -> None:
    """Raise DetectError if a directory has files: nothing of anybody's is to be replaced."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise DetectError(f"{directory} must be empty or new: what is there would be mixed with the account's")
    except OSError as error:
        raise DetectError(f"{directory} cannot be used: {error.strerror}") from error


def import_account(client: Any, directory: Path) -> Iterator[str]:
    """Write all files, the configuration last, and yield a line for each kind, and for what is not evaluated here."""
    profiles = list(read_profiles(client))
    (directory / PROFILES).mkdir()
    sources, notes, taken = [], [], set[str]()
    groups: dict[str, list[str]] = {}
    for document in profiles:
        name = document["securityProfileName"]
        path = f"{PROFILES}/{file_name(name, taken)}"
        taken.add(path)
        write(directory / path, document)
        targets = read_targets(client, name)
        for group in sorted(set(targets) - {ALL_THINGS, UNREGISTERED} - set(groups)):
            groups[group] = read_things(client, group)
        if targets:
            sources.append({"path": path, "targets": targets})
        else:
            notes.append(f"{name} is attached to nothing, so that it is in no configuration")
        notes += [f"{name}: {sentence}" for sentence in find_left_to_aws(document)]
    yield f"{len(profiles)} security profile{'s'[: len(profiles) != 1]} in {directory / PROFILES}"
    write(directory / GROUPS, groups)
    yield f"{len(groups)} thing group{'s'[: len(groups) != 1]}, with the things of today, in {directory / GROUPS}"
    for path, kept in ((METRICS, read_custom_metrics(client)), (DIMENSIONS, read_dimensions(client))):
        write(directory / path, list(kept))
        yield f"{path.removesuffix('.json').replace('-', ' ')} in {directory / path}, to look up: Detect needs none"
    write(directory / CONFIG, {"detect": {"profiles": sources, "thing_groups": GROUPS}})
    yield f"whom they are for is in {directory / CONFIG}: its `detect` belongs into Detect's configuration"
    yield from notes


def read_profiles(client: Any) -> Iterator[Document]:
    """Yield every security profile as DescribeSecurityProfile prints it, with times as in JSON."""
    for each in pages(client, "list_security_profiles", "securityProfileIdentifiers"):
        yield without_metadata(client.describe_security_profile(securityProfileName=each["name"]))


def read_targets(client: Any, profile: str) -> list[str]:
    """Return whom a profile is for, as `detect.profiles[].targets` names it."""
    found = pages(client, "list_targets_for_security_profile", "securityProfileTargets", securityProfileName=profile)
    names = []
    for arn in (each["arn"] for each in found):
        names.append(name_target(arn))
    return sorted(set(names))


def read_things(client: Any, group: str) -> list[str]:
    """Return the things of a group, those of the groups in it included."""
    return sorted(pages(client, "list_things_in_thing_group", "things", thingGroupName=group, recursive=True))


def read_custom_metrics(client: Any) -> Iterator[Document]:
    """Yield every custom metric as DescribeCustomMetric prints it."""
    for name in pages(client, "list_custom_metrics", "metricNames"):
        yield without_metadata(client.describe_custom_metric(metricName=name))


def read_dimensions(client: Any) -> Iterator[Document]:
    """Yield every dimension as DescribeDimension prints it."""
    for name in pages(client, "list_dimensions", "dimensionNames"):
        yield without_metadata(client.describe_dimension(name=name))


def pages(client: Any, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
    """Yield what all pages of an answer have."""
    for page in client.get_paginator(operation).paginate(**parameters):
        yield from page[key]


def without_metadata(answer: Mapping[str, Any]) -> Document:
    """Return an answer without what is about the answer itself."""
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def file_name(name: str, taken: Collection[str]) -> str:
    """Return a name for a profile's file; names that differ only in case are files of their own everywhere."""
    plain = OTHER_CHARACTERS.sub("-", name)
    known = {Path(each).stem.lower() for each in taken}
    candidates = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
    return next(f"{each}.json" for each in candidates if each.lower() not in known)


def write(path: Path, document: Any) -> None:
    """Write a document, whole or not at all; raises DetectError."""
    text = json.dumps(document, indent=2, default=as_json) + "\n"
    try:
        files.replace(path, text.encode())
    except OSError as error:
        raise DetectError(f"{path} cannot be written: {error.strerror}") from error


def as_json(value: object) -> str:
    """Return a time as AWS's command line prints it."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")
