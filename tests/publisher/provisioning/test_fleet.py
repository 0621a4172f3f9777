"""A fleet that is switched on all at once gets its certificates, although AWS IoT registers ten a second only."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from defender_publisher import session
from defender_publisher.provisioning import commands
from tests.fakes.provisioning import THROTTLED, ProvisioningBroker
from tests.publisher.provisioning.device import Device
from tests.waiting import PATIENCE

DEVICES = 200
A_SECOND = 10  # registrations


class Quota(list[object]):
    """The answers of a call that takes so many a second, and throttles the rest."""

    def __init__(self, a_second: int) -> None:
        super().__init__([None])  # there is always a next answer
        self._a_second = a_second
        self._taken: list[float] = []
        self._lock = threading.Lock()
        self.throttled = 0

    def pop(self, index: object = 0) -> object:
        with self._lock:
            now = time.monotonic()
            self._taken = [each for each in self._taken if now - each < 1.0]
            if len(self._taken) >= self._a_second:
                self.throttled += 1
                return THROTTLED
            self._taken.append(now)
            return None


@pytest.mark.slow
def test_two_hundred_devices_at_once_are_all_provisioned_and_none_asks_more_than_once_a_second(
    aws: ProvisioningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANSWER_TIMEOUT", "HANDSHAKE_TIMEOUT"):  # of a machine that is all of them at once
        monkeypatch.setattr(session, name, PATIENCE)
    asked = defaultdict(list)
    send = session.Session.send

    def noted(self: session.Session, topic: str, payload: bytes) -> None:
        asked[threading.get_ident()].append(time.monotonic())
        send(self, topic, payload)

    monkeypatch.setattr(session.Session, "send", noted)
    quota = Quota(A_SECOND)
    aws.next_answers["register"] = quota
    devices = [Device(tmp_path / f"device-{number}", aws, f"rpi-{number:04}") for number in range(DEVICES)]
    with ThreadPoolExecutor(DEVICES) as pool:
        statuses = list(pool.map(lambda device: commands.provision_device(device.config, {}), devices))
    assert {0} == set(statuses)
    assert {("", 1)} == {(device.pair_problem(), len(aws.of(device.thing))) for device in devices}
    assert quota.throttled > A_SECOND, "they were not at once"
    assert DEVICES == aws.keys
    gaps = [after - before for times in asked.values() for before, after in zip(times, times[1:])]
    print(f"{quota.throttled} throttled, gaps from {min(gaps):.2f} to {max(gaps):.2f} s")
    assert min(gaps) >= 1.0
    counted = [len([gap for gap in gaps if low <= gap < low + 1]) for low in range(1, 4)]
    assert all(counted), "full jitter has waits of all lengths"
