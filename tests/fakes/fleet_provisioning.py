"""What ministack lacks of fleet provisioning: CreateCertificateFromCsr over MQTT, and the quota of registrations.

`install()` belongs into the emulator's process.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import defaultdict, deque
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import iot

CSR = "$aws/certificates/create-from-csr/json"
LIFETIME = 3600  # seconds that the token of a certificate which is not registered yet is good for
PERIOD = 1.0  # seconds that the quota is for

asked: list[dict[str, Any]] = []  # every question that was answered: account, client id, operation, when, how
quotas: dict[str, int] = {}  # account to RegisterThing a second; AWS's default is 10
_registered: dict[str, deque[float]] = defaultdict(deque)
_waiting: dict[str, int] = defaultdict(int)  # account to registrations that are under way
# Lambda starts as many copies of a hook as are called at once. Here they are processes on a machine of two cores, so
# one copy, which is warm, answers one call after another.
_hooks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
_parse, _reply = iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply


def parse_topic(topic: str) -> Any:
    """Tell what a topic of fleet provisioning asks for."""
    return ("create-from-csr", None) if topic == CSR else _parse(topic)


async def answer(account: str, region: str, operation: str, template: Any, payload: bytes, peer: Any) -> Any:
    """Answer a question of fleet provisioning's, and note it."""
    note = {"account": account, "client": peer.get("clientId"), "operation": operation, "at": time.monotonic()}
    if operation == "create-from-csr":
        verdict, document = sign(account, region, payload)
    elif operation == "provision" and is_throttled(account):
        verdict, document = iot._fleet_rejected("Throttled", "Rate exceeded", 429)
    else:
        _waiting[account] += 1
        async with _hooks[account]:
            verdict, document = await _reply(account, region, operation, template, payload, peer)
        _waiting[account] -= 1
    asked.append({**note, "verdict": verdict, "code": document.get("errorCode")})
    return verdict, document


def sign(account: str, region: str, payload: bytes) -> tuple[str, dict[str, Any]]:
    """Sign a request; AWS deletes what is not registered until the token has expired."""
    try:
        request = json.loads(payload)["certificateSigningRequest"]
    except (ValueError, KeyError, TypeError):
        return iot._fleet_rejected("InvalidPayload", "Message cannot be parsed")  # type: ignore[no-any-return]
    with request_scope(account, region):
        status, _, body = iot._create_certificate_from_csr({"certificateSigningRequest": request}, {})
        made = json.loads(body)
        if status != 200:
            return iot._fleet_rejected("InvalidCertificateSigningRequest", made["message"])  # type: ignore[no-any-return]
        name, token = made["certificateId"], secrets.token_urlsafe(48)
        iot._certificates[name] = {**iot._certificates[name], "status": "PENDING_ACTIVATION"}
        iot._ownership_tokens[token] = {"certificateId": name, "expiration": time.time() + LIFETIME}
    kept = {key: made[key] for key in ("certificateId", "certificatePem")}
    return "accepted", {**kept, "certificateOwnershipToken": token}


def is_throttled(account: str) -> bool:
    """Tell whether an account has used up its registrations of this second, or that many are still under way."""
    if account not in quotas:
        return False
    last, now = _registered[account], time.monotonic()
    while last and last[0] <= now - PERIOD:
        last.popleft()
    if max(len(last), _waiting[account]) >= quotas[account]:
        return True
    last.append(now)
    return False


def install() -> None:
    """Add it to ministack."""
    iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply = parse_topic, answer
