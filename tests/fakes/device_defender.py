"""Device Defender for ministack, which has none: custom metrics, security profiles, and verdicts on reports.

`install()` belongs into the emulator's process, before its first request. What AWS says about wording stands as AWS
says it; where nothing says what AWS answers, the plainest error of the API's model is taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import botocore.session
import msgspec
from botocore.validate import ParamValidator
from ministack.core.iam_actions import _match_rest_action
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    request_scope,
)
from ministack.services import iot
from ministack.services.cloudformation import provisioners

from defender_detect.judge.topics import parse_topic
from defender_detect.judge.verdict import MINIMUM_INTERVAL, Accepted, LastReport, judge
from device_defender.profile_rules import find_profile_problems

METRIC, PROFILE = "AWS::IoT::CustomMetric", "AWS::IoT::SecurityProfile"
MOST_METRICS, MOST_PROFILES_PER_TARGET = 100, 5
METRIC_TYPES = ("number", "number-list", "string-list", "ip-address-list")
ALL_THINGS = ("all/things", "all/registered-things", "all/unregistered-things")

metrics = AccountRegionScopedDict()  # name to record
profiles = AccountRegionScopedDict()  # name to record, whose "targets" are ARNs
reports: list[dict[str, Any]] = []  # every report that was judged, in order of arrival
intervals: dict[str, float] = {}  # account to the least seconds between two reports of a thing

Reply = tuple[int, dict[str, str], bytes]


class Refused(Exception):
    """An API call that is refused, with AWS's code and message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.reply = error_response_json(code, message, status)


def arn(kind: str, name: str) -> str:
    """Return the ARN of a `custommetric` or a `securityprofile` of this account and region."""
    return f"arn:aws:iot:{get_region()}:{get_account_id()}:{kind}/{name}"


def invalid(message: str) -> Refused:
    return Refused("InvalidRequestException", message)


def missing(kind: str, name: str) -> Refused:
    return Refused("ResourceNotFoundException", f"{kind} {name} does not exist", 404)


def check_shape(operation: str, parameters: Mapping[str, Any]) -> None:
    """Raise Refused unless the parameters have the keys and types of the API's model."""
    shape = _model().operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    unknown = sorted(set(parameters) - set(shape.members))
    if report.has_errors() or unknown:
        raise invalid(f"{report.generate_report()} {f'unknown parameters {unknown}' if unknown else ''}".strip())


def _model() -> Any:
    return botocore.session.get_session().get_service_model("iot")


def create_metric(name: str, document: Mapping[str, Any]) -> dict[str, str]:
    """Define a custom metric; its type cannot be changed afterwards."""
    check_shape("CreateCustomMetric", {"metricName": name, "clientRequestToken": "-", **document})
    if name.lower().startswith("aws:") or document["metricType"] not in METRIC_TYPES:
        raise invalid(f"metricName {name} or metricType {document['metricType']} is not valid")
    if name in metrics:
        raise Refused("ResourceAlreadyExistsException", f"CustomMetric {name} already exists", 409)
    if len(metrics) >= MOST_METRICS:
        raise Refused("LimitExceededException", "The maximum number of custom metrics is reached", 410)
    metrics[name] = {
        **document,
        "metricName": name,
        "metricArn": arn("custommetric", name),
        "creationDate": time.time(),
    }
    iot._set_created_tags(arn("custommetric", name), document.get("tags"))
    return {"metricName": name, "metricArn": arn("custommetric", name)}


def describe_metric(name: str) -> dict[str, Any]:
    if name not in metrics:
        raise missing("CustomMetric", name)
    shown = {key: value for key, value in metrics[name].items() if key not in ("tags", "clientRequestToken")}
    return {**shown, "lastModifiedDate": shown["creationDate"]}


def delete_metric(name: str) -> dict[str, Any]:
    """Delete a custom metric, which no profile may use any more."""
    users = sorted(profile for profile in profiles if name in metrics_of(profiles[profile]))
    if users:
        raise invalid(f"Cannot delete custom metric {name}: it is in use by security profile(s) {', '.join(users)}")
    metrics.pop(name, None)
    return {}


