"""The configuration's one definition: its keys, types, limits, defaults and documentation.

Everything else comes from these structs: validation (`device_defender.validation`), `configs/schema.json` and the
reference (`reference.tables`). Its sections are those of the CloudWatch agent, of which
`agent` is here and `defender_daemon.collected` has the others.
"""

from typing import Annotated, Any, Literal, Optional

from msgspec import Meta, field

from defender_daemon import PROGRAM_DIRECTORY
from defender_daemon.collected import CustomMetric, Logs, Metrics
from device_defender.definition import PATH, SECRET, Port, PositiveInt, Section, doc, that
from device_defender.metrics import Name

SHORTEST_INTERVAL = 300  # seconds; Device Defender answers Throttled to a thing that reports more often
LONGEST_INTERVAL = 86_400  # seconds between two looks at a log

File = Annotated[str, PATH]
# https://docs.aws.amazon.com/iot/latest/apireference/API_CreateProvisioningTemplate.html
TemplateName = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_-]{1,36}$(?!\n)"), that(None, "1 to 36 of the characters a-z A-Z 0-9 _ -")
]


class Instance(Section, frozen=True):
    """How to make a thing name when `thing_name` is not given: `prefix-serial`, in lower case."""

    prefix: Annotated[str, doc("What the thing name begins with.")] = "sys"
    serial: Annotated[Optional[str], doc("The serial number; wins over `command`.")] = None
    command: Annotated[Optional[str], doc("A shell command line that prints the serial number, on one line.")] = None


class AwsCredentials(Section, frozen=True):
    """AWS IoT's credentials provider, which gives AWS credentials for the device's certificate."""

    endpoint: Annotated[
        str,
        doc(
            "The account's credentials endpoint, `....credentials.iot.REGION.amazonaws.com` "
            "(`aws iot describe-endpoint --endpoint-type iot:CredentialProvider`)."
        ),
    ]
    role_alias: Annotated[str, doc("The role alias in AWS IoT whose role is assumed.")]


class Authentication(Section, frozen=True):
    """Who the device is to AWS IoT, and where."""

    method: Annotated[
        Literal["certificate", "greengrass", "websocket"],
        doc(
            "`certificate`: MQTT over mutual TLS. `websocket`: MQTT over WebSocket, signed (SigV4) with "
            "AWS credentials from the environment or `~/.aws/credentials`. `greengrass` is what `--greengrass` sets."
        ),
    ] = "certificate"
    endpoint: Annotated[
        Optional[str],
        doc(
            "The account's data endpoint, `...-ats.iot.REGION.amazonaws.com` "
            "(`aws iot describe-endpoint --endpoint-type iot:Data-ATS`). Required, except for a dry run."
        ),
    ] = None
    port: Annotated[
        Optional[Port],
        doc(
            "8883, or 443 where a firewall lets only that through (ALPN). "
            "Default: 8883 with a certificate, 443 with `websocket`."
        ),
    ] = None
    certificate: Annotated[Optional[File], doc("The device certificate (PEM). Required with `certificate`.")] = None
    private_key: Annotated[
        Optional[File], doc("Its private key (PEM, mode 0600 or 0400). Required with `certificate`.")
    ] = None
    root_ca: Annotated[
        Optional[File],
        doc("The certificate authorities to trust (PEM). Default: Amazon Root CA 1 and 3, shipped here."),
    ] = None
    region: Annotated[
        Optional[str], doc("For `websocket`: the region to sign for. Default: the one in `endpoint`.")
    ] = None
    credentials: Annotated[
        Optional[AwsCredentials],
        doc(
            "For amazon-defender-cloudwatch: AWS credentials by the device's certificate. "
            "Default: the environment, a container's or Greengrass core's, or `~/.aws/credentials`."
        ),
    ] = None


class Provisioning(Section, frozen=True):
    """How a device gets its own certificate by a claim that a whole fleet shares, and later replaces it."""

    template: Annotated[
        Optional[TemplateName], doc("The provisioning template in AWS IoT that registers a new device (`--provision`).")
    ] = None
    rotation_template: Annotated[
        Optional[TemplateName],
        doc(
            "The provisioning template that gives a device a second certificate (`--rotate`). With it the "
            "daemon also takes the wish for one from the thing's shadow `rotation`."
        ),
    ] = None
    claim_certificate: Annotated[Optional[File], doc("The claim certificate (PEM). Required by `--provision`.")] = None
    claim_private_key: Annotated[
        Optional[File], doc("Its private key (PEM, mode 0600 or 0400). Required by `--provision`.")
    ] = None
    parameters: Annotated[
        dict[Name, str], doc("More parameters for the template, beside `ThingName` and `SerialNumber`.")
    ] = {}
    rotate_after_days: Annotated[
        Optional[PositiveInt],
        doc(
            "The age of a certificate, in days, from which on `--rotate --if-due` replaces it. "
            "Default: only when it is asked for."
        ),
    ] = None


