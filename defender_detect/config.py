"""The one definition of Detect's configuration: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/detect-schema.json` and
the reference (`reference.tables`). `agent` is who Detect is and where, `detect` what is normal and what to keep.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar, Union
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from defender_detect.alerts.grouping import GROUP_SECONDS
from defender_detect.alerts.target import Target
from defender_detect.alerts.targets import RULES, TARGETS, find_targets
from defender_detect.errors import AlertSettingError, ConfigError
from defender_detect.evaluate.detector import ALL_THINGS, MOST_THINGS
from defender_detect.judge.topics import THING_LEVEL
from defender_detect.receive.endpoint import is_host
from defender_detect.store.store import MOST_BYTES
from device_defender.definition import doc, that
from device_defender.shards import EXAMPLE, broken_rules, shards_of, with_shard
from device_defender.shards import MOST as MOST_SHARDS
from device_defender.validation import Invalid, Rules, find_problems, read, read_json
from device_defender.wording import shown

if TYPE_CHECKING:
    Alert = Target
else:
    Alert = Union[TARGETS]

LONGEST = 1024  # characters of a path
LONGEST_ARN = 2048  # characters of a target, as in AttachSecurityProfile
LEAST_BYTES = 10_000_000  # of the database; less is no more than a try
LARGEST = 2**53  # of a whole number, as JSON carries it anywhere
PATH_KEYS = (  # whose relative values start at the file's directory
    "root_ca",
    "certificate",
    "private_key",
    "revoked",
    "authority",
    "state_directory",
    "thing_groups",
    "path",
    "token_file",
    "keys",
)


def is_path(text: str) -> bool:
    """Tell whether a string can be a path; `~user` is none without such a user."""
    try:
        return "\0" not in text and bool(Path(text).expanduser())
    except RuntimeError:
        return False


def is_topic(text: str) -> bool:
    """Tell whether reports can arrive on a topic: their things must be told apart."""
    return text.split("/").count(THING_LEVEL) == 1 and not set(text) & set("+#\0")


def is_origin(text: str) -> bool:
    """Tell whether a string is an address of the web without a path."""
    parts = urlsplit(text.rstrip("/"))
    is_plain = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and is_plain and bool(parts.hostname) and text.isascii()


PathName = Annotated[str, Meta(min_length=1, max_length=LONGEST), that(is_path, f"a path of 1 to {LONGEST} characters")]
Days = Annotated[float, Meta(ge=0.01, le=36_500)]
GroupName = Annotated[str, Meta(min_length=1, max_length=LONGEST_ARN)]
ThingName = Annotated[str, Meta(min_length=1, max_length=128)]
Groups = dict[GroupName, list[ThingName]]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the configuration: every key is known, and none can be changed once it is read."""


class Authentication(Section, frozen=True):
    """Who Detect is, and where."""

    endpoint: Annotated[
        Optional[Annotated[str, that(is_host, "a host name or an address")]],
        doc("The broker's name or address. With the built-in broker where it listens, by default 127.0.0.1."),
    ] = None
    port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)], doc("Its port. With the built-in broker 0 is a free one.")
    ] = 8883
    root_ca: Annotated[Optional[PathName], doc("The authorities to trust (PEM).")] = None
    certificate: Annotated[Optional[PathName], doc("Detect's certificate (PEM).")] = None
    private_key: Annotated[Optional[PathName], doc("Its private key (PEM).")] = None
    revoked: Annotated[
        Optional[PathName],
        doc(
            "With the built-in broker: a file of the certificates that are shut out. "
            "Default: `revoked.txt` beside `root_ca`."
        ),
    ] = None


class Renewal(Section, frozen=True):
    """Things may renew their certificates over the air, with the built-in broker."""

    authority: Annotated[
        PathName,
        doc(
            "The directory of the authority that `amazon-defender-detect init` made. Its key must have no "
            "pass phrase; a service is given it as the systemd credential `authority.key`."
        ),
    ] = "authority"
    days: Annotated[
        Optional[Annotated[float, Meta(ge=7, le=36_500)]],
        doc(
            "How many days a certificate lasts that is issued over the air. The thing renews it when less "
            "than eight weeks of it are left, or its last third. Default: as long as the authority."
        ),
    ] = None


