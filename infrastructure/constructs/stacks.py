"""The stacks of a fleet, each made from its description."""

from __future__ import annotations

from functools import singledispatch

from aws_cdk import App, CfnOutput, LegacyStackSynthesizer, Stack, Tags

from infrastructure.constructs.alerts import Alerts
from infrastructure.constructs.artifacts_bucket import ArtifactsBucket
from infrastructure.constructs.claim import Claim
from infrastructure.constructs.cloudwatch_access import CloudWatchAccess
from infrastructure.constructs.custom_metric import CustomMetric
from infrastructure.constructs.device import Device
from infrastructure.constructs.device_policy import DevicePolicy
from infrastructure.constructs.engine import Engine
from infrastructure.constructs.fleet_group import FleetGroup
from infrastructure.constructs.greengrass_deployment import GreengrassDeployment
from infrastructure.constructs.log_group import LogGroup
from infrastructure.constructs.rotation import Rotation
from infrastructure.constructs.security_profile import SecurityProfile
from infrastructure.description import (
    ArtifactsStack,
    ClaimStack,
    CloudWatchStack,
    DetectStack,
    EngineBucketStack,
    EngineStack,
    FleetStack,
    GreengrassStack,
    LogsStack,
    StackDescription,
    ThingsStack,
)
from infrastructure.names import TAG


@singledispatch
def fill(description: StackDescription, stack: Stack) -> None:
    """Put into a stack what its description says."""
    raise TypeError(f"{description!r} describes no stack")


@fill.register
def _fill_fleet(description: FleetStack, stack: Stack) -> None:
    DevicePolicy(stack, "Policy", description.names, description.cloudwatch)
    FleetGroup(stack, "Group", description.names)


@fill.register
def _fill_things(description: ThingsStack, stack: Stack) -> None:
    for thing_name, request in sorted(description.requests.items()):
        Device(stack, thing_name, description.names, thing_name, request)


@fill.register
def _fill_detect(description: DetectStack, stack: Stack) -> None:
    names = description.names
    alerts = Alerts(stack, "Alerts", names, description.alert_email) if description.alert_email else None
    metrics = {
        name: CustomMetric(stack, f"Metric-{name}", name, metric_type).reference
        for name, metric_type in sorted(description.metrics.items())
    }
    for profile in description.profiles:
        targets = alerts.targets if alerts else None
        SecurityProfile(stack, f"Profile-{profile.name}", names, profile.document, metrics, targets)


@fill.register
def _fill_cloudwatch(description: CloudWatchStack, stack: Stack) -> None:
    CloudWatchAccess(stack, "Access", description.names, description.namespace, description.resources)


@fill.register
def _fill_logs(description: LogsStack, stack: Stack) -> None:
    for name, thing in sorted(description.groups.items()):
        LogGroup(stack, f"Group-{name}", name, thing, description.retention)


@fill.register
def _fill_artifacts(description: ArtifactsStack, stack: Stack) -> None:
    ArtifactsBucket(stack, "Artifacts", description.bucket)


@fill.register
def _fill_greengrass(description: GreengrassStack, stack: Stack) -> None:
    GreengrassDeployment(stack, "Greengrass", description)


@fill.register
def _fill_claim(description: ClaimStack, stack: Stack) -> None:
    rotation = Rotation(stack, "Rotation", description.names)
    Claim(stack, "Claim", description, rotation.role_arn, rotation.log_group)


@fill.register
def _fill_engine_bucket(description: EngineBucketStack, stack: Stack) -> None:
    ArtifactsBucket(stack, "Bucket", description.bucket)


@fill.register
def _fill_engine(description: EngineStack, stack: Stack) -> None:
    Engine(stack, "Engine", description)


def make_stack(app: App, description: StackDescription) -> Stack:
    """Make the stack that a description describes; its template tells by the digest which one that was."""
    # Of all synthesizers this is the one that needs nothing to be prepared in the account.
    stack = Stack(app, description.stack_name, synthesizer=LegacyStackSynthesizer())
    stack.template_options.metadata = {TAG: {"digest": description.digest}}
    # CloudFormation takes a change of metadata only along with another one, which a change of an output is.
    CfnOutput(stack, "Digest", value=description.digest)
    Tags.of(stack).add(TAG, description.names.prefix)
    fill(description, stack)
    return stack
