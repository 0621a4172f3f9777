"""AWS's API over a store of known violations, asked by boto3."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("boto3")

import boto3
import uvicorn
from botocore.config import Config

from defender_detect.api.answers import Source
from defender_detect.api.app import Api, Gate
from defender_detect.console.server import listen
from defender_detect.evaluate.alarms import Lasting
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.profiles import parse_profile
from defender_detect.store.documents import kept_in
from defender_detect.store.pages import PageReader
from defender_detect.store.store import Store
from tests.detect.store.test_store import NOW, event
from tests.waiting import wait_until

KEY, SECRET = "AKIATHATISKNOWN", "a-secret-of-the-tests"
PORTS = {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
RANKED = {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p99"}}
PROFILES = (
    {
        "securityProfileName": "ports",
        "securityProfileDescription": "few ports",
        "behaviors": [{"name": "tcp", "metric": "aws:listening-tcp-ports", "criteria": PORTS, "suppressAlerts": True}],
        "additionalMetricsToRetainV2": [{"metric": "cpu_usage"}],
    },
    {
        "securityProfileName": "ranks",
        "behaviors": [{"name": "b", "metric": "aws:all-bytes-out", "criteria": RANKED}],
    },
)


def rules() -> Rules:
    """One profile for everything, one for a group."""
    first, second = map(parse_profile, PROFILES)
    return Rules([Attachment(first), Attachment(second, frozenset({"gateways", "all"}))], {"gateways": ["t1"]})


@pytest.fixture(scope="session")
def violations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory: twelve things, each with an alarm that is on, of three kinds, one after the other."""
    directory = tmp_path_factory.mktemp("violations")
    with Store(directory, interval=3600, clock=lambda: NOW) as store:
        for number in range(12):
            changes: dict[str, Any] = {"violation_id": f"id-{number:02}", "time": NOW + number // 4}
            if number % 3 == 1:
                changes.update(profile="ports", behavior="tcp", metric="aws:listening-tcp-ports", criteria=PORTS,
                               kind="ports", value=(22, 23), suppressed=True)  # fmt: skip
            if number % 3 == 2:
                changes.update(profile="ranks", behavior="b", metric="aws:all-bytes-out", criteria=RANKED, kind="count",
                               value=5)  # fmt: skip
            name = f"t{number}"
            store.add(name, NOW, {"cpu_usage": 1.5, "aws:all-bytes-out": number}, [event(thing=name, **changes)])
        store.flush()
        for number in range(1, 300):
            store.add("t0", NOW + 300 * number, {"cpu_usage": number / 2})
        store.add("t0", NOW + 60, {}, [event("alarm-cleared", "t0", violation_id="id-00", time=NOW + 60, value=5)])
        store.add("t3", NOW, {}, lasting=[Lasting("id-03", 88)])
        store.flush()
    return directory


Connect = Callable[..., Any]


class Brief(uvicorn.Server):
    """A server that does not wait for anybody when it is to end, and looks for that often."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in (*self.servers, *(sockets or ())):
            each.close()
        for connection in [*self.server_state.connections]:
            connection.shutdown()
        await asyncio.sleep(0)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Serves a state directory, and returns boto3's client of it."""
    ends: list[Callable[[], None]] = []

    def connect_to(
        directory: Path, secrets: dict[str, str] | None = None, key: str = KEY, secret: str = SECRET, **changes: Any
    ) -> Any:
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        given = {"kept": kept_in(directory), "refresh": lambda: None, **changes}
        source = Source(**{"store": PageReader(directory), "rules": rules, **given})
        api = Api(source, Gate(frozenset({f"127.0.0.1:{port}"}), secrets))
        server = Brief(uvicorn.Config(api, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert wait_until(lambda: server.started)

        def end() -> None:
            server.should_exit = True
            thread.join(60)

        ends.append(end)
        return boto3.client(
            "iot", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1", aws_access_key_id=key,
            aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    yield connect_to
    for end in ends:
        end()
