"""What is collected: the sections `metrics`, `custom_metrics` and `logs` of the configuration."""

from typing import Annotated, Literal, Optional, Union

from msgspec import Meta, field

from device_defender.definition import PositiveInt, Section
from device_defender.metrics import BUILT_INS, Name, TypeName


class Ports(Section, frozen=True):
    """Options of a block of listening ports."""

    interface: bool = True
    """Say which interface each port is bound to."""
    exclude_loopback: bool = False
    """Leave out ports that only this device can reach."""
    max_list_size: Optional[PositiveInt] = None
    """As `metrics.max_list_size`, for this block."""


class Connections(Section, frozen=True):
    """Options of the block of established TCP connections."""

    interface: bool = True
    """Say which interface each connection uses."""
    local_port: bool = True
    """Say which local port each connection uses."""
    exclude_loopback: bool = False
    """Leave out connections from this device to itself."""
    max_list_size: Optional[PositiveInt] = None
    """As `metrics.max_list_size`, for this block."""


class NetworkStats(Section, frozen=True):
    """Options of the block of traffic counters."""

    interfaces: list[str] = field(default_factory=lambda: ["*"])
    """Count only these interfaces (shell patterns such as `eth*`)."""
    exclude_interfaces: list[str] = []
    """Leave these out, `["lo"]` for instance."""


class Metrics(Section, frozen=True):
    """The device-side metrics; each block is `true`, `false` or an object with its options."""

    namespace: Optional[str] = None
    """For amazon-defender-cloudwatch: the namespace of this machine's metrics in CloudWatch, such as
    `System/RaspberryPi`. Default: no metrics are sent there; 15 of them cost about 4.50 USD a month."""
    dimensions: list[Literal["InstanceId", "Hostname"]] = field(default_factory=lambda: ["InstanceId"])
    """For amazon-defender-cloudwatch: the dimensions of its metrics; InstanceId is the thing."""
    names: Literal["publisher", "agent"] = "publisher"
    """For amazon-defender-cloudwatch: the metrics' names, those of the CloudWatch publisher (`CPUUtilization`) or of
    the CloudWatch agent (`cpu_usage_active`)."""

    listening_tcp_ports: Union[bool, Ports] = True
    """TCP ports something listens on."""
    listening_udp_ports: Union[bool, Ports] = True
    """UDP ports that are bound and not connected."""
    tcp_connections: Union[bool, Connections] = True
    """Established TCP connections."""
    network_stats: Union[bool, NetworkStats] = True
    """Bytes and packets in and out since the last accepted report."""
    max_list_size: Optional[PositiveInt] = None
    """Longer lists are sampled uniformly; their `total` stays true. Default: as much as fits into AWS's 128 KB."""


class CustomMetric(Section, frozen=True):
    """A custom metric: a built-in source, or a command of your own. `{}` takes the built-in of the metric's name."""

    type: Optional[TypeName] = None
    """The metric's type in AWS IoT. Required with `command`; a built-in knows its own."""
    source: Optional[Annotated[Name, Meta(extra_json_schema={"examples": list(BUILT_INS)})]] = None
    """A built-in, or a metric of an installed package. Default: the one with this metric's name."""
    path: str = "/"
    """For `disk_usage`: a path on the disk to measure."""
    command: Optional[Annotated[list[str], Meta(min_length=1)]] = None
    """A program and its arguments (no shell); it prints JSON, or one value a line."""
    timeout: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """Seconds after which the command is ended."""


class LogFile(Section, frozen=True):
    """A log file to follow, or several."""

    file_path: Annotated[str, Meta(min_length=1)]
    """The file's path; `*`, `?` and `[...]` as in a shell."""
    log_group_name: Optional[str] = None
    """Default: `logs.log_group_name`."""
    log_stream_name: Optional[str] = None
    """Default: the file's name, or its path where two of one group have the same name."""
    include_patterns: list[str] = []
    """Send only lines in which one of these regular expressions is found."""
    exclude_patterns: list[str] = []
    """Leave out lines in which one of these is found; they win."""
    multi_line_start_pattern: Optional[str] = None
    """What an event begins with; lines without it belong to the event before."""
    begin: Literal["end", "start"] = field(name="from", default="end")
    """Where to begin in a file that is there at the first start."""


class Files(Section, frozen=True):
    """The log files to follow."""

    collect_list: list[LogFile] = []
    """One object for each file or pattern."""


class Journal(Section, frozen=True):
    """Options of systemd's journal."""

    collect: bool = True
    """Whether to send it."""
    units: list[str] = []
    """Only these units (`sshd.service`)."""
    include_patterns: list[str] = []
    """As those of a file."""
    exclude_patterns: list[str] = []
    """As those of a file."""
    log_group_name: Optional[str] = None
    """Default: `logs.log_group_name`."""
    log_stream_name: str = "journal"
    """The stream."""


class LogsCollected(Section, frozen=True):
    """The logs to send."""

    files: Files = field(default_factory=Files)
    """Log files."""
    journal: Union[bool, Journal] = False
    """systemd's journal, from the first start on."""


class Logs(Section, frozen=True):
    """The logs that amazon-defender-cloudwatch sends to CloudWatch Logs."""

    logs_collected: LogsCollected = field(default_factory=LogsCollected)
    """What is sent."""
    log_group_name: str = "/system/default/{instance_id}"
    """The log group; `{thing_name}`, `{instance_id}` (the same) and `{hostname}` are replaced."""
    retention_in_days: Optional[int] = None
    """How long a log group that is made here keeps its events. Default: for ever."""
