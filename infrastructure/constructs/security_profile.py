"""A security profile on the fleet's thing group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Fn
from aws_cdk.aws_iot import CfnSecurityProfile
from constructs import Construct

from infrastructure.names import Names


class SecurityProfile(Construct):
    """A security profile as its document says it, which has the keys that CloudFormation has.

    `metrics` holds what to call the custom metrics that are made along with it: a reference, so that they come first
    and go last.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        names: Names,
        document: Mapping[str, Any],
        metrics: Mapping[str, str],
        alert_targets: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        CfnSecurityProfile(
            self,
            "Profile",
            security_profile_name=names.profile(document["securityProfileName"]),
            security_profile_description=document.get("securityProfileDescription"),
            behaviors=[_behavior(behavior, metrics) for behavior in document.get("behaviors", [])] or None,
            additional_metrics_to_retain_v2=_metrics_to_retain(document, metrics) or None,
            alert_targets=document.get("alertTargets") or alert_targets,
            metrics_export_config=document.get("metricsExportConfig"),
            tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in document.get("tags", [])] or None,
            target_arns=[_group_arn(names)],
        )


def _behavior(document: Mapping[str, Any], metrics: Mapping[str, str]) -> dict[str, Any]:
    behavior = _with_reference(document, metrics)
    value = document.get("criteria", {}).get("value", {})
    if "count" in value:  # a long, which CloudFormation has as a string
        behavior["criteria"] = {**document["criteria"], "value": {**value, "count": str(value["count"])}}
    return behavior


def _metrics_to_retain(document: Mapping[str, Any], metrics: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the metrics to keep; CloudFormation has only the newer of the API's two lists."""
    entries = [{"metric": name} for name in document.get("additionalMetricsToRetain", [])]
    entries += document.get("additionalMetricsToRetainV2", [])
    return [_with_reference(entry, metrics) for entry in entries]


def _with_reference(entry: Mapping[str, Any], metrics: Mapping[str, str]) -> dict[str, Any]:
    return {**entry, "metric": metrics.get(entry["metric"], entry["metric"])}


def _group_arn(names: Names) -> str:
    return Fn.sub(f"arn:${{AWS::Partition}}:iot:${{AWS::Region}}:${{AWS::AccountId}}:thinggroup/{names.group}")
