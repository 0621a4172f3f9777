"""Who may provision itself, in DynamoDB: written here, read and marked by the hook of the provisioning template."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infrastructure.account import WORKERS, Account, found
from infrastructure.errors import DeployError
from infrastructure.pacing import side_by_side
from infrastructure.serials import Serial

BATCH = 25  # items that BatchWriteItem takes
TRIES, PAUSE = 10, 0.2  # of a batch that DynamoDB took in part; seconds, doubled each time
REFUSED = " refused"  # the key of the item in which the hook notes refusals


@dataclass(frozen=True)
class Listed:
    """A serial as the table has it."""

    serial: Serial
    thing: str = ""  # which it registered as, "" if it did not yet
    at: int = 0  # when, in seconds since 1970
    used: str = ""  # the `again` by which it did


@dataclass(frozen=True)
class Refusal:
    """A device that was refused."""

    serial: str
    thing: str
    why: str
    at: int


@dataclass(frozen=True)
class Table:
    """All that the table has; `missing` is whether there is none."""

    listed: Mapping[str, Listed]  # by the serials' keys
    refusals: tuple[Refusal, ...] = ()  # the last ones, the newest first
    refused: int = 0  # how many there were
    missing: bool = False


@dataclass(frozen=True)
class Difference:
    """What is to be written."""

    new: tuple[Serial, ...] = ()
    changed: tuple[Serial, ...] = ()  # another thing, or listed again
    gone: tuple[Serial, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.new or self.changed or self.gone)


def read_table(account: Account, name: str) -> Table:
    """Return what the table has."""
    paginator = account.client("dynamodb").get_paginator("scan")
    pages = found(lambda: list(paginator.paginate(TableName=name, ConsistentRead=True)))
    if pages is None:
        return Table({}, missing=True)
    items = {item["serial"]["S"]: item for page in pages for item in page["Items"]}
    noted = items.pop(REFUSED, {})
    refusals = tuple(_as_refusal(each["M"]) for each in noted.get("last", {}).get("L", []))
    listed = {key: _as_listed(item) for key, item in items.items()}
    return Table(listed, refusals, int(noted.get("count", {}).get("N", 0)))


def compare(table: Table, wanted: Sequence[Serial]) -> Difference:
    """Return what makes the table hold these serials; what the hook noted stays."""
    before = {key: each.serial for key, each in table.listed.items()}
    keys = {serial.key for serial in wanted}
    return Difference(
        new=tuple(serial for serial in wanted if serial.key not in before),
        changed=tuple(serial for serial in wanted if serial.key in before and serial != before[serial.key]),
        gone=tuple(serial for key, serial in before.items() if key not in keys),
    )


def write_table(account: Account, name: str, difference: Difference) -> Iterator[int]:
    """Write the difference, and yield how many serials each step wrote."""
    client = account.client("dynamodb")
    puts = [{"PutRequest": {"Item": _as_item(serial)}} for serial in difference.new]
    deletes = [{"DeleteRequest": {"Key": {"serial": {"S": serial.key}}}} for serial in difference.gone]
    batches = list(_batches([*puts, *deletes]))
    for batch, _ in side_by_side(lambda batch: _write(client, name, batch), batches, WORKERS):
        yield len(batch)
    for _ in side_by_side(lambda serial: _change(client, name, serial), difference.changed, WORKERS):
        yield 1


def _write(client: Any, name: str, batch: Sequence[Any]) -> None:
    left, pause = list(batch), PAUSE
    for _ in range(TRIES):
        left = client.batch_write_item(RequestItems={name: left}).get("UnprocessedItems", {}).get(name, [])
        if not left:
            return
        time.sleep(pause)
        pause *= 2
    raise DeployError(f"DynamoDB takes no more serials into {name} for now: run this again in a minute")


def _change(client: Any, name: str, serial: Serial) -> None:
    """Change a serial and keep what the hook noted of it; one that is gone meanwhile is put there."""
    item = _as_item(serial)
    names = {f"#{key}": key for key in ("name", "thing", "again")}
    values = {f":{key}": item[key] for key in item if key != "serial"}
    absent = [key for key in ("thing", "again") if key not in item]
    update = "SET " + ", ".join(f"#{key} = :{key}" for key in item if key != "serial")
    update += " REMOVE " + ", ".join(f"#{key}" for key in absent) if absent else ""
    client.update_item(
        TableName=name,
        Key={"serial": item["serial"]},
        UpdateExpression=update,
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=values,
    )


def _as_item(serial: Serial) -> dict[str, Any]:
    """Return a serial as the hook reads it; `name` is how the file writes it."""
    more = {key: {"S": value} for key, value in (("thing", serial.thing), ("again", serial.again)) if value}
    return {"serial": {"S": serial.key}, "name": {"S": serial.serial}, **more}


def _as_listed(item: Mapping[str, Any]) -> Listed:
    serial = Serial(_text(item, "name") or _text(item, "serial"), _text(item, "thing"), _text(item, "again"))
    return Listed(serial, _text(item, "took"), int(item.get("at", {}).get("N", 0)), _text(item, "used"))


def _as_refusal(noted: Mapping[str, Any]) -> Refusal:
    serial, thing, why = (_text(noted, key) for key in ("serial", "thing", "why"))
    return Refusal(serial, thing, why, int(noted.get("at", {}).get("N", 0)))


def _text(item: Mapping[str, Any], key: str) -> str:
    return str(item.get(key, {}).get("S", ""))


def _batches(requests: Iterable[Any]) -> Iterator[list[Any]]:
    requests = list(requests)
    for start in range(0, len(requests), BATCH):
        yield requests[start : start + BATCH]
