"""The emulator's own process: ministack with what it lacks, on loopback only, counting calls and failing on demand.

`python -m tests.fakes.emulator_process` binds three free ports, tells them on the first line of standard output, and
then answers one line of JSON by another, until standard input ends: with the process that started it, however that
ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import socket
import sys
import threading
from collections import Counter, defaultdict
from typing import Any

from tests.fakes.faults import describe, faults, find_fault, lag_of, lags, mend
from tests.fakes.handler_permissions import find_resource, permissions_of

LOOPBACK = "127.0.0.1"
JSON_SERVICES = ("dynamodb", "iot", "logs", "monitoring")  # whose errors are JSON; those of the others are XML

PASSED_TO = {"AWS::Lambda::Function": "lambda", "AWS::KinesisAnalyticsV2::Application": "kinesisanalytics"}
HANDLER_ERROR = (
    'Resource handler returned message: "{} (Service: Iot, Status Code: {}, Request ID: 0)" (HandlerErrorCode: {})'
)

calls: dict[str, Counter[str]] = defaultdict(Counter)  # account to how often each action was called
delays: dict[str, float] = {}  # account to the seconds that every stack operation takes in addition
caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="")


def bind() -> socket.socket:
    """Listen on a free port of the loopback interface: who connects before anything serves is kept waiting."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, 0))
    listener.listen(100)
    return listener


def watch_requests(app: Any) -> None:
    """Count every API call, and refuse those that are to be refused."""
    from ministack.core import iam_actions
    from ministack.core.responses import error_response_json, get_account_id, get_region
    from ministack.core.router import detect_service, extract_access_key_id
    from ministack.services.cloudformation.helpers import _error

    from tests.fakes import greengrass

    name_resources(iam_actions)
    dispatch = app._dispatch_service_request

    async def watch(method: str, path: str, headers: dict[str, str], body: bytes, query: Any, request: str) -> Any:
        parameters = app._routing_params(method, path, headers, body, query)
        if (named := greengrass.action_of(method, path)) is not None:
            return answer_greengrass(path, headers, query, named)
        service = detect_service(method, path, headers, parameters)
        action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
        action = action or name_action(service, headers)
        account = get_account_id()
        calls[account][action] += 1
        caller.set(extract_access_key_id(headers, query))
        if service == "cloudformation" and (refusal := check_stack(action, parameters)):
            return _error(*refusal)
        await asyncio.sleep(lag_of(account, action))
        plain = app._decompress_request_body(body, dict(headers)) if service in JSON_SERVICES else body
        if (fault := find_fault(account, action, f"{path} {plain.decode(errors='replace')}")) is None:
            return await dispatch(method, path, headers, body, query, request)
        if fault["done"]:  # and nobody hears of it
            await dispatch(method, path, headers, body, query, request)
        resource = iam_actions.extract_resource_arn(
            service, method, path, headers, body, parameters, get_region(), account
        )
        message = describe(fault, action, resource)
        if service in JSON_SERVICES:
            return error_response_json(fault["code"], message, fault["status"])
        return _error(fault["code"], message, fault["status"])

    app._dispatch_service_request = watch


def name_action(service: str, headers: dict[str, str]) -> str:
    """Return the action of a call whose service has none in ministack, as kinesisanalytics:DescribeApplication."""
    called = headers.get("x-amz-target", "").partition(".")[2]
    return f"{service.removesuffix('v2')}:{called}" if called else service


def answer_greengrass(path: str, headers: dict[str, str], query: Any, action: str) -> Any:
    """Count a call of Greengrass's, and answer it."""
    from ministack.core.responses import error_response_json, get_account_id

    from tests.fakes import greengrass

    account, named = get_account_id(), f"greengrass:{action}"
    calls[account][named] += 1
    if fault := find_fault(account, named, path):
        return error_response_json(fault["code"], describe(fault, named, path), fault["status"])
    return greengrass.answer(path, headers, query, action)


def name_resources(iam_actions: Any) -> None:
    """Tell which resource a call of Device Defender's works on, for the policies of who calls."""
    extract = iam_actions.extract_resource_arn
    kinds = {"custom-metric": "custommetric", "role-aliases": "rolealias", "security-profiles": "securityprofile"}

    def extract_resource_arn(service: str, method: str, path: str, *rest: Any) -> str:
        kind, _, name = path.strip("/").partition("/")
        if service == "iot" and kind in kinds and name:
            return f"arn:aws:iot:{rest[-2]}:{rest[-1]}:{kinds[kind]}/{name.partition('/')[0]}"
        return str(extract(service, method, path, *rest))

    iam_actions.extract_resource_arn = extract_resource_arn


