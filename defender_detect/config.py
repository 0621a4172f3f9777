"""The one definition of Detect's configuration: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/detect-schema.json` and
the reference (`reference.tables`); the string below a key says what it does. `agent` is who Detect is and where,
`detect` what is normal and what to keep.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, Union
from urllib.parse import urlsplit

from msgspec import Meta, field

from defender_detect.alerts.grouping import GROUP_SECONDS
from defender_detect.alerts.target import Target
from defender_detect.alerts.targets import RULES, TARGETS
from defender_detect.evaluate.detector import ALL_THINGS, MOST_THINGS
from defender_detect.judge.topics import THING_LEVEL
from defender_detect.store.store import MOST_BYTES
from device_defender.definition import PATH, Section, that
from device_defender.hosts import is_host
from device_defender.shards import MOST as MOST_SHARDS
from device_defender.shards import broken_rules, with_shard
from device_defender.validation import Rules
from device_defender.wording import shown

if TYPE_CHECKING:
    Alert = Target
else:
    Alert = Union[TARGETS]

LONGEST = 1024  # characters of a path
LONGEST_ARN = 2048  # characters of a target, as in AttachSecurityProfile
LEAST_BYTES = 10_000_000  # of the database; less is no more than a try
LARGEST = 2**53  # of a whole number, as JSON carries it anywhere


def is_path(text: str) -> bool:
    """Tell whether a string can be a path; `~user` is none without such a user."""
    try:
        return "\0" not in text and bool(Path(text).expanduser())
    except RuntimeError:
        return False


def is_origin(text: str) -> bool:
    """Tell whether a string is an address of the web without a path."""
    try:
        parts = urlsplit(text.rstrip("/"))
        is_plain = not (parts.path or parts.query or parts.fragment or parts.username) and parts.port != 0
    except ValueError:  # of half an address of IPv6, or of a port that is none
        return False
    return parts.scheme in ("http", "https") and is_plain and is_host(parts.hostname or "") and text.isascii()


def is_topic(text: str) -> bool:
    """Tell whether reports can arrive on a topic: their things must be told apart."""
    return text.split("/").count(THING_LEVEL) == 1 and not set(text) & set("+#\0")


PathName = Annotated[
    str, PATH, Meta(min_length=1, max_length=LONGEST), that(is_path, f"a path of 1 to {LONGEST} characters")
]
Host = Annotated[str, that(is_host, "a host name or an address")]
Origin = Annotated[str, that(is_origin, "an address like https://detect.example.com, without a path")]
FreePort = Annotated[int, Meta(ge=0, le=65535)]  # 0 is one that nobody has
Days = Annotated[float, Meta(ge=0.01, le=36_500)]
GroupName = Annotated[str, Meta(min_length=1, max_length=LONGEST_ARN)]


class Authentication(Section, frozen=True):
    """Who Detect is, and where."""

    endpoint: Optional[Host] = None
    """The broker's name or address. With the built-in broker where it listens, by default 127.0.0.1."""
    port: FreePort = 8883
    """Its port. With the built-in broker 0 is a free one."""
    root_ca: Optional[PathName] = None
    """The authorities to trust (PEM)."""
    certificate: Optional[PathName] = None
    """Detect's certificate (PEM)."""
    private_key: Optional[PathName] = None
    """Its private key (PEM)."""
    revoked: Optional[PathName] = None
    """With the built-in broker: a file of the certificates that are shut out. Default: `revoked.txt` beside
    `root_ca`."""


class Renewal(Section, frozen=True):
    """Things may renew their certificates over the air, with the built-in broker."""

    authority: PathName = "authority"
    """The directory of the authority that `amazon-defender-detect init` made. Its key must have no pass phrase; a
    service is given it as the systemd credential `authority.key`."""
    days: Optional[Annotated[float, Meta(ge=7, le=36_500)]] = None
    """How many days a certificate lasts that is issued over the air. The thing renews it when less than eight weeks of
    it are left, or its last third. Default: as long as the authority."""


class Agent(Section, frozen=True):
    """Who Detect is, where, and where it keeps what it finds."""

    authentication: Authentication = field(default_factory=Authentication)
    """Endpoint and credentials."""
    embedded_broker: bool = False
    """Also run the built-in MQTT broker."""
    renewal: Optional[Renewal] = None
    """With the built-in broker: things may renew their certificates over the air. Without it none is issued."""
    topic: Optional[
        Annotated[str, that(is_topic, f"a topic with {THING_LEVEL} as one of its levels, and without + and #")]
    ] = None
    """A topic that reports arrive on, with `{thing_name}` as one of its levels. `{shard:16}` in it, as in the
    publisher's `agent.topic`, stands for the shards of several Detects. Default: Device Defender's reserved topics, and
    no other with the built-in broker."""
    shard: Optional[Annotated[int, Meta(ge=0, le=MOST_SHARDS - 1)]] = None
    """Which shard of `topic` this Detect answers, from 0. It keeps what it finds in a directory of this number below
    `state_directory`."""
    minimum_interval: Annotated[float, Meta(ge=0, le=365 * 24 * 3600)] = 300.0
    """Reject reports that come sooner than so many seconds after the thing's last one."""
    state_directory: Optional[PathName] = None
    """Where everything is kept. Without one nothing is, and a restart forgets all alarms. Default: `$STATE_DIRECTORY`
    (set by systemd)."""
    debug: bool = False
    """Log much more, every report included."""

    @property
    def own_topic(self) -> Optional[str]:
        """The topic that reports arrive on, with the shard in it; those of all shards where none is chosen."""
        if self.topic is None or self.shard is None:
            return self.topic
        return with_shard(self.topic, self.shard)