class Agent(Section, frozen=True):
    """Who Detect is, where, and where it keeps what it finds."""

    authentication: Annotated[Authentication, doc("Endpoint and credentials.")] = field(default_factory=Authentication)
    embedded_broker: Annotated[bool, doc("Also run the built-in MQTT broker.")] = False
    renewal: Annotated[
        Optional[Renewal],
        doc("With the built-in broker: things may renew their certificates over the air. Without it none is issued."),
    ] = None
    topic: Annotated[
        Optional[
            Annotated[str, that(is_topic, f"a topic with {THING_LEVEL} as one of its levels, and without + and #")]
        ],
        doc(
            f"A topic that reports arrive on, with `{THING_LEVEL}` as one of its levels. `{EXAMPLE}` in "
            "it, as in the publisher's `agent.topic`, stands for the shards of several Detects. Default: Device "
            "Defender's reserved topics, and no other with the built-in broker."
        ),
    ] = None
    shard: Annotated[
        Optional[Annotated[int, Meta(ge=0, le=MOST_SHARDS - 1)]],
        doc(
            "Which shard of `topic` this Detect answers, from 0. It keeps what it finds in a directory of "
            "this number below `state_directory`."
        ),
    ] = None
    minimum_interval: Annotated[
        Annotated[float, Meta(ge=0, le=365 * 24 * 3600)],
        doc("Reject reports that come sooner than so many seconds after the thing's last one."),
    ] = 300.0
    state_directory: Annotated[
        Optional[PathName],
        doc(
            "Where everything is kept. Without one nothing is, and a restart forgets all alarms. "
            "Default: `$STATE_DIRECTORY` (set by systemd)."
        ),
    ] = None
    debug: Annotated[bool, doc("Log much more, every report included.")] = False

    @property
    def own_topic(self) -> Optional[str]:
        """The topic that reports arrive on, with the shard in it; those of all shards where none is chosen."""
        if self.topic is None or self.shard is None:
            return self.topic
        return with_shard(self.topic, self.shard)


class Source(Section, frozen=True):
    """A security profile's file, or a directory of them, and what it is for."""

    path: Annotated[PathName, doc("The security profile, or a directory of them.")]
    targets: Annotated[
        Annotated[list[GroupName], Meta(min_length=1)], doc(f"Groups of `detect.thing_groups`, or `{ALL_THINGS}`.")
    ] = field(default_factory=lambda: [ALL_THINGS])


class Console(Section, frozen=True):
    """Where `amazon-defender-detect console` shows its pages, and to whom."""

    address: Annotated[
        Annotated[str, that(is_host, "a host name or an address")],
        doc("Where to listen. Another address than this machine's own needs TLS or a proxy."),
    ] = "127.0.0.1"
    port: Annotated[Annotated[int, Meta(ge=0, le=65535)], doc("Its port; 0 is a free one.")] = 8790
    names: Annotated[
        list[Annotated[str, that(is_host, "a host name or an address")]],
        doc("Names by which browsers reach that address; requests for others are refused."),
    ] = field(default_factory=list)
    certificate: Annotated[Optional[PathName], doc("For TLS: the pages' certificate (PEM).")] = None
    private_key: Annotated[Optional[PathName], doc("Its private key (PEM).")] = None
    proxy: Annotated[
        Optional[Annotated[str, that(is_origin, "an address like https://detect.example.com, without a path")]],
        doc("Behind a proxy that speaks TLS: the address by which browsers reach it."),
    ] = None
    token_file: Annotated[
        Optional[PathName],
        doc(
            "A file of mode 0600 with the token that opens the pages and `/metrics`. Default: a new one "
            "at each start, which is printed."
        ),
    ] = None
    silent_after: Annotated[
        Annotated[float, Meta(ge=1, le=365 * 24 * 3600)],
        doc("A thing that has not reported for so many seconds is shown as silent."),
    ] = 900.0


class Api(Section, frozen=True):
    """Where `amazon-defender-detect console` answers AWS's API, and to whom."""

    port: Annotated[Annotated[int, Meta(ge=0, le=65535)], doc("Its port; 0 is a free one.")]
    address: Annotated[
        Annotated[str, that(is_host, "a host name or an address")],
        doc("Where to listen. Another address than this machine's own needs keys, and TLS or a proxy."),
    ] = "127.0.0.1"
    names: Annotated[
        list[Annotated[str, that(is_host, "a host name or an address")]],
        doc("Names by which programs reach that address; requests for others are refused."),
    ] = field(default_factory=list)
    certificate: Annotated[Optional[PathName], doc("For TLS: its certificate (PEM).")] = None
    private_key: Annotated[Optional[PathName], doc("Its private key (PEM).")] = None
    proxy: Annotated[
        Optional[Annotated[str, that(is_origin, "an address like https://detect.example.com, without a path")]],
        doc("Behind a proxy that speaks TLS: the address by which programs reach it."),
    ] = None
    keys: Annotated[
        Optional[PathName],
        doc(
            "A JSON file of mode 0600 with secrets by access key. With it every request must be signed "
            "with one of them, as the AWS CLI and boto3 do."
        ),
    ] = None


