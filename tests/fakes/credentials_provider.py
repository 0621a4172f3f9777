"""AWS IoT's credentials provider for ministack, which has none: temporary credentials for a device's certificate.

https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html. It speaks HTTPS on loopback, takes
certificates of the emulator's authority only, and answers in AWS's words. What it gives are credentials of the role
that ministack then holds every call to, with the policy variables `credentials-iot:...` filled in.
"""

from __future__ import annotations

import datetime
import hashlib
import http.server
import json
import re
import socket
import ssl
import tempfile
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import iam, iot, sts

from tests.fakes.faults import describe, find_fault, lag_of
from tests.fakes.role_aliases import aliases

ACTION, SERVICE = "iot:AssumeRoleWithCertificate", "credentials.iot.amazonaws.com"
PATH = re.compile(r"/role-aliases/([^/]+)/credentials")
VARIABLE = re.compile(r"\$\{(credentials-iot:\w+)\}", re.IGNORECASE)

lifetimes: dict[str, float] = {}  # account to the seconds that credentials last, instead of what the alias says
given: list[dict[str, Any]] = []  # what was asked for, in order: account, thing, alias, status


class Denied(Exception):
    """Credentials that are not given, with AWS's status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def give(der: bytes, alias: str, thing: str | None) -> dict[str, Any]:
    """Return what AWS answers to a certificate; raises Denied."""
    owner = iot._mtls_resolve_identity(der)
    if owner is None:
        raise Denied(403, "Certificate is invalid on this endpoint")
    account, region, _ = owner
    certificate_id = hashlib.sha256(der).hexdigest()
    time.sleep(lag_of(account, ACTION))
    entry = {"account": account, "thing": thing, "alias": alias, "status": 200}
    given.append(entry)
    try:
        with request_scope(account, region):
            return _give(account, region, certificate_id, alias, thing)
    except Denied as denied:
        entry["status"] = denied.status
        raise


def _give(account: str, region: str, certificate_id: str, alias: str, thing: str | None) -> dict[str, Any]:
    resource = f"rolealias/{alias}"
    if fault := find_fault(account, ACTION, f"{resource} {thing}"):
        raise Denied(fault["status"], describe(fault, ACTION, resource))
    context = iot._mqtt_policy_context(account, region, certificate_id, thing or "")
    if thing is not None and context["iot:connection.thing.isattached"] != "true":
        raise Denied(403, "Invalid thing name passed")
    if not iot._mqtt_policy_allows(account, region, certificate_id, context, ACTION, resource):
        raise Denied(403, "Access Denied")
    record = aliases.get(alias)
    if record is None:
        raise Denied(404, "Role alias does not exist")
    role = _find_role(record, account)
    if record["credentialDurationSeconds"] > role["MaxSessionDuration"]:
        raise Denied(400, "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role")
    variables = {"credentials-iot:awscertificateid": certificate_id}
    if thing is not None:
        kind = (iot._things[thing] or {}).get("thingTypeName")
        variables |= {"credentials-iot:thingname": thing, **({"credentials-iot:thingtypename": kind} if kind else {})}
    return _open_session(
        account, role, certificate_id, lifetimes.get(account, record["credentialDurationSeconds"]), variables
    )


def _find_role(alias: dict[str, Any], account: str) -> dict[str, Any]:
    """Return the alias's role, which must be there and let AWS IoT's credentials provider assume it."""
    role = iam._roles.get(alias["roleArn"].rpartition("/")[2])
    if role is None or not trusts(role["AssumeRolePolicyDocument"], account, alias["roleAliasArn"]):
        raise Denied(400, "Unable to assume the role, or the role to assume does not exist")
    return dict(role)


def trusts(document: str, account: str, alias_arn: str) -> bool:
    """Tell whether a role's trust policy lets the credentials provider assume it on behalf of a role alias."""
    statements = json.loads(document)["Statement"]
    for statement in statements:
        services = statement.get("Principal", {}).get("Service", [])
        named = SERVICE in ([services] if isinstance(services, str) else services)
        statement["Principal"] = "*" if named else {"AWS": []}  # of services ministack knows none
    context = iam_evaluator.EvalContext(
        principal_arn=SERVICE,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn="*",
        region="",
        service_context={"aws:sourceaccount": account, "aws:sourcearn": alias_arn},
    )
    return bool(iam_evaluator.evaluate_trust_policy({"Statement": statements}, SERVICE, context))


def _open_session(
    account: str, role: dict[str, Any], certificate_id: str, seconds: float, variables: dict[str, str]
) -> dict[str, Any]:
    key, secret, token = iam._gen_session_access_key(), iam._gen_secret(), iam._gen_session_token()
    expires = time.time() + seconds
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/{certificate_id}",
        "UserId": f"{role['RoleId']}:{certificate_id}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": expires,
        "AccountId": account,
        "PrincipalType": "AssumedRole",
        "Variables": variables,
    }
    sts.register_session(key, session)
    expiration = datetime.datetime.fromtimestamp(expires, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    credentials = {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": token, "expiration": expiration}
    return {"credentials": credentials}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request: GET /role-aliases/ALIAS/credentials."""

    timeout = 60

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        found = PATH.fullmatch(self.path)
        der = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        try:
            if found is None:
                raise Denied(404, "Not Found")
            status, document = 200, give(der, unquote(found[1]), self.headers.get("x-amzn-iot-thingname"))
        except Denied as denied:
            status, document = denied.status, {"message": denied.message}
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server on a socket that listens already."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = context().wrap_socket(listener, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that was given up, or whose certificate was refused."""


def context() -> ssl.SSLContext:
    """Return TLS that demands a certificate of the emulator's authority."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.maximum_version = ssl.TLSVersion.TLSv1_2  # a refused certificate is known when the handshake ends
    found.verify_mode = ssl.CERT_REQUIRED
    found.load_verify_locations(cadata=iot.get_ca_cert_pem())
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write("".join(iot._mtls_ensure_server_cert()))
        file.flush()
        found.load_cert_chain(file.name)
    return found


def fill_in_variables() -> None:
    """Let policies name the thing that credentials were given to, as `${credentials-iot:ThingName}`."""
    resolve = iam_evaluator.resolve_principal

    def resolve_principal(access_key: str, *rest: Any) -> Any:
        principal = resolve(access_key, *rest)
        variables = (sts._sessions.get(access_key) or {}).get("Variables")
        if variables is None or not getattr(principal, "policies", None):
            return principal
        policies = [[_filled(statement, variables) for statement in each] for each in principal.policies]
        return replace(principal, policies=policies)

    iam_evaluator.resolve_principal = resolve_principal


def _filled(statement: Any, variables: dict[str, str]) -> Any:
    """Return a statement with its variables filled in; one that has no value stays, and matches nothing."""
    text = json.dumps([statement.resources, statement.not_resources, statement.conditions])
    filled = VARIABLE.sub(lambda found: variables.get(found[1].lower(), found[0]), text)
    resources, not_resources, conditions = json.loads(filled)
    return replace(statement, resources=resources, not_resources=not_resources, conditions=conditions)


def serve(listener: socket.socket) -> None:
    """Answer on a socket that listens, for as long as the process lives."""
    fill_in_variables()
    threading.Thread(target=Server(listener).serve_forever, daemon=True).start()
