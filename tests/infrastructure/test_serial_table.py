from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import serial_table  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.serial_table import Difference, Listed, Refusal, Table, compare, read_table, write_table  # noqa: E402
from infrastructure.serials import Serial  # noqa: E402
from tests.fakes.fake_account import make_account  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402

NOTED = {"serial": {"S": "a"}, "why": {"S": "no"}, "at": {"N": "7"}}


class FakeTable:
    """DynamoDB with one table, two items on a page, that takes so many items of a batch."""

    def __init__(self, *items: dict[str, Any], takes: int = 25, exists: bool = True) -> None:
        self.items, self.takes, self.exists = {each["serial"]["S"]: each for each in items}, takes, exists
        self.updates: list[str] = []

    def get_paginator(self, operation: str) -> FakeTable:
        assert "scan" == operation
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        if not self.exists:
            raise refuse("ResourceNotFoundException", "no table")
        items = list(self.items.values())
        yield from ({"Items": items[start : start + 2]} for start in range(0, max(1, len(items)), 2))

    def batch_write_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((name, requests),) = RequestItems.items()
        assert len(requests) <= 25
        for request in requests[: self.takes]:
            if "PutRequest" in request:
                self.items[request["PutRequest"]["Item"]["serial"]["S"]] = request["PutRequest"]["Item"]
            else:
                self.items.pop(request["DeleteRequest"]["Key"]["serial"]["S"])
        left = requests[self.takes :]
        return {"UnprocessedItems": {name: left} if left else {}}

    def update_item(self, UpdateExpression: str, **_: Any) -> None:  # noqa: N803
        self.updates.append(UpdateExpression)


def table(fake: FakeTable) -> Table:
    return read_table(make_account(dynamodb=fake), "serials")


def write(fake: FakeTable, difference: Difference) -> int:
    return sum(write_table(make_account(dynamodb=fake), "serials", difference))


def test_what_is_written_is_read_back_and_makes_no_difference() -> None:
    fake = FakeTable()
    serials = [Serial("A1"), Serial("b2", "roof"), *(Serial(f"c{number}", "", "again") for number in range(60))]
    difference = compare(table(fake), serials)
    assert (62, False) == (len(difference.new), bool(difference.changed or difference.gone))
    assert 62 == write(fake, difference)
    assert not compare(table(fake), serials).changes


def test_what_the_hook_noted_is_read_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"took": {"S": "pi-a1"}, "at": {"N": "5"}, "certificate": {"S": "c"}, "used": {"S": "again"}}
    before = {"serial": {"S": "a1"}, "name": {"S": "A1"}, "again": {"S": "again"}, **used}
    refusals = {"serial": {"S": " refused"}, "count": {"N": "12"}, "last": {"L": [{"M": NOTED}]}}
    fake = FakeTable(before, refusals)
    found = table(fake)
    assert {"a1": Listed(Serial("A1", "", "again"), "pi-a1", 5, "again")} == found.listed
    assert (12, (Refusal("a", "", "no", 7),)) == (found.refused, found.refusals)
    difference = compare(found, [Serial("A1", "", "again tomorrow"), Serial("b2")])
    assert ((Serial("b2"),), (Serial("A1", "", "again tomorrow"),)) == (difference.new, difference.changed)
    assert 2 == write(fake, difference)
    assert ["SET #name = :name, #again = :again REMOVE #thing"] == fake.updates


def test_what_is_no_longer_listed_goes() -> None:
    fake = FakeTable({"serial": {"S": "a1"}}, {"serial": {"S": "b2"}})
    assert 1 == write(fake, compare(table(fake), [Serial("b2")]))
    assert {"b2"} == set(fake.items)


def test_a_table_that_takes_a_part_only_gets_the_rest_later(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(serial_table.time, "sleep", pauses.append)
    fake = FakeTable(takes=10)
    serials = [Serial(f"c{number}") for number in range(25)]
    write(fake, compare(table(fake), serials))
    assert (25, [0.2, 0.4]) == (len(fake.items), pauses)
    fake.takes = 0
    with pytest.raises(DeployError, match="DynamoDB takes no more serials into serials for now"):
        write(fake, Difference(new=(Serial("d"),)))


def test_a_table_that_was_deleted_is_missing() -> None:
    assert Table({}, missing=True) == table(FakeTable(exists=False))
