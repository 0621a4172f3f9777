"""AWS IoT Greengrass V2 for ministack, which has none: cores, component versions and deployments.

The API as far as deploy.py asks it, and AWS::GreengrassV2::ComponentVersion and Deployment in CloudFormation. What a
deployment does on a core is not here: nobody downloads anything.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import yaml
from ministack.core import iam_evaluator
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.core.router import extract_access_key_id
from ministack.services import iot, s3
from ministack.services.cloudformation import provisioners

VERSION, DEPLOYMENT = "AWS::GreengrassV2::ComponentVersion", "AWS::GreengrassV2::Deployment"
LARGEST_RECIPE = 16_384  # bytes
ARTIFACT = re.compile(r"s3://([^/]+)/(.+)")
ROUTES = {
    "ListDeployments": re.compile(r"/greengrass/v2/deployments"),
    "GetDeployment": re.compile(r"/greengrass/v2/deployments/([^/]+)"),
    "GetCoreDevice": re.compile(r"/greengrass/v2/coreDevices/([^/]+)"),
    "DescribeComponent": re.compile(r"/greengrass/v2/components/([^/]+)/metadata"),
}

cores = AccountRegionScopedDict()  # thing name to record
components = AccountRegionScopedDict()  # ARN to record
deployments = AccountRegionScopedDict()  # id to record

Reply = tuple[int, dict[str, str], bytes]


def action_of(method: str, path: str) -> str | None:
    """Return the action of a request, None for one that is not here."""
    found = [name for name, route in ROUTES.items() if method == "GET" and route.fullmatch(path.rstrip("/"))]
    return found[0] if found else None


def answer(path: str, headers: dict[str, str], query: Mapping[str, Any], action: str) -> Reply:
    """Answer a request of the API, which the policies of who asks must allow."""
    found = ROUTES[action].fullmatch(path.rstrip("/"))
    subject = unquote(found[1]) if found is not None and found.groups() else ""
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query),
        f"greengrass:{action}",
        "greengrass",
        get_region(),
        _resource(action, subject),
    )
    if isinstance(denied, iam_evaluator.EvalResult):
        message = (
            f"User: {denied.principal_arn} is not authorized to perform: greengrass:{action} on resource: {subject}"
        )
        return error_response_json("AccessDeniedException", message, 403)
    values = {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
    if action == "ListDeployments":
        latest = [each for each in deployments.values() if each["isLatestForTarget"]]
        found_deployments = [each for each in latest if values.get("targetArn", each["targetArn"]) == each["targetArn"]]
        return json_response({"deployments": [{**each, "components": None} for each in found_deployments]})  # type: ignore[no-any-return]
    store = {"GetDeployment": deployments, "GetCoreDevice": cores, "DescribeComponent": components}[action]
    if subject not in store:
        return error_response_json("ResourceNotFoundException", f"{subject} does not exist", 404)
    return json_response(store[subject])  # type: ignore[no-any-return]


def _resource(action: str, subject: str) -> str:
    kinds = {"GetDeployment": f"deployments:{subject}", "GetCoreDevice": f"coreDevices:{subject}"}
    return subject if action == "DescribeComponent" else _arn(kinds[action]) if action in kinds else "*"


def _arn(resource: str) -> str:
    return f"arn:aws:greengrass:{get_region()}:{get_account_id()}:{resource}"


def add_core(thing: str) -> None:
    """Let a thing be a core device."""
    cores[thing] = {"coreDeviceThingName": thing, "status": "HEALTHY", "platform": "linux", "architecture": "amd64"}


def create_version(recipe: str) -> dict[str, str]:
    """Make a component version, whose artifacts must be there; it never changes afterwards."""
    if len(recipe.encode()) > LARGEST_RECIPE:
        raise ValueError("The recipe is larger than 16 KB")
    document = yaml.safe_load(recipe)
    name, version = document["ComponentName"], document["ComponentVersion"]
    arn = _arn(f"components:{name}:versions:{version}")
    if arn in components:
        raise ValueError(
            f"Component [{name} : {version}] for account {get_account_id()} already exists with state: {{}}"
        )
    for manifest in document["Manifests"]:
        for artifact in manifest.get("Artifacts", ()):
            bucket, key = ARTIFACT.fullmatch(artifact["Uri"]).groups()  # type: ignore[union-attr]
            if key not in (s3._buckets.get(bucket) or {"objects": {}})["objects"]:
                raise ValueError(
                    f"Cannot find the artifact {artifact['Uri']}: s3:GetObject was denied or it is missing"
                )
    components[arn] = {"arn": arn, "componentName": name, "componentVersion": version, "recipe": recipe}
    return {"Arn": arn, "ComponentName": name, "ComponentVersion": version}


def create_deployment(properties: Mapping[str, Any]) -> str:
    """Make a deployment, which replaces the one that its target had."""
    target = properties["TargetArn"]
    kind, _, name = target.rpartition(":")[2].partition("/")
    if name not in (iot._thing_groups if kind == "thinggroup" else iot._things):
        raise ValueError(f"The target {target} does not exist")
    for component, what in properties.get("Components", {}).items():
        arn = _arn(f"components:{component}:versions:{what['ComponentVersion']}")
        if arn not in components and not component.startswith("aws.greengrass."):
            raise ValueError(f"Component {component} with version {what['ComponentVersion']} doesn't exist")
        json.loads(what.get("ConfigurationUpdate", {}).get("Merge", "{}"))
    for key, each in list(deployments.items()):
        if each["targetArn"] == target:
            deployments[key] = {**each, "isLatestForTarget": False, "deploymentStatus": "INACTIVE"}
    identity = str(uuid.uuid4())
    deployments[identity] = {
        "deploymentId": identity,
        "deploymentName": properties.get("DeploymentName", ""),
        "targetArn": target,
        "revisionId": "1",
        "deploymentStatus": "ACTIVE",
        "isLatestForTarget": True,
        "components": provisioners._pascal_to_camel(dict(properties.get("Components", {}))),
    }
    return identity


def provision_version(logical_id: str, properties: Mapping[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    made = create_version(properties["InlineRecipe"])
    return made["Arn"], made


def provision_deployment(logical_id: str, properties: Mapping[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    identity = create_deployment(properties)
    return identity, {"DeploymentId": identity}


def install() -> None:
    """Add Greengrass to ministack."""
    made = {VERSION: (provision_version, components), DEPLOYMENT: (provision_deployment, deployments)}
    for kind, (provision, store) in made.items():
        provisioners._RESOURCE_HANDLERS[kind] = {
            "create": provision,
            "delete": lambda name, properties, store=store: store.pop(name, None),
        }
        provisioners._STACK_TAG_PROPERTY[kind] = ("Tags", "map")
    provisioners._REPLACING_PROPERTIES[VERSION] = ("InlineRecipe",)
    provisioners._REPLACING_PROPERTIES[DEPLOYMENT] = ("TargetArn", "DeploymentName", "Components", "DeploymentPolicies")
