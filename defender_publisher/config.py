"""The configuration's one definition: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/schema.json` and the
the reference (`reference.tables`). Three sections, in the manner of the CloudWatch agent.
"""

from typing import Annotated, Any, Literal, Optional, Union

import msgspec
from msgspec import Meta, field

from defender_publisher import PROGRAM_DIRECTORY
from device_defender.metrics import BUILT_INS, Name, TypeName
from device_defender.wording import SECRET

SHORTEST_INTERVAL = 300  # seconds; Device Defender answers Throttled to a thing that reports more often
PATH_KEYS = (  # whose relative values are taken from the config file's directory
    "agent.authentication.certificate",
    "agent.authentication.private_key",
    "agent.authentication.root_ca",
    "agent.procfs_path",
    "agent.logfile",
    "agent.state_directory",
)

PositiveInt = Annotated[int, Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the configuration: every key is known, and none can be changed once it is read."""


class Instance(Section, frozen=True):
    """How to make a thing name when `thing_name` is not given: `prefix-serial`, in lower case."""

    prefix: Annotated[str, Meta(description="What the thing name begins with.")] = "sys"
    serial: Annotated[Optional[str], Meta(description="The serial number; wins over `command`.")] = None
    command: Annotated[
        Optional[str], Meta(description="A shell command line that prints the serial number, on one line.")
    ] = None


class Authentication(Section, frozen=True):
    """Who the device is to AWS IoT, and where."""

    method: Annotated[
        Literal["certificate", "greengrass", "websocket"],
        Meta(
            description="`certificate`: MQTT over mutual TLS. `websocket`: MQTT over WebSocket, signed (SigV4) with "
            "AWS credentials from the environment or `~/.aws/credentials`. `greengrass` is what `--greengrass` sets."
        ),
    ] = "certificate"
    endpoint: Annotated[
        Optional[str],
        Meta(
            description="The account's data endpoint, `...-ats.iot.REGION.amazonaws.com` "
            "(`aws iot describe-endpoint --endpoint-type iot:Data-ATS`). Required, except for a dry run."
        ),
    ] = None
    port: Annotated[
        Optional[Annotated[int, Meta(ge=1, le=65535)]],
        Meta(
            description="8883, or 443 where a firewall lets only that through (ALPN). "
            "Default: 8883 with a certificate, 443 with `websocket`."
        ),
    ] = None
    certificate: Annotated[
        Optional[str], Meta(description="The device certificate (PEM). Required with `certificate`.")
    ] = None
    private_key: Annotated[
        Optional[str],
        Meta(description="Its private key (PEM, mode 0600 or 0400). Required with `certificate`."),
    ] = None
    root_ca: Annotated[
        Optional[str],
        Meta(description="The certificate authorities to trust (PEM). Default: Amazon Root CA 1 and 3, shipped here."),
    ] = None
    region: Annotated[
        Optional[str], Meta(description="For `websocket`: the region to sign for. Default: the one in `endpoint`.")
    ] = None


class Proxy(Section, frozen=True):
    """An HTTP proxy that lets CONNECT through."""

    host: Annotated[str, Meta(description="The proxy's host name or address.", min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 8080
    username: Annotated[Optional[str], Meta(description="For a proxy that asks for Basic authentication.")] = None
    password: Annotated[Optional[str], SECRET, Meta(description="Goes with `username`; never logged or printed.")] = (
        None
    )


class Agent(Section, frozen=True):
    """The agent itself: identity, connection, timing, encoding, log and state."""

    thing_name: Annotated[
        Optional[Name], Meta(description="The thing to report for. Default: made from `instance`.")
    ] = None
    instance: Annotated[
        Instance, Meta(description="Makes the thing name `prefix-serial`, as the CloudWatch publisher does.")
    ] = field(default_factory=Instance)
    client_id: Annotated[
        Optional[Annotated[str, Meta(min_length=1, max_length=128)]],
        Meta(
            description="The MQTT client ID. Default: the thing name, which the policy variables need. "
            "Another one is for reporting for another thing."
        ),
    ] = None
    authentication: Annotated[Authentication, Meta(description="Endpoint and credentials.")] = field(
        default_factory=Authentication
    )
    proxy: Annotated[Optional[Proxy], Meta(description="An HTTP proxy (CONNECT) to go through.")] = None
    metrics_collection_interval: Annotated[
        Optional[PositiveInt],
        Meta(
            description="Seconds between two looks at the device. Below `publish_interval` a report holds everything "
            "seen in between. Default: `publish_interval`."
        ),
    ] = None
    publish_interval: Annotated[
        PositiveInt,
        Meta(description="Seconds between two reports. AWS takes one report per 300 seconds and thing."),
    ] = SHORTEST_INTERVAL
    allow_short_interval: Annotated[
        bool,
        Meta(description="Allow a `publish_interval` below 300, which AWS throttles: for a receiver of your own."),
    ] = False
    format: Annotated[
        Literal["json", "cbor"], Meta(description="The encoding of reports; cbor with short names is half the size.")
    ] = "json"
    short_names: Annotated[bool, Meta(description="Short field names in reports (`hed`, `met`, ...).")] = False
    topic: Annotated[
        Optional[str],
        Meta(
            description="An MQTT topic of your own, with `{thing_name}` in it, for pipelines of your own. "
            "Default: Device Defender's reserved topic."
        ),
    ] = None
    procfs_path: Annotated[
        str, Meta(description="Where the host's /proc is: `/host_proc` in a container, for instance.")
    ] = "/proc"
    logfile: Annotated[
        Optional[str], Meta(description="The log file. Default: standard error, which systemd keeps.")
    ] = None
    log_max_size: Annotated[
        Annotated[int, Meta(ge=1024)], Meta(description="Bytes after which the log file is rotated.")
    ] = 10 * 1024 * 1024
    log_max_count: Annotated[Annotated[int, Meta(ge=1)], Meta(description="How many rotated log files are kept.")] = 5
    debug: Annotated[bool, Meta(description="Log much more, every report included.")] = False
    state_directory: Annotated[
        Optional[str],
        Meta(
            description="Where the growth baseline and the last report's id are kept over restarts. Default: "
            f"`$STATE_DIRECTORY` (set by systemd), or `{PROGRAM_DIRECTORY}/state`."
        ),
    ] = None
    dry_run: Annotated[bool, Meta(description="Print the reports on standard output, never connect.")] = False

    @property
    def look_interval(self) -> int:
        """Seconds between two looks at the device."""
        return self.metrics_collection_interval or self.publish_interval

    @property
    def looks_between(self) -> bool:
        """Whether the device is looked at more often than it reports."""
        return self.look_interval < self.publish_interval


class Ports(Section, frozen=True):
    """Options of a block of listening ports."""

    interface: Annotated[bool, Meta(description="Say which interface each port is bound to.")] = True
    exclude_loopback: Annotated[bool, Meta(description="Leave out ports that only this device can reach.")] = False
    max_list_size: Annotated[Optional[PositiveInt], Meta(description="As `metrics.max_list_size`, for this block.")] = (
        None
    )


class Connections(Section, frozen=True):
    """Options of the block of established TCP connections."""

    interface: Annotated[bool, Meta(description="Say which interface each connection uses.")] = True
    local_port: Annotated[bool, Meta(description="Say which local port each connection uses.")] = True
    exclude_loopback: Annotated[bool, Meta(description="Leave out connections from this device to itself.")] = False
    max_list_size: Annotated[Optional[PositiveInt], Meta(description="As `metrics.max_list_size`, for this block.")] = (
        None
    )


class NetworkStats(Section, frozen=True):
    """Options of the block of traffic counters."""

    interfaces: Annotated[
        list[str], Meta(description="Count only these interfaces (shell patterns such as `eth*`).")
    ] = field(default_factory=lambda: ["*"])
    exclude_interfaces: Annotated[list[str], Meta(description='Leave these out, `["lo"]` for instance.')] = field(
        default_factory=list
    )


class Metrics(Section, frozen=True):
    """The device-side metrics; each block is `true`, `false` or an object with its options."""

    listening_tcp_ports: Annotated[Union[bool, Ports], Meta(description="TCP ports something listens on.")] = True
    listening_udp_ports: Annotated[
        Union[bool, Ports], Meta(description="UDP ports that are bound and not connected.")
    ] = True
    tcp_connections: Annotated[Union[bool, Connections], Meta(description="Established TCP connections.")] = True
    network_stats: Annotated[
        Union[bool, NetworkStats], Meta(description="Bytes and packets in and out since the last accepted report.")
    ] = True
    max_list_size: Annotated[
        Optional[PositiveInt],
        Meta(
            description="Longer lists are sampled uniformly; their `total` stays true. "
            "Default: as much as fits into AWS's 128 KB."
        ),
    ] = None


class CustomMetric(Section, frozen=True):
    """A custom metric: a built-in source, or a command of your own. `{}` takes the built-in of the metric's name."""

    type: Annotated[
        Optional[TypeName],
        Meta(description="The metric's type in AWS IoT. Required with `command`; a built-in knows its own."),
    ] = None
    source: Annotated[
        Optional[Annotated[Name, Meta(extra_json_schema={"examples": list(BUILT_INS)})]],
        Meta(
            description="A built-in, or a metric of an installed package. Default: the one with this metric's name.",
        ),
    ] = None
    path: Annotated[str, Meta(description="For `disk_usage`: a path on the disk to measure.")] = "/"
    command: Annotated[
        Optional[Annotated[list[str], Meta(min_length=1)]],
        Meta(description="A program and its arguments (no shell); it prints JSON, or one value a line."),
    ] = None
    timeout: Annotated[
        Annotated[float, Meta(gt=0, le=60)], Meta(description="Seconds after which the command is ended.")
    ] = 10.0


class Config(Section, frozen=True):
    """The configuration file of amazon-defender-publisher."""

    schema: Annotated[
        Optional[str], Meta(description="For editors: the path of `schema.json`; the program ignores it.")
    ] = field(name="$schema", default=None)
    agent: Annotated[Agent, Meta(description="The agent itself.")] = field(default_factory=Agent)
    metrics: Annotated[Metrics, Meta(description="The device-side metrics.")] = field(default_factory=Metrics)
    custom_metrics: Annotated[dict[Name, CustomMetric], Meta(description="Custom metrics: a name and what it is.")] = (
        field(default_factory=dict)
    )


Raw = dict[str, Any]  # a configuration as JSON gives it, before it is checked
