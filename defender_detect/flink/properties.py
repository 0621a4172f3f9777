"""The job's properties: groups of strings, in the form in which Managed Service for Apache Flink hands them over.

There they are in /etc/flink/application_properties.json; elsewhere in a file that the command line names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar, Union

import msgspec
from msgspec import Meta

from defender_detect.errors import ConfigError
from device_defender.definition import that
from device_defender.validation import Invalid, find_problems, read_json
from device_defender.wording import did_you_mean

PLACE = Path("/etc/flink/application_properties.json")
OF_FLINK = "kinesis.analytics."  # what begins the groups that are Managed Flink's own
CLIENTS = "kafka."  # what begins the keys that are handed to Kafka's client
MOST_SECONDS = 365 * 24 * 3600.0

S = TypeVar("S", bound="Group")


def is_seconds(text: str) -> bool:
    """Tell whether a property is a number of seconds."""
    try:
        return 0 <= float(text) <= MOST_SECONDS
    except ValueError:
        return False


Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Seconds = Annotated[str, that(is_seconds, f"a number of seconds from 0 to {MOST_SECONDS:.0f}, in quotes")]
Region = Annotated[
    str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]+$(?!\n)"), that(None, "a region of AWS, such as eu-west-1")
]
StreamArn = Annotated[
    str,
    Meta(pattern=r"^arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}$(?!\n)"),
    that(None, "the ARN of a Kinesis stream, arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"),
]
TopicArn = Annotated[
    str,
    Meta(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}$(?!\n)"),
    that(None, "the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME"),
]


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of properties."""


class Job(Group, frozen=True):
    """What holds for the whole job."""

    rules: Text
    """The rules document that the job starts with."""
    updates: Optional[Text] = None
    """A directory's URI: each new file in it is a rules document to go on with."""
    minimum_interval: Seconds = "300"
    """Refuse reports that come sooner after the thing's last one."""
    percentiles: Literal["on", "off"] = "on"
    """Whether statisticalThreshold is evaluated."""
    checkpoint_seconds: Seconds = "10"
    """Between checkpoints; 0 leaves it to the cluster."""
    execution_mode: Literal["thread", "process"] = "thread"
    """How Flink runs Python."""


class Files(Group, frozen=True):
    """Files, one record a line, in a directory that its URI or path says."""

    path: Text
    watch_seconds: Seconds = "0"
    """A source: look for new files so often; 0 reads once."""


class Kinesis(Group, frozen=True):
    """A stream of Amazon Kinesis."""

    stream_arn: StreamArn
    region: Region
    initial_position: Literal["LATEST", "TRIM_HORIZON"] = "LATEST"


class Kafka(Group, frozen=True):
    """A topic of Apache Kafka."""

    bootstrap_servers: Text
    topic: Text
    group_id: Text = "amazon-defender-detect"
    guarantee: Literal["at-least-once", "exactly-once"] = "at-least-once"
    client: Mapping[str, str] = {}  # what begins with `kafka.`, without that


class Sns(Group, frozen=True):
    """A topic of Amazon SNS."""

    topic_arn: TopicArn


class Table(Group, frozen=True):
    """A table of Amazon DynamoDB with the keys `violationId` and `type`, both strings."""

    table: Text
    region: Region


Place = Union[Files, Kinesis, Kafka, Sns, Table]
KINDS: Mapping[str, Mapping[str, type[Any]]] = {  # what stands before the point of a group's name, and behind it
    "source": {"files": Files, "kinesis": Kinesis, "kafka": Kafka},
    "alarms": {"files": Files, "kinesis": Kinesis, "kafka": Kafka, "sns": Sns, "dynamodb": Table},
    "refused": {"files": Files, "kinesis": Kinesis, "kafka": Kafka},
}
GROUPS: Mapping[str, type[Any]] = {
    "detect": Job,
    **{f"{use}.{kind}": group for use, kinds in KINDS.items() for kind, group in kinds.items()},
}


class Properties(msgspec.Struct, frozen=True):
    """Everything that is said about a job."""

    job: Job
    source: Place
    alarms: tuple[Place, ...]
    refused: tuple[Place, ...]


def read_properties(path: Path = PLACE) -> Properties:
    """Read the properties of a job; raise ConfigError with everything that is wrong with them."""
    try:
        document = read_json(path)
    except Invalid as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error
    return parse_properties(document, path)


def parse_properties(document: Any, path: Path = PLACE) -> Properties:
    """Return the properties that a document holds; raise ConfigError with everything that is wrong."""
    try:
        found = msgspec.convert(document, list[_Given])
    except msgspec.ValidationError as error:
        raise ConfigError([f'{path}: must be [{{"PropertyGroupId": ..., "PropertyMap": {{...}}}}]: {error}']) from error
    groups = {each.PropertyGroupId: each.PropertyMap for each in found if not each.PropertyGroupId.startswith(OF_FLINK)}
    problems = [*_find_wrong_groups(groups), *_find_wrong_values(groups)]
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    read = {name: msgspec.convert(_gather(values), GROUPS[name]) for name, values in groups.items()}
    of = {use: tuple(read[name] for name in read if name.startswith(f"{use}.")) for use in KINDS}
    return Properties(read["detect"], of["source"][0], of["alarms"], of["refused"])


class _Given(msgspec.Struct):
    PropertyGroupId: str  # noqa: N815 - as AWS writes it
    PropertyMap: dict[str, str]  # noqa: N815


def _find_wrong_groups(groups: Mapping[str, object]) -> list[str]:
    problems = [
        f"{name} is no group of properties{did_you_mean(name, GROUPS) or '; there are ' + ', '.join(GROUPS)}"
        for name in groups
        if name not in GROUPS
    ]
    sources = [name for name in groups if name.startswith("source.")]
    if "detect" not in groups:
        problems.append("the group detect is missing; it says which rules the job starts with")
    if len(sources) != 1:
        problems.append(f"there must be one of {_choices('source')}, got {' and '.join(sources) or 'none of them'}")
    if not any(name.startswith("alarms.") for name in groups):
        problems.append(f"alarms go nowhere; there must be at least one of {_choices('alarms')}")
    return problems


def _find_wrong_values(groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [
        f"{name}: {problem}"
        for name, values in groups.items()
        if name in GROUPS
        for problem in find_problems(_gather(values), GROUPS[name])
    ]


def _choices(use: str) -> str:
    return ", ".join(f"{use}.{kind}" for kind in KINDS[use])


def _gather(values: Mapping[str, str]) -> dict[str, Any]:
    """Return a group with what is for Kafka's client apart."""
    client = {key.removeprefix(CLIENTS): value for key, value in values.items() if key.startswith(CLIENTS)}
    plain = {key: value for key, value in values.items() if not key.startswith(CLIENTS)}
    return {**plain, "client": client} if client else plain


def sequence_of(places: Sequence[Place], kind: type[S]) -> list[S]:
    """Return the places of one kind."""
    return [each for each in places if isinstance(each, kind)]
