"""The metrics of Device Defender: what each is called and holds, and which names there may be.

Everybody imports from here, so these stay: `DEVICE_SIDE`, `CLOUD_SIDE`, `SILENCE`, `SUMMED`, `TYPES`, `BUILT_INS`,
`AWS_PREFIX`, `LARGEST_COUNT`, `TypeName`, `Name`, `is_name`, `is_custom_metric_name` and `is_thing_name`. The source
is https://docs.aws.amazon.com/iot-device-defender/latest/devguide/device-defender-detect.html and the service's model.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from device_defender.definition import that

AWS_PREFIX = "aws:"  # of the metrics that AWS IoT defines; a custom metric's name cannot begin so
LARGEST_COUNT = 2**63 - 1  # AWS's long
LONGEST_THING_NAME = 128  # bytes; a client ID has no more

DEVICE_SIDE: Mapping[str, str] = MappingProxyType(  # what reports hold, with the key of the value in a security profile
    {
        "aws:all-bytes-in": "count",
        "aws:all-bytes-out": "count",
        "aws:all-packets-in": "count",
        "aws:all-packets-out": "count",
        "aws:num-listening-tcp-ports": "count",
        "aws:num-listening-udp-ports": "count",
        "aws:num-established-tcp-connections": "count",
        "aws:listening-tcp-ports": "ports",
        "aws:listening-udp-ports": "ports",
        "aws:destination-ip-addresses": "cidrs",
    }
)
CLOUD_SIDE: Mapping[str, str] = MappingProxyType(  # what the broker's side sees of a thing, likewise
    {
        "aws:message-byte-size": "count",
        "aws:num-authorization-failures": "count",
        "aws:num-connection-attempts": "count",
        "aws:num-disconnects": "count",
        "aws:num-messages-received": "count",
        "aws:num-messages-sent": "count",
        "aws:disconnect-duration": "count",
        "aws:source-ip-address": "cidrs",
    }
)
SILENCE = "aws:disconnect-duration"  # in minutes; the one cloud-side metric that whoever receives reports knows, too
SUMMED = ("aws:all-bytes-in", "aws:all-bytes-out", "aws:all-packets-in", "aws:all-packets-out")  # over durationSeconds

TypeName = Literal["number", "number-list", "string-list", "ip-address-list"]  # the API's metricType


class MetricType(NamedTuple):
    """A custom metric's type: the key of its value in a report, and in a security profile."""

    in_report: str
    in_profile: str


TYPES: Mapping[str, MetricType] = MappingProxyType(
    {
        "number": MetricType("number", "number"),
        "number-list": MetricType("number_list", "numbers"),
        "string-list": MetricType("string_list", "strings"),
        "ip-address-list": MetricType("ip_list", "cidrs"),
    }
)


class BuiltIn(NamedTuple):
    """A custom metric that the publisher measures by itself.

    `collector` is what measures it, `module:name` below `defender_publisher.collectors`: a function, or a class whose
    instances measure over time. `given` is the argument it takes: a "path" on a disk, a "procfs_path", or none. `unit`
    is "%", or "" where there is none that matters.
    """

    type: TypeName
    description: str
    collector: str
    given: str = ""
    unit: str = ""


BUILT_INS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "cpu_usage": BuiltIn(
            "number",
            "How busy the processors were since the last look, in percent of all of them (0 to 100).",
            "cpu:CpuUsage",
            "procfs_path",
            "%",
        ),
        "memory_usage": BuiltIn(
            "number",
            "Memory that is not available to programs, in percent.",
            "machine:memory_usage",
            "procfs_path",
            "%",
        ),
        "swap_usage": BuiltIn(
            "number",
            "Swap space used, in percent; left out on a machine without.",
            "machine:swap_usage",
            "procfs_path",
            "%",
        ),
        "disk_usage": BuiltIn(
            "number", "Used space of the disk that holds `path`, in percent.", "machine:disk_usage", "path", "%"
        ),
        "load_average": BuiltIn("number-list", "The load over 1, 5 and 15 minutes.", "machine:load_average"),
        "cpu_temperature": BuiltIn(
            "number", "The hottest processor sensor, in degrees Celsius.", "temperature:cpu_temperature"
        ),
        "process_count": BuiltIn(
            "number",
            "How many processes there are, with the kernel's threads.",
            "processes:process_count",
            "procfs_path",
        ),
        "process_names": BuiltIn(
            "string-list",
            "The running programs, without the kernel's threads.",
            "processes:process_names",
            "procfs_path",
        ),
        "logged_in_users": BuiltIn("string-list", "The users who are logged in.", "machine:logged_in_users"),
        "uptime": BuiltIn("number", "Whole seconds since boot.", "machine:uptime", "procfs_path"),
        "interface_addresses": BuiltIn(
            "ip-address-list",
            "The addresses of all interfaces but the loopback.",
            "interfaces:interface_addresses",
            "procfs_path",
        ),
        "open_file_count": BuiltIn(
            "number", "How many files are open in the whole system (Linux).", "machine:open_file_count", "procfs_path"
        ),
    }
)

PERCENT = frozenset(name for name, each in BUILT_INS.items() if each.unit == "%")

# Things that CreateThing makes, metrics, security profiles and behaviors are all named alike. Python's $ allows a
# newline after it, and \Z is unknown to the JSON Schema that is made of this.
NAME = r"[a-zA-Z0-9:_-]{1,128}"
NAME_PATTERN = rf"^{NAME}$(?!\n)"
NAME_WORDS = "1 to 128 of the characters a-z A-Z 0-9 : _ -"
Name = Annotated[str, Meta(pattern=NAME_PATTERN), that(None, NAME_WORDS)]

_NAME = re.compile(NAME)
_NOT_IN_A_THING_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f/+#]")  # control characters, and what ends or widens a level


def is_name(text: Any) -> bool:
    """Tell whether something is a name that the IoT API gives to things, metrics, profiles and behaviors."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text))


def is_custom_metric_name(text: Any) -> bool:
    """Tell whether something is a name that a custom metric can have."""
    return is_name(text) and not text.startswith(AWS_PREFIX)


def is_thing_name(text: Any) -> bool:
    """Tell whether something can be the name of a thing that reports.

    That is more than CreateThing allows: AWS takes reports of whatever can be a client ID and a level of a topic.
    """
    if not isinstance(text, str) or not text or len(text) > LONGEST_THING_NAME:
        return False
    try:
        return len(text.encode()) <= LONGEST_THING_NAME and not _NOT_IN_A_THING_NAME.search(text)
    except UnicodeEncodeError:  # half a surrogate pair
        return False