class Proxy(Section, frozen=True):
    """An HTTP proxy that lets CONNECT through."""

    host: Annotated[str, Meta(min_length=1), doc("The proxy's host name or address.")]
    port: Annotated[Port, doc("Its port.")] = 8080
    username: Annotated[Optional[str], doc("For a proxy that asks for Basic authentication.")] = None
    password: Annotated[Optional[str], SECRET, doc("Goes with `username`; never logged or printed.")] = None


class Agent(Section, frozen=True):
    """The agent itself: identity, connection, timing, encoding, log and state."""

    thing_name: Annotated[Optional[Name], doc("The thing to report for. Default: made from `instance`.")] = None
    instance: Annotated[Instance, doc("Makes the thing name `prefix-serial`, as the CloudWatch publisher does.")] = (
        field(default_factory=Instance)
    )
    client_id: Annotated[
        Optional[Annotated[str, Meta(min_length=1, max_length=128)]],
        doc(
            "The MQTT client ID. Default: the thing name, which the policy variables need. "
            "Another one is for reporting for another thing."
        ),
    ] = None
    authentication: Annotated[Authentication, doc("Endpoint and credentials.")] = field(default_factory=Authentication)
    provisioning: Annotated[Optional[Provisioning], doc("Certificates that the device asks AWS IoT for itself.")] = None
    proxy: Annotated[Optional[Proxy], doc("An HTTP proxy (CONNECT) to go through.")] = None
    metrics_collection_interval: Annotated[
        Optional[PositiveInt],
        doc(
            "Seconds between two looks at the device. Below `publish_interval` a report holds everything "
            "seen in between. Default: `publish_interval`."
        ),
    ] = None
    logs_collection_interval: Annotated[
        Annotated[int, Meta(ge=1, le=LONGEST_INTERVAL)],
        doc("For amazon-defender-cloudwatch: seconds between two looks at the logs."),
    ] = 10
    region: Annotated[
        Optional[str],
        doc(
            "For amazon-defender-cloudwatch: the region to send to. Default: that of "
            "`authentication.credentials.endpoint`, or `AWS_REGION`."
        ),
    ] = None
    publish_interval: Annotated[
        PositiveInt, doc("Seconds between two reports. AWS takes one report per 300 seconds and thing.")
    ] = SHORTEST_INTERVAL
    allow_short_interval: Annotated[
        bool, doc("Allow a `publish_interval` below 300, which AWS throttles: for a receiver of your own.")
    ] = False
    format: Annotated[
        Literal["json", "cbor"], doc("The encoding of reports; cbor with short names is half the size.")
    ] = "json"
    short_names: Annotated[bool, doc("Short field names in reports (`hed`, `met`, ...).")] = False
    topic: Annotated[
        Optional[str],
        doc(
            "An MQTT topic of your own, with `{thing_name}` in it, for pipelines of your own. "
            "`{shard:16}` in it becomes the thing's shard, 0 to 15, for several receivers. "
            "Default: Device Defender's reserved topic."
        ),
    ] = None
    procfs_path: Annotated[File, doc("Where the host's /proc is: `/host_proc` in a container, for instance.")] = "/proc"
    logfile: Annotated[Optional[File], doc("The log file. Default: standard error, which systemd keeps.")] = None
    log_max_size: Annotated[int, Meta(ge=1024), doc("Bytes after which the log file is rotated.")] = 10_485_760
    log_max_count: Annotated[PositiveInt, doc("How many rotated log files are kept.")] = 5
    textfile: Annotated[
        Optional[File],
        doc(
            "For amazon-defender-publisher: a file, `NAME.prom`, with its status as metrics, which "
            "Prometheus's node_exporter collects. Default: none."
        ),
    ] = None
    debug: Annotated[bool, doc("Log much more, every report included.")] = False
    state_directory: Annotated[
        Optional[File],
        doc(
            "Where the growth baseline and the last report's id are kept over restarts. Default: "
            f"`$STATE_DIRECTORY` (set by systemd), or `{PROGRAM_DIRECTORY}/state`."
        ),
    ] = None
    dry_run: Annotated[bool, doc("Print the reports on standard output, never connect.")] = False

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

    schema: Annotated[Optional[str], doc("For editors: the path of `schema.json`; the program ignores it.")] = field(
        name="$schema", default=None
    )
    agent: Annotated[Agent, doc("The agent itself.")] = field(default_factory=Agent)
    metrics: Annotated[Metrics, doc("The device-side metrics.")] = field(default_factory=Metrics)
    custom_metrics: Annotated[dict[Name, CustomMetric], doc("Custom metrics: a name and what it is.")] = {}
    logs: Annotated[Logs, doc("For amazon-defender-cloudwatch: the logs to send to CloudWatch.")] = field(
        default_factory=Logs
    )


Raw = dict[str, Any]  # a configuration as JSON gives it, before it is checked