class Source(Section, frozen=True):
    """A security profile's file, or a directory of them, and what it is for."""

    path: PathName
    """The security profile, or a directory of them."""
    targets: Annotated[list[GroupName], Meta(min_length=1)] = field(default_factory=lambda: [ALL_THINGS])
    """Groups of `detect.thing_groups`, or `all`."""


class Console(Section, frozen=True):
    """Where `amazon-defender-detect console` shows its pages, and to whom."""

    address: Host = "127.0.0.1"
    """Where to listen. Another address than this machine's own needs TLS or a proxy."""
    port: FreePort = 8790
    """Its port; 0 is a free one."""
    names: list[Host] = []
    """Names by which browsers reach that address; requests for others are refused."""
    certificate: Optional[PathName] = None
    """For TLS: the pages' certificate (PEM)."""
    private_key: Optional[PathName] = None
    """Its private key (PEM)."""
    proxy: Optional[Origin] = None
    """Behind a proxy that speaks TLS: the address by which browsers reach it."""
    token_file: Optional[PathName] = None
    """A file of mode 0600 with the token that opens the pages and `/metrics`. Default: a new one at each start, which
    is printed."""
    silent_after: Annotated[float, Meta(ge=1, le=365 * 24 * 3600)] = 900.0
    """A thing that has not reported for so many seconds is shown as silent."""


class Api(Section, frozen=True):
    """Where `amazon-defender-detect console` answers AWS's API, and to whom."""

    port: FreePort
    """Its port; 0 is a free one."""
    address: Host = "127.0.0.1"
    """Where to listen. Another address than this machine's own needs keys, and TLS or a proxy."""
    names: list[Host] = []
    """Names by which programs reach that address; requests for others are refused."""
    certificate: Optional[PathName] = None
    """For TLS: its certificate (PEM)."""
    private_key: Optional[PathName] = None
    """Its private key (PEM)."""
    proxy: Optional[Origin] = None
    """Behind a proxy that speaks TLS: the address by which programs reach it."""
    keys: Optional[PathName] = None
    """A JSON file of mode 0600 with secrets by access key. With it every request must be signed with one of them, as
    the AWS CLI and boto3 do."""


class Detect(Section, frozen=True):
    """What is normal, who is told when it is not, and how much is kept."""

    profiles: list[Union[PathName, Source]] = []
    """Security profiles, or directories of them; a path alone is for all things."""
    thing_groups: Optional[PathName] = None
    """A JSON file of thing groups, each a name and its things."""
    metrics_days: Days = 14.0
    """How many days the values of metrics are kept."""
    violations_days: Days = 30.0
    """How many days violations are kept."""
    most_bytes: Annotated[
        int, Meta(ge=LEAST_BYTES, le=LARGEST), that(None, f"a whole number from {LEAST_BYTES} to {LARGEST}")
    ] = MOST_BYTES
    """How large the database may become. Beyond that the oldest values of metrics are removed early, and violations
    only when no value is left; the log says so. Alarms that are on stay."""
    most_things: Annotated[int, Meta(ge=1, le=LARGEST), that(None, f"a whole number from 1 to {LARGEST}")] = MOST_THINGS
    """How many things are remembered, at about 1.5 KB of memory each: those that reported within two days. Reports of
    more things than that are accepted, but not evaluated, and the log says so."""
    group_seconds: Annotated[float, Meta(ge=0, le=24 * 3600)] = GROUP_SECONDS
    """The first alarm of a behavior is sent at once; others that begin or end within so many seconds are sent together,
    with their number and first names. 0 sends each alone."""
    alerts: list[Alert] = []
    """Who hears of alarms, beside the log; see below."""
    console: Console = field(default_factory=Console)
    """The pages of `amazon-defender-detect console`."""

    api: Optional[Api] = None
    """AWS's own API, which `amazon-defender-detect console` then answers as well."""

    @property
    def sources(self) -> list[Source]:
        """The profiles, each with what it is for."""
        return [each if isinstance(each, Source) else Source(path=each) for each in self.profiles]


class Config(Section, frozen=True):
    """The configuration file of amazon-defender-detect."""

    schema: Optional[str] = field(name="$schema", default=None)
    """For editors: the path of `detect-schema.json`; the program ignores it."""
    agent: Agent = field(default_factory=Agent)
    """Detect itself."""
    detect: Detect = field(default_factory=Detect)
    """What is normal, and who is told."""


def topic_problems(agent: Agent, path: str) -> Iterator[str]:
    """Yield what is wrong with the shards of a topic."""
    if agent.topic is not None:
        yield from (f"{path}.topic {rule}, got {shown(agent.topic)}" for rule in broken_rules(agent.topic))


ALL_RULES: Rules = {**RULES, Agent: (topic_problems,)}