def metrics_of(document: Mapping[str, Any]) -> set[str]:
    """Return the custom metrics that a profile names."""
    kept = [entry["metric"] for entry in document.get("additionalMetricsToRetainV2", ())]
    named = {*kept, *document.get("additionalMetricsToRetain", ()), *(b["metric"] for b in behaviors_of(document))}
    return {name for name in named if not name.startswith("aws:")}


def behaviors_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [behavior for behavior in document.get("behaviors", ()) if "metric" in behavior]


def find_unknown(document: Mapping[str, Any]) -> list[str]:
    return [f"Custom metric {name} does not exist" for name in sorted(metrics_of(document)) if name not in metrics]


def check_profile(operation: str, name: str, document: Mapping[str, Any]) -> None:
    check_shape(operation, {"securityProfileName": name, **document})
    problems = find_profile_problems({"securityProfileName": name, **document}) + find_unknown(document)
    if problems:
        raise invalid("; ".join(problems))


def create_profile(name: str, document: Mapping[str, Any]) -> dict[str, str]:
    """Create a security profile, attached to nothing."""
    check_profile("CreateSecurityProfile", name, document)
    if name in profiles:
        raise Refused("ResourceAlreadyExistsException", f"SecurityProfile {name} already exists", 409)
    profiles[name] = {**document, "targets": [], "version": 1, "creationDate": time.time()}
    iot._set_created_tags(arn("securityprofile", name), document.get("tags"))
    return {"securityProfileName": name, "securityProfileArn": arn("securityprofile", name)}


def describe_profile(name: str) -> dict[str, Any]:
    if name not in profiles:
        raise missing("SecurityProfile", name)
    shown = {key: value for key, value in profiles[name].items() if key not in ("targets", "tags")}
    named = {"securityProfileName": name, "securityProfileArn": arn("securityprofile", name)}
    return {**named, **shown, "lastModifiedDate": shown["creationDate"]}


def delete_profile(name: str) -> dict[str, Any]:
    profiles.pop(name, None)
    return {}


def attach_profile(name: str, target: str) -> dict[str, Any]:
    """Attach a profile to a thing group that exists, or to all things."""
    if name not in profiles:
        raise missing("SecurityProfile", name)
    start = f"arn:aws:iot:{get_region()}:{get_account_id()}:"
    kind, _, group = target.removeprefix(start).partition("/")
    if not target.startswith(start) or (kind != "thinggroup" and target.removeprefix(start) not in ALL_THINGS):
        raise invalid(f"Invalid security profile target {target}")
    if kind == "thinggroup" and group not in iot._thing_groups:
        raise missing("ThingGroup", group)
    if target not in profiles[name]["targets"]:
        if len(list_profiles_for_target(target)["securityProfileTargetMappings"]) >= MOST_PROFILES_PER_TARGET:
            raise Refused("LimitExceededException", f"{target} has its maximum of security profiles", 410)
        profiles[name]["targets"].append(target)
    return {}


def detach_profile(name: str, target: str) -> dict[str, Any]:
    profiles[name]["targets"] = [each for each in profiles[name]["targets"] if each != target]
    return {}


def list_profiles_for_target(target: str) -> dict[str, Any]:
    attached = [identify(name) for name in profiles if target in profiles[name]["targets"]]
    mappings = [{"securityProfileIdentifier": each, "target": {"arn": target}} for each in attached]
    return {"securityProfileTargetMappings": mappings}


def identify(name: str) -> dict[str, str]:
    return {"name": name, "arn": arn("securityprofile", name)}


def list_profiles(metric: str | None) -> dict[str, Any]:
    named = [name for name in profiles if metric is None or metric in metrics_of(profiles[name])]
    return {"securityProfileIdentifiers": [identify(name) for name in named]}


