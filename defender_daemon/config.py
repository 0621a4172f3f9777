"""The configuration's one definition: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/schema.json` and the
reference (`reference.tables`); the string below a key says what it does. The sections are those of the CloudWatch
agent, of which `agent` is here and `defender_daemon.collected` has the others.
"""

from typing import Annotated, Any, Literal, Optional

from msgspec import Meta, field

from defender_daemon import LONGEST_YEAR
from defender_daemon.collected import CustomMetric, Logs, Metrics
from device_defender.definition import PATH, SECRET, Port, Section, that
from device_defender.metrics import Name

SHORTEST_INTERVAL = 300  # seconds; Device Defender answers Throttled to a thing that reports more often
LONGEST_INTERVAL = 86_400  # seconds between two looks at a log

File = Annotated[str, PATH]
Interval = Annotated[int, Meta(ge=1, le=LONGEST_YEAR)]
# https://docs.aws.amazon.com/iot/latest/apireference/API_CreateProvisioningTemplate.html
TemplateName = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_-]{1,36}$(?!\n)"), that(None, "1 to 36 of the characters a-z A-Z 0-9 _ -")
]


class Instance(Section, frozen=True):
    """How to make a thing name when `thing_name` is not given: `prefix-serial`, in lower case."""

    prefix: str = "sys"
    """What the thing name begins with."""
    serial: Optional[str] = None
    """The serial number; wins over `command`."""
    command: Optional[str] = None
    """A shell command line that prints the serial number, on one line."""


class AwsCredentials(Section, frozen=True):
    """AWS IoT's credentials provider, which gives AWS credentials for the device's certificate."""

    endpoint: str
    """The account's credentials endpoint, `....credentials.iot.REGION.amazonaws.com` (`aws iot describe-endpoint
    --endpoint-type iot:CredentialProvider`)."""
    role_alias: str
    """The role alias in AWS IoT whose role is assumed."""


class Authentication(Section, frozen=True):
    """Who the device is to AWS IoT, and where."""

    method: Literal["certificate", "greengrass", "websocket"] = "certificate"
    """`certificate`: MQTT over mutual TLS. `websocket`: MQTT over WebSocket, signed (SigV4) with AWS credentials from
    the environment or `~/.aws/credentials`. `greengrass` is what `--greengrass` sets."""
    endpoint: Optional[str] = None
    """The account's data endpoint, `...-ats.iot.REGION.amazonaws.com` (`aws iot describe-endpoint --endpoint-type
    iot:Data-ATS`). Required, except for a dry run."""
    port: Optional[Port] = None
    """8883, or 443 where a firewall lets only that through (ALPN). Default: 8883 with a certificate, 443 with
    `websocket`."""
    certificate: Optional[File] = None
    """The device certificate (PEM). Required with `certificate`."""
    private_key: Optional[File] = None
    """Its private key (PEM, mode 0600 or 0400). Required with `certificate`."""
    root_ca: Optional[File] = None
    """The certificate authorities to trust (PEM). Default: Amazon Root CA 1 and 3, shipped here."""
    region: Optional[str] = None
    """For `websocket`: the region to sign for. Default: the one in `endpoint`."""
    credentials: Optional[AwsCredentials] = None
    """For amazon-defender-cloudwatch: AWS credentials by the device's certificate. Default: the environment, a
    container's or Greengrass core's, or `~/.aws/credentials`."""


class Provisioning(Section, frozen=True):
    """How a device gets its own certificate by a claim that a whole fleet shares, and later replaces it."""

    template: Optional[TemplateName] = None
    """The provisioning template in AWS IoT that registers a new device (`--provision`)."""
    rotation_template: Optional[TemplateName] = None
    """The provisioning template that gives a device a second certificate (`--rotate`). With it the daemon also takes
    the wish for one from the thing's shadow `rotation`."""
    claim_certificate: Optional[File] = None
    """The claim certificate (PEM). Required by `--provision`."""
    claim_private_key: Optional[File] = None
    """Its private key (PEM, mode 0600 or 0400). Required by `--provision`."""
    parameters: dict[Name, str] = {}
    """More parameters for the template, beside `ThingName` and `SerialNumber`."""
    rotate_after_days: Optional[Annotated[int, Meta(ge=1, le=36_500)]] = None
    """The age of a certificate, in days, from which on `--rotate --if-due` replaces it. Default: only when it is asked
    for."""


