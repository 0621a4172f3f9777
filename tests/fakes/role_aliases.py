"""Role aliases for ministack, which has none: AWS IoT's API of them, and AWS::IoT::RoleAlias in CloudFormation.

`install()` belongs into the emulator's process, after Device Defender's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core.iam_actions import _match_rest_action
from ministack.core.responses import AccountRegionScopedDict, get_account_id, json_response
from ministack.services import iot
from ministack.services.cloudformation import provisioners

from tests.fakes.device_defender import Refused, Reply, Resource, arn, check_shape, invalid, missing

ROLE_ALIAS = "AWS::IoT::RoleAlias"
NAME = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
SHORTEST, LONGEST, USUAL = 900, 43_200, 3_600  # seconds that credentials last

aliases = AccountRegionScopedDict()  # name to record, as DescribeRoleAlias answers


def create(name: str, document: Mapping[str, Any]) -> dict[str, str]:
    """Make a role alias; that the role exists is looked at when it is assumed."""
    check_shape("CreateRoleAlias", {"roleAlias": name, **document})
    if name in aliases:
        raise Refused("ResourceAlreadyExistsException", f"RoleAlias {name} already exists", 409)
    duration = document.get("credentialDurationSeconds", USUAL)
    _check(name, document["roleArn"], duration)
    aliases[name] = {
        "roleAlias": name,
        "roleAliasArn": arn("rolealias", name),
        "roleArn": document["roleArn"],
        "owner": get_account_id(),
        "credentialDurationSeconds": duration,
        "creationDate": time.time(),
        "lastModifiedDate": time.time(),
    }
    iot._set_created_tags(arn("rolealias", name), document.get("tags"))
    return _identify(name)


def describe(name: str) -> dict[str, Any]:
    return {"roleAliasDescription": _find(name)}


def update(name: str, document: Mapping[str, Any]) -> dict[str, str]:
    check_shape("UpdateRoleAlias", {"roleAlias": name, **document})
    record = {**_find(name), **document, "lastModifiedDate": time.time()}
    _check(name, record["roleArn"], record["credentialDurationSeconds"])
    aliases[name] = record
    return _identify(name)


def delete(name: str) -> dict[str, Any]:
    _find(name)
    del aliases[name]
    return {}


def _check(name: str, role: str, duration: int) -> None:
    if not NAME.fullmatch(name):
        raise invalid(f"roleAlias {name} must match [\\w=,@-]+")
    if not ROLE.fullmatch(role):
        raise invalid(f"{role} is not a valid role arn")
    if not SHORTEST <= duration <= LONGEST:
        raise invalid(f"credentialDurationSeconds must be between {SHORTEST} and {LONGEST}")


def _find(name: str) -> dict[str, Any]:
    if name not in aliases:
        raise missing("RoleAlias", name)
    return dict(aliases[name])


def _identify(name: str) -> dict[str, str]:
    return {"roleAlias": name, "roleAliasArn": arn("rolealias", name)}


ACTIONS = {
    "CreateRoleAlias": create,
    "DescribeRoleAlias": lambda name, document: describe(name),
    "ListRoleAliases": lambda name, document: {"roleAliases": sorted(aliases)},
    "UpdateRoleAlias": update,
    "DeleteRoleAlias": lambda name, document: delete(name),
}
_route = iot._route_request


async def route_request(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Reply:
    """Answer the calls of role aliases, and leave all others to what was there before."""
    action = ACTIONS.get(_match_rest_action("iot", method, path, query) or "")
    if action is None:
        reply: Reply = await _route(method, path, headers, body, query)
        return reply
    try:
        return json_response(action(unquote(f"{path}///".split("/")[2]), json.loads(body or b"{}")))  # type: ignore[no-any-return]
    except Refused as refused:
        return refused.reply


def provision(logical_id: str, properties: Mapping[str, Any], stack: str) -> Resource:
    name = properties.get("RoleAlias") or provisioners._physical_name(stack, logical_id)
    if name in aliases:
        raise ValueError(f"Resource of type '{ROLE_ALIAS}' with identifier '{name}' already exists.")
    create(name, _parse(properties, tags=True))
    return name, {"RoleAliasArn": arn("rolealias", name)}


def change(name: str, before: Mapping[str, Any], after: Mapping[str, Any], stack: str) -> Resource:
    update(name, _parse(after))
    provisioners._iot_update_tags(arn("rolealias", name), before, after)
    return name, {"RoleAliasArn": arn("rolealias", name)}


def _parse(properties: Mapping[str, Any], tags: bool = False) -> dict[str, Any]:
    """Return CloudFormation's properties as the API has them; raise ValueError for one that its schema lacks."""
    unknown = sorted(set(properties) - {"RoleAlias", "RoleArn", "CredentialDurationSeconds", "Tags"})
    if unknown:
        raise ValueError(f"Model validation failed (#: extraneous key [{unknown[0]}] is not permitted)")
    document: dict[str, Any] = {"roleArn": properties["RoleArn"]}
    if "CredentialDurationSeconds" in properties:
        document["credentialDurationSeconds"] = int(properties["CredentialDurationSeconds"])
    return {**document, "tags": provisioners._iot_tags(properties)} if tags and "Tags" in properties else document


def install() -> None:
    """Add role aliases to ministack."""
    global _route  # noqa: PLW0603 - what was there when this is added: Device Defender's
    _route, iot._route_request = iot._route_request, route_request
    iot._TAGGABLE_RESOURCES["rolealias"] = (aliases, "RoleAlias {name} does not exist.")
    provisioners._RESOURCE_HANDLERS[ROLE_ALIAS] = {
        "create": provision,
        "update": change,
        "delete": lambda name, properties: aliases.pop(name, None),
    }
    provisioners._REPLACING_PROPERTIES[ROLE_ALIAS] = ("RoleAlias",)
    provisioners._STACK_TAG_PROPERTY[ROLE_ALIAS] = ("Tags", "list")
