"""Tables: the configuration's JSON Schema, and the tables of docs/reference, made from the definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from defender_publisher.config import Config
from device_defender.kinds import describe, inspected, kinds_of
from device_defender.metrics import BUILT_INS
from device_defender.wording import key_path

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> str:
    """Return the text of configs/schema.json."""
    schema = {"$schema": SCHEMA_DIALECT, **msgspec.json.schema(Config)}
    return json.dumps(_ordered(schema), indent=2) + "\n"


def table() -> str:
    """Return the table of every key: a Markdown table in the order of the configuration file."""
    rows = ["| key | value | default | what it does |", "|---|---|---|---|", *_rows(inspected(Config), "")]
    return "\n".join(rows) + "\n"


def built_ins() -> str:
    """Return the table of the built-in custom metrics."""
    rows = [f"| `{name}` | {each.type} | {each.description} |" for name, each in BUILT_INS.items()]
    return "\n".join(["| built-in | type | what it is |", "|---|---|---|", *rows]) + "\n"


def with_tables(text: str) -> str:
    """Return a document with its tables put between its `<!-- begin NAME -->` and `<!-- end NAME -->` lines."""
    for name, content in (("keys", table), ("built-ins", built_ins)):
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + content() + end + rest.partition(end)[2]
    return text


def _ordered(schema: Any) -> Any:
    """Put alternatives into an order of our own: msgspec's changes from version to version."""
    if isinstance(schema, list):
        return [_ordered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    ordered = {key: _ordered(value) for key, value in schema.items()}
    if "anyOf" in ordered:
        ordered["anyOf"].sort(key=json.dumps)
    return ordered


def _rows(kind: inspect.Type, path: str) -> Iterator[str]:
    for each in kind.fields if isinstance(kind, inspect.StructType) else ():
        key = key_path(path, each.encode_name)
        yield f"| `{key}` | {describe(each.type)} | {_default(each)} | {_description(each.type)} |"
        for inner in kinds_of(each.type):
            yield from _rows(inner.type, key)
            if isinstance(inner.type, inspect.DictType):
                yield from _rows(inner.type.value_type, f"{key}.NAME")


def _default(each: inspect.Field) -> str:
    if each.required:
        return "required"
    value = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
    if value is None or isinstance(value, msgspec.Struct) or value == {}:
        return ""
    return f"`{json.dumps(value)}`"


def _description(kind: inspect.Type) -> str:
    return str((getattr(kind, "extra_json_schema", None) or {}).get("description", ""))