class Detect(Section, frozen=True):
    """What is normal, who is told when it is not, and how much is kept."""

    profiles: Annotated[
        list[Union[PathName, Source]], doc("Security profiles, or directories of them; a path alone is for all things.")
    ] = field(default_factory=list)
    thing_groups: Annotated[Optional[PathName], doc("A JSON file of thing groups, each a name and its things.")] = None
    metrics_days: Annotated[Days, doc("How many days the values of metrics are kept.")] = 14.0
    violations_days: Annotated[Days, doc("How many days violations are kept.")] = 30.0
    most_bytes: Annotated[
        int,
        Meta(ge=LEAST_BYTES, le=LARGEST),
        doc(
            "How large the database may become. Beyond that the oldest values of metrics are removed "
            "early, and violations only when no value is left; the log says so. Alarms that are on stay."
        ),
        that(None, f"a whole number from {LEAST_BYTES} to {LARGEST}"),
    ] = MOST_BYTES
    most_things: Annotated[
        int,
        Meta(ge=1, le=LARGEST),
        doc(
            "How many things are remembered, at about 1.5 KB of memory each: those that reported within "
            "two days. Reports of more things than that are accepted, but not evaluated, and the log says so."
        ),
        that(None, f"a whole number from 1 to {LARGEST}"),
    ] = MOST_THINGS
    group_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=24 * 3600)],
        doc(
            "The first alarm of a behavior is sent at once; others that begin or end within so many "
            "seconds are sent together, with their number and first names. 0 sends each alone."
        ),
    ] = GROUP_SECONDS
    alerts: Annotated[list[Alert], doc("Who hears of alarms, beside the log; see below.")] = field(default_factory=list)
    console: Annotated[Console, doc("The pages of `amazon-defender-detect console`.")] = field(default_factory=Console)

    api: Annotated[
        Optional[Api], doc("AWS's own API, which `amazon-defender-detect console` then answers as well.")
    ] = None

    @property
    def sources(self) -> list[Source]:
        """The profiles, each with what it is for."""
        return [each if isinstance(each, Source) else Source(path=each) for each in self.profiles]


class Config(Section, frozen=True):
    """The configuration file of amazon-defender-detect."""

    schema: Annotated[Optional[str], doc("For editors: the path of `detect-schema.json`; the program ignores it.")] = (
        field(name="$schema", default=None)
    )
    agent: Annotated[Agent, doc("Detect itself.")] = field(default_factory=Agent)
    detect: Annotated[Detect, doc("What is normal, and who is told.")] = field(default_factory=Detect)


def topic_problems(agent: Agent, path: str) -> Iterator[str]:
    """Yield what is wrong with the shards of a topic."""
    if agent.topic is not None:
        yield from (f"{path}.topic {rule}, got {shown(agent.topic)}" for rule in broken_rules(agent.topic))


ALL_RULES: Rules = {**RULES, Agent: (topic_problems,)}
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
    return _with_absolute_paths(read(raw, _definition_for(raw), ALL_RULES), path.parent.resolve())


def _definition_for(raw: Any) -> type[Config]:
    """Return the definition, with the targets of packages that a configuration names the types of."""
    detect = raw.get("detect") if isinstance(raw, dict) else None
    alerts = detect.get("alerts") if isinstance(detect, dict) else None
    types = [each.get("type") for each in alerts if isinstance(each, dict)] if isinstance(alerts, list) else []
    targets = find_targets(each for each in types if isinstance(each, str))
    if targets == TARGETS:
        return Config
    return _redefined(Config, detect=_redefined(Detect, alerts=list[Union[targets]]))  # type: ignore[valid-type]


def _redefined(section: type[S], **types: Any) -> type[S]:
    """Return a section with keys of other types; what they are without being given stays."""
    fields = [
        (each.name, types[each.name], field(default_factory=each.default_factory))
        for each in msgspec.structs.fields(section)
        if each.name in types
    ]
    options: dict[str, Any] = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True}
    return msgspec.defstruct(section.__name__, fields, bases=(section,), **options)  # type: ignore[return-value]


def _laid_over(section: S, given: Mapping[str, Any]) -> S:
    """Return a section with what is given in the place of its keys, and of those of the sections in it."""
    inner = {key: getattr(section, key) for key in section.__struct_fields__}
    sections = {
        key: _laid_over(each, given)
        for key, each in inner.items()
        if isinstance(each, Section) and not isinstance(each, Console)  # whose port and key are others than Detect's
    }
    return msgspec.structs.replace(section, **sections, **{key: given[key] for key in inner if key in given})


def _with_absolute_paths(section: S, directory: Path) -> S:
    """Return a section whose paths start at a directory."""
    changed: dict[str, Any] = {}
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, Section):
            changed[key] = _with_absolute_paths(value, directory)
        elif key in PATH_KEYS and value is not None:
            changed[key] = str(directory / Path(value).expanduser())
    if isinstance(section, Detect):
        changed["alerts"] = [each.in_directory(directory) for each in section.alerts]
        changed["profiles"] = [_with_absolute_paths(each, directory) for each in section.sources]
    return msgspec.structs.replace(section, **changed)
