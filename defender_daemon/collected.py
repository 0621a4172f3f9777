"""What is collected: the sections `metrics`, `custom_metrics` and `logs` of the configuration."""

from typing import Annotated, Literal, Optional, Union

from msgspec import Meta, field

from device_defender.definition import PositiveInt, Section, doc
from device_defender.metrics import BUILT_INS, Name, TypeName

ListSize = Annotated[Optional[PositiveInt], doc("As `metrics.max_list_size`, for this block.")]


class Ports(Section, frozen=True):
    """Options of a block of listening ports."""

    interface: Annotated[bool, doc("Say which interface each port is bound to.")] = True
    exclude_loopback: Annotated[bool, doc("Leave out ports that only this device can reach.")] = False
    max_list_size: ListSize = None


class Connections(Section, frozen=True):
    """Options of the block of established TCP connections."""

    interface: Annotated[bool, doc("Say which interface each connection uses.")] = True
    local_port: Annotated[bool, doc("Say which local port each connection uses.")] = True
    exclude_loopback: Annotated[bool, doc("Leave out connections from this device to itself.")] = False
    max_list_size: ListSize = None


class NetworkStats(Section, frozen=True):
    """Options of the block of traffic counters."""

    interfaces: Annotated[list[str], doc("Count only these interfaces (shell patterns such as `eth*`).")] = field(
        default_factory=lambda: ["*"]
    )
    exclude_interfaces: Annotated[list[str], doc('Leave these out, `["lo"]` for instance.')] = []


class Metrics(Section, frozen=True):
    """The device-side metrics; each block is `true`, `false` or an object with its options."""

    namespace: Annotated[
        Optional[str],
        doc(
            "For amazon-defender-cloudwatch: the namespace of this machine's metrics in CloudWatch, such "
            "as `System/RaspberryPi`. Default: no metrics are sent there; 15 of them cost about 4.50 USD a month."
        ),
    ] = None
    dimensions: Annotated[
        list[Literal["InstanceId", "Hostname"]],
        doc("For amazon-defender-cloudwatch: the dimensions of its metrics; InstanceId is the thing."),
    ] = field(default_factory=lambda: ["InstanceId"])
    names: Annotated[
        Literal["publisher", "agent"],
        doc(
            "For amazon-defender-cloudwatch: the metrics' names, those of the CloudWatch publisher "
            "(`CPUUtilization`) or of the CloudWatch agent (`cpu_usage_active`)."
        ),
    ] = "publisher"

    listening_tcp_ports: Annotated[Union[bool, Ports], doc("TCP ports something listens on.")] = True
    listening_udp_ports: Annotated[Union[bool, Ports], doc("UDP ports that are bound and not connected.")] = True
    tcp_connections: Annotated[Union[bool, Connections], doc("Established TCP connections.")] = True
    network_stats: Annotated[
        Union[bool, NetworkStats], doc("Bytes and packets in and out since the last accepted report.")
    ] = True
    max_list_size: Annotated[
        Optional[PositiveInt],
        doc(
            "Longer lists are sampled uniformly; their `total` stays true. Default: as much as fits into AWS's 128 KB."
        ),
    ] = None


class CustomMetric(Section, frozen=True):
    """A custom metric: a built-in source, or a command of your own. `{}` takes the built-in of the metric's name."""

    type: Annotated[
        Optional[TypeName], doc("The metric's type in AWS IoT. Required with `command`; a built-in knows its own.")
    ] = None
    source: Annotated[
        Optional[Annotated[Name, Meta(extra_json_schema={"examples": list(BUILT_INS)})]],
        doc("A built-in, or a metric of an installed package. Default: the one with this metric's name."),
    ] = None
    path: Annotated[str, doc("For `disk_usage`: a path on the disk to measure.")] = "/"
    command: Annotated[
        Optional[Annotated[list[str], Meta(min_length=1)]],
        doc("A program and its arguments (no shell); it prints JSON, or one value a line."),
    ] = None
    timeout: Annotated[float, Meta(gt=0, le=60), doc("Seconds after which the command is ended.")] = 10.0


class LogFile(Section, frozen=True):
    """A log file to follow, or several."""

    file_path: Annotated[str, Meta(min_length=1), doc("The file's path; `*`, `?` and `[...]` as in a shell.")]
    log_group_name: Annotated[Optional[str], doc("Default: `logs.log_group_name`.")] = None
    log_stream_name: Annotated[
        Optional[str], doc("Default: the file's name, or its path where two of one group have the same name.")
    ] = None
    include_patterns: Annotated[
        list[str], doc("Send only lines in which one of these regular expressions is found.")
    ] = []
    exclude_patterns: Annotated[list[str], doc("Leave out lines in which one of these is found; they win.")] = []
    multi_line_start_pattern: Annotated[
        Optional[str], doc("What an event begins with; lines without it belong to the event before.")
    ] = None
    begin: Annotated[Literal["end", "start"], doc("Where to begin in a file that is there at the first start.")] = (
        field(name="from", default="end")
    )


class Files(Section, frozen=True):
    """The log files to follow."""

    collect_list: Annotated[list[LogFile], doc("One object for each file or pattern.")] = []


class Journal(Section, frozen=True):
    """Options of systemd's journal."""

    collect: Annotated[bool, doc("Whether to send it.")] = True
    units: Annotated[list[str], doc("Only these units (`sshd.service`).")] = []
    include_patterns: Annotated[list[str], doc("As those of a file.")] = []
    exclude_patterns: Annotated[list[str], doc("As those of a file.")] = []
    log_group_name: Annotated[Optional[str], doc("Default: `logs.log_group_name`.")] = None
    log_stream_name: Annotated[str, doc("The stream.")] = "journal"


class LogsCollected(Section, frozen=True):
    """The logs to send."""

    files: Annotated[Files, doc("Log files.")] = field(default_factory=Files)
    journal: Annotated[Union[bool, Journal], doc("systemd's journal, from the first start on.")] = False


class Logs(Section, frozen=True):
    """The logs that amazon-defender-cloudwatch sends to CloudWatch Logs."""

    logs_collected: Annotated[LogsCollected, doc("What is sent.")] = field(default_factory=LogsCollected)
    log_group_name: Annotated[
        str, doc("The log group; `{thing_name}`, `{instance_id}` (the same) and `{hostname}` are replaced.")
    ] = "/system/default/{instance_id}"
    retention_in_days: Annotated[
        Optional[int], doc("How long a log group that is made here keeps its events. Default: for ever.")
    ] = None
