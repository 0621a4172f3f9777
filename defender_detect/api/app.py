"""The application: reads a request, checks who sent it and what it holds, and answers as AWS's API does."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import anyio.to_thread
import msgspec
from msgspec import inspect

from defender_detect.api.answers import Answer, Source
from defender_detect.api.faults import Fault, invalid, not_found
from defender_detect.api.operations import Operation, find_operation, find_refused
from defender_detect.api.signature import Request, verify
from defender_detect.errors import NothingKept, StoreError, VerdictError
from device_defender.validation import Invalid, read

MOST_BODY = 1_000_000  # bytes: a hundred behaviors with the largest sets are some 400 KB
PATIENCE = 20.0  # seconds for the next part of a body
BOOLEANS = {"true": True, "false": False}

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class Gate(NamedTuple):
    """Who may ask."""

    hosts: frozenset[str]  # the names that a request may be for
    secrets: Mapping[str, str] | None  # by access key; None if nobody needs one


class Api:
    """AWS IoT's API for Detect, as an application of ASGI."""

    def __init__(self, source: Source, gate: Gate) -> None:
        self._source, self._gate = source, gate

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        try:
            request = await read_request(scope, receive)
            check_browser(request, self._gate)
            if self._gate.secrets is not None:
                verify(request, self._gate.secrets, self._source.clock())
            answer = await anyio.to_thread.run_sync(answer_to, self._source, request, self._gate.secrets is not None)
            await respond(send, 200, answer)
        except Fault as fault:
            await respond(send, fault.status, {"message": str(fault)}, fault.name)
        except StoreError as error:
            await respond(send, 500, {"message": str(error)}, "InternalFailureException")
        except Exception:
            log.exception("a request to the API could not be answered")
            await respond(send, 500, {"message": "see the log"}, "InternalFailureException")


async def read_request(scope: Mapping[str, Any], receive: Receive) -> Request:
    """Return a request whole; raise a Fault for one that is too large."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    length = headers.get("content-length", "0")
    body = b""
    while length.isdecimal() and int(length) <= MOST_BODY and len(body) <= MOST_BODY:
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
        except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
            break
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
            return Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
    raise Fault(413, "InvalidRequestException", f"the body must have at most {MOST_BODY} bytes, and come at once")


def check_browser(request: Request, gate: Gate) -> None:
    """Raise a Fault for what a page in a browser sends: it could act for its reader."""
    if request.headers.get("host", "") not in gate.hosts:
        raise Fault(421, "InvalidRequestException", "the request is for a host that is none of detect.api.names")
    if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
        raise Fault(403, "InvalidRequestException", "a page in a browser may not use the API")


def answer_to(source: Source, request: Request, is_signed: bool) -> Answer:
    """Return the answer to a request; raise a Fault for one that cannot be answered."""
    operation, parameters = find_operation(request.method, request.path)
    if operation is None:
        name = find_refused(request.method, request.path)
        if name is not None:
            raise invalid(f"{name} is not offered by amazon-defender-detect")
        raise Fault(404, "UnknownOperationException", f"there is no operation {request.method} {request.path[:100]!a}")
    if operation.needs_key and not is_signed:
        raise Fault(403, "UnauthorizedException", f"{operation.name} needs an access key: configure detect.api.keys")
    try:
        given = read(collect(operation, request, parameters), operation.takes, name="the request")
        return operation.answer(source, given)
    except Invalid as error:
        raise invalid("; ".join(error.problems)) from error
    except VerdictError as error:
        raise invalid(str(error)) from error
    except NothingKept as error:
        raise not_found(str(error)) from error


def collect(operation: Operation, request: Request, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what a request holds, by the members' names, wherever it stands; types are those of the input."""
    kinds = {each.encode_name: each.type for each in msgspec.structs.fields(operation.takes)}
    given: dict[str, Any] = {name: unquote(value) for name, value in parameters.items()}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        given[name] = convert(value, kinds.get(name))
    given.update(read_body(request.body) if operation.body else {})
    return given


def read_body(body: bytes) -> dict[str, Any]:
    """Return a body of JSON; raise a Fault for anything else."""
    try:
        document = msgspec.json.decode(body or b"{}")  # which takes no half of a surrogate pair, as no database does
    except (ValueError, RecursionError) as error:
        raise Fault(400, "SerializationException", "the body must be JSON") from error
    if not isinstance(document, dict):
        raise Fault(400, "SerializationException", "the body must be an object")
    return document


def convert(text: str, kind: Any) -> Any:
    """Return a value of a query as its member's type; as it is where that cannot be, for a sentence about it."""
    kinds = {type(each) for each in parts_of(inspect.type_info(kind))} if kind is not None else set()
    if inspect.BoolType in kinds:
        return BOOLEANS.get(text, text)
    if inspect.IntType in kinds:
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text
    return read_time(text) if inspect.FloatType in kinds else text


def parts_of(kind: inspect.Type) -> list[inspect.Type]:
    """Return the types that a value may have, without what describes them."""
    if isinstance(kind, inspect.Metadata):
        return parts_of(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [part for each in kind.types for part in parts_of(each)]
    return [kind]


def read_time(text: str) -> Any:
    """Return a time, as the CLI and boto3 write it or in seconds since the epoch; as it is if it is none."""
    try:
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return float(text)
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return text


async def respond(send: Send, status: int, answer: Mapping[str, Any], fault: str = "") -> None:
    """Send an answer."""
    body = json.dumps(answer).encode()
    headers = {
        "content-type": "application/json", "content-length": str(len(body)), "x-amzn-requestid": str(uuid.uuid4()),
        "cache-control": "no-store", "x-content-type-options": "nosniff",
        **({"x-amzn-errortype": fault} if fault else {}),
    }  # fmt: skip
    start = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
