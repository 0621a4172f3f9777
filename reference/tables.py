"""Tables: the JSON Schemas of both configurations, and the tables of docs/reference, made from the definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from defender_daemon.config import Config
from defender_detect import arguments
from defender_detect.alerts.targets import TARGETS, type_of
from defender_detect.config import Config as DetectConfig
from defender_publisher.greengrass.parameters import Component
from device_defender.kinds import describe, inspected, kinds_of
from device_defender.metrics import BUILT_INS
from reference import commands
from reference.keys import described, with_descriptions

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(config: type[msgspec.Struct] = Config) -> str:
    """Return the text of configs/schema.json, or that of another configuration."""
    schema = {"$schema": SCHEMA_DIALECT, **with_descriptions(msgspec.json.schema(config), config)}
    return json.dumps(_ordered(schema), indent=2) + "\n"


def table() -> str:
    """Return the table of every key: a Markdown table in the order of the configuration file."""
    rows = ["| key | value | default | what it does |", "|---|---|---|---|", *_rows(inspected(Config), "")]
    return "\n".join(rows) + "\n"


def detect_keys() -> str:
    """Return the table of every key of Detect's configuration, with the option that stands for it."""
    head = ["| key | value | default | option | what it does |", "|---|---|---|---|---|"]
    return "\n".join([*head, *_rows(inspected(DetectConfig), "", arguments.OPTIONS)]) + "\n"


def alert_targets() -> str:
    """Return the table of the alert targets and their keys."""
    rows = ["| type | key | value | default | what it is |", "|---|---|---|---|---|"]
    for target in TARGETS:
        what = (target.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| `{type_of(target)}` | | | | {what} |")
        rows += [f"| {row}" for row in _rows(inspected(target), "")]
    return "\n".join(rows) + "\n"


def component_keys() -> str:
    """Return the table of the Greengrass component's parameters."""
    rows = ["| key | value | default | what it does |", "|---|---|---|---|", *_rows(inspected(Component), "")]
    return "\n".join(rows) + "\n"


def built_ins() -> str:
    """Return the table of the built-in custom metrics."""
    rows = [f"| `{name}` | {each.type} | {each.description} |" for name, each in BUILT_INS.items()]
    return "\n".join(["| built-in | type | what it is |", "|---|---|---|", *rows]) + "\n"


def with_tables(text: str) -> str:
    """Return a document with its tables put between its `<!-- begin NAME -->` and `<!-- end NAME -->` lines."""
    for name, content in TABLES.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + content() + end + rest.partition(end)[2]
    return text


TABLES = {
    "keys": table,
    "built-ins": built_ins,
    "detect-keys": detect_keys,
    "alert-targets": alert_targets,
    "component-keys": component_keys,
    "publisher-options": commands.publishers,
    "cloudwatch-options": commands.cloudwatchs,
    "detect-options": commands.detects,
    "detect-commands": commands.commands,
    "detect-questions": commands.questions,
    "detect-console": commands.consoles,
    "deploy-options": commands.deploys,
}


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


def _rows(kind: inspect.Type, path: str, options: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield a row for each key; `options`, by the keys that they stand for, fill a column of their own."""
    if not isinstance(kind, inspect.StructType) or (path and kind.tag is not None):  # one of several has its own table
        return
    texts = described(kind.cls)
    for each in kind.fields:
        key = f"{path}.{each.encode_name}" if path else each.encode_name
        option = "" if options is None else f" {_code(options.get(key, ''))} |"
        yield f"| `{key}` | {describe(each.type)} | {_default(each)} |{option} {texts.get(each.name, '')} |"
        for inner in kinds_of(each.type):
            yield from _rows(inner.type, key, options)
            if isinstance(inner.type, inspect.DictType):
                yield from _rows(inner.type.value_type, f"{key}.NAME", options)
            if isinstance(inner.type, inspect.ListType):
                for item in kinds_of(inner.type.item_type):
                    yield from _rows(item.type, f"{key}[]", options)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _default(each: inspect.Field) -> str:
    if each.required:
        return "required"
    value = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
    if value is None or isinstance(value, msgspec.Struct) or value == {}:
        return ""
    return f"`{json.dumps(value)}`"
