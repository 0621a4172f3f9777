"""What CloudWatch and CloudWatch Logs refuse, and ministack does not: the limits of PutMetricData and PutLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from ministack.core import iam_actions
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cloudwatch, cloudwatch_logs, tagging

HOUR, DAY = 3_600_000, 86_400_000  # milliseconds
LARGEST_BATCH, MOST_EVENTS, EXTRA = 1_048_576, 10_000, 26  # bytes, events, bytes an event
LARGEST_EVENT = 1_048_576  # bytes; 256 KB before 2025
OLDEST, NEWEST = 14 * DAY, 2 * HOUR
GROUP, STREAM = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}"), re.compile(r"[^:*]{1,512}")
RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731}
RETENTIONS |= {1096, 1827, 2192, 2557, 2922, 3288, 3653}

LARGEST_CALL, MOST_METRICS, MOST_DIMENSIONS, MOST_VALUES = 1_048_576, 1_000, 30, 150
LARGEST_VALUE = 2.0**360
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"}
UNITS |= {f"{size}{kind}{rate}" for size in ("", "Kilo", "Mega", "Giga", "Tera") for kind in ("bytes", "bits")
          for rate in ("", "/Second") if size}  # fmt: skip
UNITS |= {"Bytes", "Bits", "Bytes/Second", "Bits/Second"}

Reply = tuple[int, dict[str, str], bytes]


class Refused(Exception):
    """A call that is refused, with AWS's code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reply: Reply = error_response_json(code, message, 400)


