"""The configuration's one definition: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/schema.json` and the
the reference (`reference.tables`). Three sections, in the manner of the CloudWatch agent.
"""

from typing import Annotated, Any, Literal, Optional, Union

import msgspec
from msgspec import Meta, field

from defender_daemon import PROGRAM_DIRECTORY
from device_defender.metrics import BUILT_INS, Name, TypeName
from device_defender.wording import SECRET, that

SHORTEST_INTERVAL = 300  # seconds; Device Defender answers Throttled to a thing that reports more often
LONGEST_INTERVAL = 86_400  # seconds between two looks at a log
PATH_KEYS = (  # whose relative values are taken from the config file's directory
    "agent.authentication.certificate",
    "agent.authentication.private_key",
    "agent.authentication.root_ca",
    "agent.provisioning.claim_certificate",
    "agent.provisioning.claim_private_key",
    "agent.procfs_path",
    "agent.logfile",
    "agent.textfile",
    "agent.state_directory",
)

PositiveInt = Annotated[int, Meta(ge=1)]
# https://docs.aws.amazon.com/iot/latest/apireference/API_CreateProvisioningTemplate.html
TemplateName = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_-]{1,36}$(?!\n)"), that(None, "1 to 36 of the characters a-z A-Z 0-9 _ -")
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the configuration: every key is known, and none can be changed once it is read."""


class Instance(Section, frozen=True):
    """How to make a thing name when `thing_name` is not given: `prefix-serial`, in lower case."""

    prefix: Annotated[str, Meta(description="What the thing name begins with.")] = "sys"
    serial: Annotated[Optional[str], Meta(description="The serial number; wins over `command`.")] = None
    command: Annotated[
        Optional[str], Meta(description="A shell command line that prints the serial number, on one line.")
    ] = None


class AwsCredentials(Section, frozen=True):
    """AWS IoT's credentials provider, which gives AWS credentials for the device's certificate."""

    endpoint: Annotated[
        str,
        Meta(
            description="The account's credentials endpoint, `....credentials.iot.REGION.amazonaws.com` "
            "(`aws iot describe-endpoint --endpoint-type iot:CredentialProvider`)."
        ),
    ]
    role_alias: Annotated[str, Meta(description="The role alias in AWS IoT whose role is assumed.")]


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
    credentials: Annotated[
        Optional[AwsCredentials],
        Meta(
            description="For amazon-defender-cloudwatch: AWS credentials by the device's certificate. "
            "Default: the environment, a container's or Greengrass core's, or `~/.aws/credentials`."
        ),
    ] = None


class Provisioning(Section, frozen=True):
    """How a device gets its own certificate by a claim that a whole fleet shares, and later replaces it."""

    template: Annotated[
        Optional[TemplateName],
        Meta(description="The provisioning template in AWS IoT that registers a new device (`--provision`)."),
    ] = None
    rotation_template: Annotated[
        Optional[TemplateName],
        Meta(
            description="The provisioning template that gives a device a second certificate (`--rotate`). With it the "
            "daemon also takes the wish for one from the thing's shadow `rotation`."
        ),
    ] = None
    claim_certificate: Annotated[
        Optional[str], Meta(description="The claim certificate (PEM). Required by `--provision`.")
    ] = None
    claim_private_key: Annotated[
        Optional[str], Meta(description="Its private key (PEM, mode 0600 or 0400). Required by `--provision`.")
    ] = None
    parameters: Annotated[
        dict[Name, str],
        Meta(description="More parameters for the template, beside `ThingName` and `SerialNumber`."),
    ] = field(default_factory=dict)
    rotate_after_days: Annotated[
        Optional[PositiveInt],
        Meta(
            description="The age of a certificate, in days, from which on `--rotate --if-due` replaces it. "
            "Default: only when it is asked for."
        ),
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
    provisioning: Annotated[
        Optional[Provisioning], Meta(description="Certificates that the device asks AWS IoT for itself.")
    ] = None
    proxy: Annotated[Optional[Proxy], Meta(description="An HTTP proxy (CONNECT) to go through.")] = None
    metrics_collection_interval: Annotated[
        Optional[PositiveInt],
        Meta(
            description="Seconds between two looks at the device. Below `publish_interval` a report holds everything "
            "seen in between. Default: `publish_interval`."
        ),
    ] = None
    logs_collection_interval: Annotated[
        Annotated[int, Meta(ge=1, le=LONGEST_INTERVAL)],
        Meta(description="For amazon-defender-cloudwatch: seconds between two looks at the logs."),
    ] = 10
    region: Annotated[
        Optional[str],
        Meta(
            description="For amazon-defender-cloudwatch: the region to send to. Default: that of "
            "`authentication.credentials.endpoint`, or `AWS_REGION`."
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
            "`{shard:16}` in it becomes the thing's shard, 0 to 15, for several receivers. "
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
    textfile: Annotated[
        Optional[str],
        Meta(
            description="For amazon-defender-publisher: a file, `NAME.prom`, with its status as metrics, which "
            "Prometheus's node_exporter collects. Default: none."
        ),
    ] = None
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

    namespace: Annotated[
        Optional[str],
        Meta(
            description="For amazon-defender-cloudwatch: the namespace of this machine's metrics in CloudWatch, such "
            "as `System/RaspberryPi`. Default: no metrics are sent there; 15 of them cost about 4.50 USD a month."
        ),
    ] = None
    dimensions: Annotated[
        list[Literal["InstanceId", "Hostname"]],
        Meta(description="For amazon-defender-cloudwatch: the dimensions of its metrics; InstanceId is the thing."),
    ] = field(default_factory=lambda: ["InstanceId"])
    names: Annotated[
        Literal["publisher", "agent"],
        Meta(
            description="For amazon-defender-cloudwatch: the metrics' names, those of the CloudWatch publisher "
            "(`CPUUtilization`) or of the CloudWatch agent (`cpu_usage_active`)."
        ),
    ] = "publisher"

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


class LogFile(Section, frozen=True):
    """A log file to follow, or several."""

    file_path: Annotated[str, Meta(description="The file's path; `*`, `?` and `[...]` as in a shell.", min_length=1)]
    log_group_name: Annotated[Optional[str], Meta(description="Default: `logs.log_group_name`.")] = None
    log_stream_name: Annotated[
        Optional[str],
        Meta(description="Default: the file's name, or its path where two of one group have the same name."),
    ] = None
    include_patterns: Annotated[
        list[str], Meta(description="Send only lines in which one of these regular expressions is found.")
    ] = field(default_factory=list)
    exclude_patterns: Annotated[
        list[str], Meta(description="Leave out lines in which one of these is found; they win.")
    ] = field(default_factory=list)
    multi_line_start_pattern: Annotated[
        Optional[str], Meta(description="What an event begins with; lines without it belong to the event before.")
    ] = None
    begin: Annotated[
        Literal["end", "start"], Meta(description="Where to begin in a file that is there at the first start.")
    ] = field(name="from", default="end")


class Files(Section, frozen=True):
    """The log files to follow."""

    collect_list: Annotated[list[LogFile], Meta(description="One object for each file or pattern.")] = field(
        default_factory=list
    )


class Journal(Section, frozen=True):
    """Options of systemd's journal."""

    collect: Annotated[bool, Meta(description="Whether to send it.")] = True
    units: Annotated[list[str], Meta(description="Only these units (`sshd.service`).")] = field(default_factory=list)
    include_patterns: Annotated[list[str], Meta(description="As those of a file.")] = field(default_factory=list)
    exclude_patterns: Annotated[list[str], Meta(description="As those of a file.")] = field(default_factory=list)
    log_group_name: Annotated[Optional[str], Meta(description="Default: `logs.log_group_name`.")] = None
    log_stream_name: Annotated[str, Meta(description="The stream.")] = "journal"