def list_targets(name: str) -> dict[str, Any]:
    if name not in profiles:
        raise missing("SecurityProfile", name)
    return {"securityProfileTargets": [{"arn": target} for target in profiles[name]["targets"]]}


def validate_behaviors(document: Mapping[str, Any]) -> dict[str, Any]:
    """Say what is wrong with behaviors; whether AWS wants the custom metrics to exist already, nothing says."""
    check_shape("ValidateSecurityProfileBehaviors", document)
    problems = find_profile_problems({"securityProfileName": "any", **document})
    return {"valid": not problems, "validationErrors": [{"errorMessage": problem} for problem in problems]}


Query, Document = Mapping[str, str], Mapping[str, Any]
ACTIONS: dict[str, Callable[[str, Query, Document], dict[str, Any]]] = {
    "CreateCustomMetric": lambda name, query, document: create_metric(name, document),
    "DescribeCustomMetric": lambda name, query, document: describe_metric(name),
    "ListCustomMetrics": lambda name, query, document: {"metricNames": sorted(metrics)},
    "DeleteCustomMetric": lambda name, query, document: delete_metric(name),
    "CreateSecurityProfile": lambda name, query, document: create_profile(name, document),
    "DescribeSecurityProfile": lambda name, query, document: describe_profile(name),
    "ListSecurityProfiles": lambda name, query, document: list_profiles(query.get("metricName")),
    "DeleteSecurityProfile": lambda name, query, document: delete_profile(name),
    "AttachSecurityProfile": lambda name, query, document: attach_profile(name, query["securityProfileTargetArn"]),
    "DetachSecurityProfile": lambda name, query, document: detach_profile(name, query["securityProfileTargetArn"]),
    "ListTargetsForSecurityProfile": lambda name, query, document: list_targets(name),
    "ListSecurityProfilesForTarget": lambda name, query, document: list_profiles_for_target(
        query["securityProfileTargetArn"]
    ),
    "ValidateSecurityProfileBehaviors": lambda name, query, document: validate_behaviors(document),
}
_route = iot._route_request