def check_shape(service: str, operation: str, content: Mapping[str, Any], code: str) -> None:
    """Raise Refused unless a call has the keys and the types of the API's model."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(content, shape)
    unknown = sorted(set(content) - set(shape.members))
    if report.has_errors() or unknown:
        raise Refused(code, f"{report.generate_report()} {f'unknown parameters {unknown}' if unknown else ''}".strip())


def check_events(events: Sequence[Mapping[str, Any]]) -> None:
    """Raise Refused for a batch that PutLogEvents does not take as a whole."""
    if len(events) > MOST_EVENTS:
        raise _bad(f"Value at 'logEvents' failed to satisfy constraint: its length must be at most {MOST_EVENTS}")
    sizes = [len(each["message"].encode()) for each in events]
    if max(sizes) + EXTRA > LARGEST_EVENT:
        raise _bad(f"Log event too large: {max(sizes) + EXTRA} bytes exceeds limit of {LARGEST_EVENT}")
    if (total := sum(sizes) + EXTRA * len(events)) > LARGEST_BATCH:
        raise _bad(f"Upload too large: {total} bytes exceeds limit of {LARGEST_BATCH}")
    times = [each["timestamp"] for each in events]
    if times[0] < 0 or times != sorted(times):
        raise _bad("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > DAY:
        raise _bad("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _bad(message: str) -> Refused:
    return Refused("InvalidParameterException", message)


def rejections(times: Sequence[int], now: float, retention: int | None) -> dict[str, int]:
    """Return what PutLogEvents says of events that it takes not for their time: by index, the rest is taken."""
    found = {}
    if expired := sum(each < now - (retention or 10**6) * DAY for each in times):
        found["expiredLogEventEndIndex"] = expired
    if old := sum(each < now - OLDEST for each in times):
        found["tooOldLogEventEndIndex"] = old
    if new := sum(each > now + NEWEST for each in times):
        found["tooNewLogEventStartIndex"] = len(times) - new
    return found


_put_log_events = cloudwatch_logs._put_log_events


def put_log_events(content: dict[str, Any]) -> Reply:
    """Take the events that CloudWatch Logs takes."""
    try:
        check_shape("logs", "PutLogEvents", content, "InvalidParameterException")
        check_events(content["logEvents"])
    except Refused as refused:
        return refused.reply
    group = cloudwatch_logs._log_groups.get(content["logGroupName"]) or {}
    events = content["logEvents"]
    rejected = rejections([each["timestamp"] for each in events], time.time() * 1000, group.get("retentionInDays"))
    begin = max(rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0))
    taken = events[begin : rejected.get("tooNewLogEventStartIndex", len(events))]
    status, headers, body = _put_log_events({**content, "logEvents": taken})
    if status == 200 and rejected:
        body = json.dumps({**json.loads(body), "rejectedLogEventsInfo": rejected}).encode()
        headers = {key: value for key, value in headers.items() if key.lower() != "content-length"}
    return status, headers, body


def demand(operation: str, key: str, shape: re.Pattern[str]) -> None:
    """Let an operation of CloudWatch Logs refuse a name that is none."""
    name = f"_{re.sub('([A-Z])', lambda found: '_' + found[1].lower(), operation).lstrip('_')}"
    call = getattr(cloudwatch_logs, name)

    def checked(content: dict[str, Any]) -> Reply:
        if not shape.fullmatch(str(content.get(key, ""))):
            return _bad(f"Value '{content.get(key)}' at '{key}' failed to satisfy constraint: {shape.pattern}").reply
        reply: Reply = call(content)
        return reply

    setattr(cloudwatch_logs, name, checked)


_put_retention_policy = cloudwatch_logs._put_retention_policy


def put_retention_policy(content: dict[str, Any]) -> Reply:
    if content.get("retentionInDays") not in RETENTIONS:
        return _bad(
            f"Value '{content.get('retentionInDays')}' at 'retentionInDays' must be in {sorted(RETENTIONS)}"
        ).reply
    reply: Reply = _put_retention_policy(content)
    return reply


def check_metrics(content: Mapping[str, Any], now: float) -> None:
    """Raise Refused for what PutMetricData does not take."""
    check_shape("cloudwatch", "PutMetricData", content, "InvalidParameterValue")
    namespace, data = content["Namespace"], content.get("MetricData", [])
    if not re.fullmatch(r"[^:].{0,254}", namespace) or namespace.startswith("AWS/"):
        raise Refused("InvalidParameterValue", f"The value {namespace} for parameter Namespace is invalid.")
    if not 1 <= len(data) <= MOST_METRICS:
        raise Refused("InvalidParameterValue", f"The collection MetricData must have 1 to {MOST_METRICS} members.")
    for index, each in enumerate(data, 1):
        for problem in _problems(each, now):
            raise Refused("InvalidParameterValue", f"The parameter MetricData.member.{index}.{problem}")


def _problems(datum: Mapping[str, Any], now: float) -> Any:
    if not 1 <= len(datum["MetricName"]) <= 255:
        yield "MetricName must have 1 to 255 characters."
    dimensions = [each["Name"] for each in datum.get("Dimensions", [])]
    if len(dimensions) > MOST_DIMENSIONS or len(set(dimensions)) < len(dimensions):
        yield f"Dimensions must be at most {MOST_DIMENSIONS}, each of another name."
    for each in datum.get("Dimensions", []):
        if not each["Value"] or not each["Value"].isascii() or not each["Name"].isascii() or each["Name"][:1] == ":":
            yield f"Dimensions: {each['Name']} is invalid."
    values = [*datum.get("Values", []), *([datum["Value"]] if "Value" in datum else [])]
    if len(datum.get("Values", [])) > MOST_VALUES:
        yield f"Values must be at most {MOST_VALUES}."
    if not values and "StatisticValues" not in datum:
        yield "Value is missing."
    for value in values:
        if not math.isfinite(value) or abs(value) > LARGEST_VALUE:
            yield f"Value {value} is invalid."
    at = cloudwatch._parse_ts(datum.get("Timestamp")) or now
    if not now - OLDEST / 1000 <= at <= now + NEWEST / 1000:
        yield f"Timestamp {datum['Timestamp']} must be within the last two weeks, and at most two hours ahead."
    if datum.get("Unit", "None") not in UNITS:
        yield f"Unit {datum['Unit']} is invalid."
    if datum.get("StorageResolution", 60) not in (1, 60):
        yield "StorageResolution must be 1 or 60."


_put_metric_data = cloudwatch._put_metric_data


def put_metric_data(parameters: Any, content: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
    """Take the metrics that CloudWatch takes; what boto3 sends is CBOR, and has the same limits."""
    size = len(json.dumps(content, default=str).encode())
    try:
        if size > LARGEST_CALL:
            raise Refused("RequestEntityTooLarge", f"Request size {size} exceeded {LARGEST_CALL} bytes")
        if is_json:
            check_metrics(content, time.time())
    except Refused as refused:
        return refused.reply
    return _put_metric_data(parameters, content, is_cbor, is_json)


def name_resources() -> None:
    """Tell policies which stream a call works on, and which namespace it puts metrics into."""
    extract, tags = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
        found = str(extract(service, method, path, headers, body, *rest))
        if service != "logs" or ":log-group:" not in found:
            return found
        stream = iam_actions._safe_json_field(body, "logStreamName")
        return f"{found}:log-stream:{stream}" if stream else found

    def request_tag_context(service: str, action: str, body: bytes, parameters: Any) -> Any:
        found = tags(service, action, body, parameters)
        if action != "cloudwatch:PutMetricData" or body[:1] != b"{":
            return found
        return {**found, "cloudwatch:namespace": iam_actions._safe_json_field(body, "Namespace")}

    iam_actions.extract_resource_arn, iam_actions.request_tag_context = extract_resource_arn, request_tag_context


def tag_log_groups() -> None:
    """Let policies go by the tags of log groups, as `aws:ResourceTag/...`."""

    def collect() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for name, group in cloudwatch_logs._log_groups.items():
            tags = [{"Key": key, "Value": value} for key, value in group.get("tags", {}).items()]
            yield f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}", tags

    tagging._RESOURCE_TAG_COLLECTORS["logs"] = collect


def install() -> None:
    """Let ministack refuse what AWS refuses."""
    cloudwatch_logs._put_log_events, cloudwatch._put_metric_data = put_log_events, put_metric_data
    cloudwatch_logs._put_retention_policy = put_retention_policy
    demand("CreateLogGroup", "logGroupName", GROUP)
    demand("CreateLogStream", "logStreamName", STREAM)
    name_resources()
    tag_log_groups()
