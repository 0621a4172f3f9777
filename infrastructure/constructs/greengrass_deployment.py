"""A version of the component, and its deployment to a thing group."""

from __future__ import annotations

import json

from aws_cdk import CfnOutput, Fn
from aws_cdk.aws_greengrassv2 import CfnComponentVersion, CfnDeployment
from aws_cdk.aws_iot import CfnThingGroup
from constructs import Construct

from infrastructure.description import GreengrassStack
from infrastructure.names import TAG


class GreengrassDeployment(Construct):
    """What brings the component to cores; whatever else the thing group had deployed to it is replaced."""

    def __init__(self, scope: Construct, construct_id: str, description: GreengrassStack) -> None:
        super().__init__(scope, construct_id)
        component = CfnComponentVersion(self, "Component", inline_recipe=description.recipe)
        component.add_metadata(TAG, {"version": description.version, "artifacts": dict(description.artifacts)})
        deployment = CfnDeployment(
            self,
            "Deployment",
            deployment_name=description.names.prefix,
            target_arn=self._target(description),
            components={description.component: _specify(component.attr_component_version, description)},
        )
        outputs = {"DeploymentId": deployment.attr_deployment_id, "ComponentArn": component.attr_arn}
        for name, value in {**outputs, "Group": description.group}.items():
            CfnOutput(self, name, value=value).override_logical_id(name)

    def _target(self, description: GreengrassStack) -> str:
        """Return the ARN of the group, which is made here if it is the fleet's own."""
        if description.own_group:
            return CfnThingGroup(self, "Cores", thing_group_name=description.group).attr_arn
        return Fn.sub(
            f"arn:${{AWS::Partition}}:iot:${{AWS::Region}}:${{AWS::AccountId}}:thinggroup/{description.group}"
        )


def _specify(version: str, description: GreengrassStack) -> CfnDeployment.ComponentDeploymentSpecificationProperty:
    """Return what is deployed: what the configuration no longer says is reset to the recipe's defaults."""
    update = CfnDeployment.ComponentConfigurationUpdateProperty(
        reset=[""], merge=json.dumps(dict(description.configuration), sort_keys=True)
    )
    return CfnDeployment.ComponentDeploymentSpecificationProperty(
        component_version=version, configuration_update=update
    )