def check_stack(action: str, parameters: dict[str, Any]) -> tuple[str, str] | None:
    """Return the code and the message with which AWS refuses to work on a stack as it is; ministack does not."""
    from ministack.services.cloudformation.handlers import _resolve_stack

    stack = _resolve_stack(first(parameters, "StackName"))
    status = stack["StackStatus"] if stack else ""
    busy = status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"
    if action == "cloudformation:CreateChangeSet" and first(parameters, "ChangeSetType") == "CREATE":
        if status not in ("", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            name, change_set = first(parameters, "StackName"), first(parameters, "ChangeSetName")
            message = f"Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]"
            return "ValidationError", message
        return None
    stuck = busy or status.endswith("_FAILED") or status == "ROLLBACK_COMPLETE"
    if action == "cloudformation:CreateChangeSet" and stuck:
        return "ValidationError", f"Stack:{stack['StackId']} is in {status} state and cannot be updated."
    if action == "cloudformation:DeleteStack" and busy and not status.startswith(("CREATE", "DELETE")):
        return "ValidationError", f"Stack [{stack['StackId']}] cannot be deleted while in status {status}"
    return None


def first(parameters: dict[str, Any], name: str) -> str:
    return str((parameters.get(name) or [""])[0])


def check_handler(what: str, kind: str, logical_id: str, physical_id: str, properties: dict[str, Any]) -> None:
    """Raise ValueError if what CloudFormation does to a resource is to fail, or if the caller has no permission."""
    from ministack.core.iam_evaluator import EvalResult, enforce
    from ministack.core.responses import get_account_id, get_region

    account, region = get_account_id(), get_region()
    about = find_resource(kind, properties, physical_id, region, account)
    subject = f"{kind} {logical_id} {physical_id} {json.dumps(properties, default=str)}"
    for action, resource in permissions_of(kind, what, properties, about):
        if fault := find_fault(account, action, subject, by_stack=True):
            message = describe(fault, action, resource)
            raise ValueError(HANDLER_ERROR.format(message, fault["status"], fault["code"]))
        service = PASSED_TO.get(kind, "iot")
        context = {"iam:PassedToService": f"{service}.amazonaws.com"} if action == "iam:PassRole" else {}
        if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
            context = {"iam:PolicyARN": properties["ManagedPolicyArns"][0]}
        allowed = caller.get() and enforce(caller.get(), action, action[:3], region, resource, context)
        if isinstance(allowed, EvalResult):
            message = f"User: {allowed.principal_arn} is not authorized to perform: {action} on resource: {resource}"
            raise ValueError(HANDLER_ERROR.format(message, 403, "AccessDenied"))


def watch_stacks() -> None:
    """Slow stack operations down, and fail resources that are to fail."""
    from ministack.core.responses import get_account_id
    from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

    create, update, delete = stacks._provision_resource, stacks._update_resource, stacks._delete_resource

    def provision(kind: str, logical_id: str, properties: Any, stack: str) -> Any:
        generated = f"{stack}-{logical_id}" if kind in ("AWS::IAM::Role", "AWS::Lambda::Function") else ""
        check_handler("create", kind, logical_id, generated, properties)
        return create(kind, logical_id, properties, stack)

    def change(
        kind: str, physical_id: str, before: Any, after: Any, stack: str, logical_id: Any = "", *rest: Any
    ) -> Any:
        if before != after:
            check_handler("update", kind, logical_id, physical_id, after)
        return update(kind, physical_id, before, after, stack, logical_id, *rest)

    def remove(kind: str, physical_id: str, properties: Any, stack: Any = None, logical_id: Any = None) -> Any:
        check_handler("delete", kind, logical_id or "", physical_id, properties)
        return delete(kind, physical_id, properties, stack, logical_id)

    stacks._provision_resource, stacks._update_resource, stacks._delete_resource = provision, change, remove
    provisioners._provision_resource, provisioners._delete_resource = provision, remove  # where one replaces another

    def slow(operation: Any) -> Any:
        async def run(*arguments: Any, **options: Any) -> None:
            await asyncio.sleep(delays.get(get_account_id(), 0))
            await operation(*arguments, **options)

        return run

    handlers._deploy_stack_async = changesets._deploy_stack_async = slow(stacks._deploy_stack_async)
    handlers._delete_stack_async = slow(stacks._delete_stack_async)


def keep_stack_ids() -> None:
    """Let a stack that waits for a change set to be executed stay the same one when it gets another, as AWS does."""
    from ministack.services.cloudformation import _change_sets, _stack_events, _stacks, handlers

    create = handlers._ACTION_HANDLERS["CreateChangeSet"]

    def create_change_set(parameters: dict[str, Any]) -> Any:
        name = first(parameters, "StackName")
        before = _stacks.get(name)
        status, headers, body = create(parameters)
        if before is None or before["StackStatus"] != "REVIEW_IN_PROGRESS":
            return status, headers, body
        replaced = _stacks.get(name, before)["StackId"]
        _stacks[name] = before
        for change_set in _change_sets.values():
            if change_set["StackId"] == replaced:
                change_set["StackId"] = before["StackId"]
        if replaced != before["StackId"]:
            _stack_events.pop(replaced, None)
        return status, headers, body.replace(replaced.encode(), before["StackId"].encode())

    handlers._ACTION_HANDLERS["CreateChangeSet"] = create_change_set


def pause_in_time(iot: Any) -> None:
    """Let no Python lose the first bytes of TLS: up to 3.11.3 transports begin to read although they were paused.

    asyncio calls connection_made first and begins to read then; so the pause comes a turn of the loop later, which is
    before the loop looks for bytes. Where asyncio is mended that changes nothing, and no list of versions can be wrong.
    """
    begin = iot._MtlsAcceptor.connection_made

    def connection_made(acceptor: Any, transport: Any) -> None:
        asyncio.get_running_loop().call_soon(begin, acceptor, transport)

    iot._MtlsAcceptor.connection_made = connection_made


def name_the_endpoint_as_aws_does(iot: Any) -> None:
    """Answer DescribeEndpoint with a name and no port, as AWS does."""
    describe_endpoint = iot._describe_endpoint

    def describe(query: dict[str, str]) -> Any:
        status, headers, body = describe_endpoint(query)
        if status == 200:
            name = json.loads(body)["endpointAddress"].partition(":")[0].removesuffix("localhost") + "amazonaws.com"
            body = json.dumps({"endpointAddress": name}).encode()
        return status, headers, body

    iot._describe_endpoint = describe


def answer(question: dict[str, Any]) -> Any:
    """Do what the tests ask for."""
    from ministack.core.responses import request_scope

    from tests.fakes import credentials_provider, device_defender, fleet_provisioning

    account, what = question["account"], question["ask"]
    if what == "calls":
        return dict(calls[account])
    if what == "reports":
        return [report for report in device_defender.reports if report["account"] == account]
    if what == "credentials":
        return [each for each in credentials_provider.given if each["account"] == account]
    if what == "greengrass":
        with request_scope(account, question["region"]):
            return ask_greengrass(question)
    if what == "provisioning":
        return [each for each in fleet_provisioning.asked if each["account"] == account]
    if what == "forget":
        calls.pop(account, None)
    elif what == "fail":
        faults[account].append(question["fault"])
    elif what == "delay":
        delays[account] = question["seconds"]
    elif what == "interval":
        device_defender.intervals[account] = question["seconds"]
    elif what == "registrations":
        fleet_provisioning.quotas[account] = question["number"]
    elif what == "lag":
        lags[account][question["action"]] = question["seconds"]
    elif what == "lifetime":
        credentials_provider.lifetimes[account] = question["seconds"]
    elif what == "mend":
        mend(account)
        delays.pop(account, None)
    return None


def ask_greengrass(question: dict[str, Any]) -> Any:
    """Do or tell what the tests ask for of Greengrass."""
    from tests.fakes import greengrass

    if "core" in question:
        return greengrass.add_core(question["core"])
    if "deploy" in question:
        return greengrass.create_deployment(question["deploy"])
    if "forget" in question:
        return greengrass.components.pop(question["forget"], None)
    return {"components": dict(greengrass.components.items()), "deployments": dict(greengrass.deployments.items())}


def listen(output: Any) -> None:
    """Answer questions until there are none any more, and end the process then."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)), default=str), file=output, flush=True)
    os._exit(0)


def bind_to_loopback(mqtt: socket.socket) -> None:
    """Give the listener that ministack binds to every interface the loopback socket instead."""
    create = asyncio.base_events.BaseEventLoop.create_server

    async def create_server(loop: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if options.get("sock") is None:
            if port != mqtt.getsockname()[1]:
                raise OSError(f"the emulator listens on its own ports only, not on {host}:{port}")
            host, port, options = None, None, {**options, "sock": mqtt}
        return await create(loop, factory, host, port, **options)

    asyncio.base_events.BaseEventLoop.create_server = create_server  # type: ignore[assignment,method-assign]


def main() -> None:
    """Serve until standard input ends."""
    output, sys.stdout = sys.stdout, sys.stderr
    gateway, mqtt, provider = bind(), bind(), bind()
    bound = {"gateway": gateway, "mqtt": mqtt, "provider": provider}
    ports = {name: listener.getsockname()[1] for name, listener in bound.items()}
    os.environ.update(AUTH="true", BIND_HOST=LOOPBACK, GATEWAY_PORT=str(ports["gateway"]), SFTP_ENABLED="0")
    os.environ.update(IOT_MTLS_PORT=str(ports["mqtt"]), DOCKER_HOST="unix:///nonexistent")

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app
    from ministack.services import iot

    from tests.fakes import (
        cloudwatch_limits,
        credentials_provider,
        device_defender,
        fleet_provisioning,
        greengrass,
        role_aliases,
    )

    bind_to_loopback(mqtt)
    device_defender.install()
    role_aliases.install()
    cloudwatch_limits.install()
    greengrass.install()
    fleet_provisioning.install()
    credentials_provider.serve(provider)
    name_the_endpoint_as_aws_does(iot)
    pause_in_time(iot)
    watch_requests(app)
    watch_stacks()
    keep_stack_ids()
    config = Config()
    config.bind = [f"fd://{gateway.detach()}"]
    config.keep_alive_timeout = 75
    print(json.dumps({**ports, "authority": iot.get_ca_cert_pem()}), file=output, flush=True)
    threading.Thread(target=listen, args=[output], daemon=True).start()
    asyncio.run(serve(app.app, config))


if __name__ == "__main__":
    main()