class LogsCollected(Section, frozen=True):
    """The logs to send."""

    files: Annotated[Files, Meta(description="Log files.")] = field(default_factory=Files)
    journal: Annotated[Union[bool, Journal], Meta(description="systemd's journal, from the first start on.")] = False


class Logs(Section, frozen=True):
    """The logs that amazon-defender-cloudwatch sends to CloudWatch Logs."""

    logs_collected: Annotated[LogsCollected, Meta(description="What is sent.")] = field(default_factory=LogsCollected)
    log_group_name: Annotated[
        str,
        Meta(description="The log group; `{thing_name}`, `{instance_id}` (the same) and `{hostname}` are replaced."),
    ] = "/system/default/{instance_id}"
    retention_in_days: Annotated[
        Optional[int],
        Meta(description="How long a log group that is made here keeps its events. Default: for ever."),
    ] = None


class Config(Section, frozen=True):
    """The configuration file of amazon-defender-publisher, and of amazon-defender-cloudwatch beside it."""

    schema: Annotated[
        Optional[str], Meta(description="For editors: the path of `schema.json`; the program ignores it.")
    ] = field(name="$schema", default=None)
    agent: Annotated[Agent, Meta(description="The agent itself.")] = field(default_factory=Agent)
    metrics: Annotated[Metrics, Meta(description="The device-side metrics.")] = field(default_factory=Metrics)
    custom_metrics: Annotated[dict[Name, CustomMetric], Meta(description="Custom metrics: a name and what it is.")] = (
        field(default_factory=dict)
    )
    logs: Annotated[Logs, Meta(description="For amazon-defender-cloudwatch: the logs to send to CloudWatch.")] = field(
        default_factory=Logs
    )


Raw = dict[str, Any]  # a configuration as JSON gives it, before it is checked