async def route_request(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Reply:
    """Answer Device Defender's calls, and leave all others to ministack."""
    action = ACTIONS.get(_match_rest_action("iot", method, path, query) or "")
    if action is None:
        reply: Reply = await _route(method, path, headers, body, query)
        return reply
    values = {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
    try:
        return json_response(action(unquote(f"{path}///".split("/")[2]), values, json.loads(body or b"{}")))  # type: ignore[no-any-return]
    except Refused as refused:
        return refused.reply


Properties, Resource = Mapping[str, Any], tuple[str, dict[str, str]]


def parse_properties(properties: Properties, *left_out: str) -> dict[str, Any]:
    """Return CloudFormation's properties as the API has them; raise ValueError where its schema is not kept."""
    kept = {key: value for key, value in properties.items() if key not in ("Tags", "AlertTargets", *left_out)}
    document: dict[str, Any] = provisioners._pascal_to_camel(kept)
    for behavior in behaviors_of(document):
        value = behavior.get("criteria", {}).get("value", {})
        if "count" in value:
            if not isinstance(value["count"], str):
                raise ValueError("Model validation failed (#/Behaviors/Criteria/Value/Count: expected type: String)")
            value["count"] = int(value["count"])
    if "AlertTargets" in properties:  # a map, whose keys stay as they are
        targets = properties["AlertTargets"].items()
        document["alertTargets"] = {kind: provisioners._pascal_to_camel(target) for kind, target in targets}
    if "Tags" in properties:
        document["tags"] = provisioners._iot_tags(properties)
    return document


def provision_metric(logical_id: str, properties: Properties, stack: str) -> Resource:
    name = properties.get("MetricName") or provisioners._physical_name(stack, logical_id)
    if name in metrics:
        raise ValueError(f"Resource of type '{METRIC}' with identifier '{name}' already exists.")
    return name, {"MetricArn": create_metric(name, parse_properties(properties, "MetricName"))["metricArn"]}


def update_metric(name: str, before: Properties, after: Properties, stack: str) -> Resource:
    metrics[name].update(parse_properties(after, "MetricName", "MetricType"))
    provisioners._iot_update_tags(arn("custommetric", name), before, after)
    return name, {"MetricArn": arn("custommetric", name)}


def provision_profile(logical_id: str, properties: Properties, stack: str) -> Resource:
    name = properties.get("SecurityProfileName") or provisioners._physical_name(stack, logical_id)
    if name in profiles:
        raise ValueError(f"Resource of type '{PROFILE}' with identifier '{name}' already exists.")
    create_profile(name, parse_properties(properties, "SecurityProfileName", "TargetArns"))
    try:
        for target in properties.get("TargetArns", ()):
            attach_profile(name, target)
    except Refused:
        delete_profile(name)
        raise
    return name, {"SecurityProfileArn": arn("securityprofile", name)}


def update_profile(name: str, before: Properties, after: Properties, stack: str) -> Resource:
    """Put the new document in place of the old one, and make the attachments equal TargetArns."""
    document = parse_properties(after, "SecurityProfileName", "TargetArns")
    check_profile("CreateSecurityProfile", name, document)
    record = profiles[name]
    profiles[name] = {**document, **{key: record[key] for key in ("targets", "version", "creationDate")}}
    for target in set(record["targets"]) - set(after.get("TargetArns", ())):
        detach_profile(name, target)
    for target in after.get("TargetArns", ()):
        attach_profile(name, target)
    provisioners._iot_update_tags(arn("securityprofile", name), before, after)
    return name, {"SecurityProfileArn": arn("securityprofile", name)}


_publish = iot.broker_publish


async def publish(account: str, region: str, topic: str, payload: bytes, *rest: Any, **options: Any) -> None:
    """Deliver a message, and answer it if it is a report."""
    await _publish(account, region, topic, payload, *rest, **options)
    parsed = parse_topic(topic)
    if parsed is None:
        return
    before = [
        each for each in reports if each["accepted"] and (each["account"], each["thing"]) == (account, parsed.thing)
    ]
    last = LastReport(before[-1]["report_id"], before[-1]["at"]) if before else None
    verdict = judge(parsed, payload, time.time(), last, intervals.get(account, MINIMUM_INTERVAL))
    entry = {"account": account, "region": region, "thing": verdict.thing, "report_id": verdict.report_id}
    reason = {} if isinstance(verdict, Accepted) else {"code": verdict.code, "message": verdict.message}
    report = msgspec.to_builtins(verdict.report) if isinstance(verdict, Accepted) else None
    accepted = isinstance(verdict, Accepted)
    reports.append({**entry, "accepted": accepted, "at": verdict.timestamp / 1000, "report": report, **reason})
    with request_scope(account, region):
        await _publish(account, region, *verdict.reply())


def install() -> None:
    """Add Device Defender to ministack."""
    iot._route_request, iot.broker_publish = route_request, publish
    iot._TAGGABLE_RESOURCES["custommetric"] = (metrics, "Custom Metric {name} does not exist.")
    iot._TAGGABLE_RESOURCES["securityprofile"] = (profiles, "Security Profile {name} does not exist.")
    delete = {METRIC: delete_metric, PROFILE: delete_profile}
    provisioners._RESOURCE_HANDLERS[METRIC] = {"create": provision_metric, "update": update_metric}
    provisioners._RESOURCE_HANDLERS[PROFILE] = {"create": provision_profile, "update": update_profile}
    for kind, names in {METRIC: ("MetricName", "MetricType"), PROFILE: ("SecurityProfileName",)}.items():
        provisioners._RESOURCE_HANDLERS[kind]["delete"] = lambda name, properties, kind=kind: delete[kind](name)
        provisioners._REPLACING_PROPERTIES[kind] = names
        provisioners._STACK_TAG_PROPERTY[kind] = ("Tags", "list")