class Proxy(Section, frozen=True):
    """An HTTP proxy that lets CONNECT through."""

    host: Annotated[str, Meta(min_length=1)]
    """The proxy's host name or address."""
    port: Port = 8080
    """Its port."""
    username: Optional[str] = None
    """For a proxy that asks for Basic authentication."""
    password: Annotated[Optional[str], SECRET] = None
    """Goes with `username`; never logged or printed."""


class Agent(Section, frozen=True):
    """The agent itself: identity, connection, timing, encoding, log and state."""

    thing_name: Optional[Name] = None
    """The thing to report for. Default: made from `instance`."""
    instance: Instance = field(default_factory=Instance)
    """Makes the thing name `prefix-serial`, as the CloudWatch publisher does."""
    client_id: Optional[Annotated[str, Meta(min_length=1, max_length=128)]] = None
    """The MQTT client ID. Default: the thing name, which the policy variables need. Another one is for reporting for
    another thing."""
    authentication: Authentication = field(default_factory=Authentication)
    """Endpoint and credentials."""
    provisioning: Optional[Provisioning] = None
    """Certificates that the device asks AWS IoT for itself."""
    proxy: Optional[Proxy] = None
    """An HTTP proxy (CONNECT) to go through."""
    metrics_collection_interval: Optional[Interval] = None
    """Seconds between two looks at the device. Below `publish_interval` a report holds everything seen in between.
    Default: `publish_interval`."""
    logs_collection_interval: Annotated[int, Meta(ge=1, le=LONGEST_INTERVAL)] = 10
    """For amazon-defender-cloudwatch: seconds between two looks at the logs."""
    region: Optional[str] = None
    """For amazon-defender-cloudwatch: the region to send to. Default: that of `authentication.credentials.endpoint`, or
    `AWS_REGION`."""
    publish_interval: Interval = SHORTEST_INTERVAL
    """Seconds between two reports. AWS takes one report per 300 seconds and thing."""
    allow_short_interval: bool = False
    """Allow a `publish_interval` below 300, which AWS throttles: for a receiver of your own."""
    format: Literal["json", "cbor"] = "json"
    """The encoding of reports; cbor with short names is half the size."""
    short_names: bool = False
    """Short field names in reports (`hed`, `met`, ...)."""
    topic: Optional[str] = None
    """An MQTT topic of your own, with `{thing_name}` in it, for pipelines of your own. `{shard:16}` in it becomes the
    thing's shard, 0 to 15, for several receivers. Default: Device Defender's reserved topic."""
    procfs_path: File = "/proc"
    """Where the host's /proc is: `/host_proc` in a container, for instance."""
    logfile: Optional[File] = None
    """The log file. Default: standard error, which systemd keeps."""
    log_max_size: Annotated[int, Meta(ge=1024)] = 10_485_760
    """Bytes after which the log file is rotated."""
    log_max_count: Annotated[int, Meta(ge=1, le=1000)] = 5
    """How many rotated log files are kept."""
    textfile: Optional[File] = None
    """For amazon-defender-publisher: a file, `NAME.prom`, with its status as metrics, which Prometheus's node_exporter
    collects. Default: none."""
    debug: bool = False
    """Log much more, every report included."""
    state_directory: Optional[File] = None
    """Where the growth baseline and the last report's id are kept over restarts. Default: `$STATE_DIRECTORY` (set by
    systemd), or `/opt/aws/amazon-defender-publisher/state`."""
    dry_run: bool = False
    """Print the reports on standard output, never connect."""

    @property
    def look_interval(self) -> int:
        """Seconds between two looks at the device."""
        return self.metrics_collection_interval or self.publish_interval

    @property
    def looks_between(self) -> bool:
        """Whether the device is looked at more often than it reports."""
        return self.look_interval < self.publish_interval


class Config(Section, frozen=True):
    """The configuration file of amazon-defender-publisher, and of amazon-defender-cloudwatch beside it."""

    schema: Optional[str] = field(name="$schema", default=None)
    """For editors: the path of `schema.json`; the program ignores it."""
    agent: Agent = field(default_factory=Agent)
    """The agent itself."""
    metrics: Metrics = field(default_factory=Metrics)
    """The device-side metrics."""
    custom_metrics: dict[Name, CustomMetric] = {}
    """Custom metrics: a name and what it is."""
    logs: Logs = field(default_factory=Logs)
    """For amazon-defender-cloudwatch: the logs to send to CloudWatch."""


Raw = dict[str, Any]  # a configuration as JSON gives it, before it is checked
