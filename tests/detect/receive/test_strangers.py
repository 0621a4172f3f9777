"""Strangers make room for each other, and those of the most crowded network go first."""

from __future__ import annotations

import asyncio

import pytest

from defender_detect.receive.strangers import Strangers, network_of


def test_who_opens_many_connections_keeps_out_himself_only() -> None:
    async def scene() -> tuple[list[bool], list[bool]]:
        strangers = Strangers(8)
        thing = asyncio.create_task(asyncio.sleep(3_600))
        strangers.add(thing, "10.0.0.7")
        evil = [asyncio.create_task(asyncio.sleep(3_600)) for _ in range(1_000)]
        for task in evil:
            strangers.add(task, "10.0.0.66")
        assert 8 == len(strangers)
        await asyncio.sleep(0)
        gone = [thing.cancelled()], [task.cancelled() for task in evil]
        for task in (thing, *evil):
            task.cancel()
        return gone

    thing_gone, evil_gone = asyncio.run(scene())
    assert [False] == thing_gone
    assert [True] * 993 + [False] * 7 == evil_gone


def test_who_is_known_is_no_stranger_any_more() -> None:
    async def scene() -> int:
        strangers = Strangers(2)
        for address in ("10.0.0.1", "10.0.0.2"):
            task = asyncio.create_task(asyncio.sleep(3_600))
            strangers.add(task, address)
            strangers.remove(task)
            strangers.remove(task)
        assert not strangers.drop_one()
        return len(strangers)

    assert 0 == asyncio.run(scene())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7"),
    ],
)
def test_an_address_that_can_be_chosen_is_told_by_its_network(address: str, network: str) -> None:
    assert network == str(network_of(address)).replace("::ffff:a00:7", "::ffff:10.0.0.7")
