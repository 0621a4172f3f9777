"""What each key of a configuration does: the string below a field of its definition, as Sphinx and pydantic take it.

It is in the source alone, so that a device that runs the definition holds none of it in memory.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from functools import cache
from inspect import getsource
from typing import Any

import msgspec
from msgspec import inspect

from device_defender.kinds import inspected, kinds_of


@cache
def described(definition: type[msgspec.Struct]) -> dict[str, str]:
    """Return what the fields of a struct are for, by their names; those that it inherits included."""
    texts: dict[str, str] = {}
    ours = [each for each in definition.__mro__ if issubclass(each, msgspec.Struct) and each is not msgspec.Struct]
    for each in reversed(ours):
        (tree,) = ast.parse(textwrap.dedent(getsource(each))).body
        assert isinstance(tree, ast.ClassDef)
        for key, below in zip(tree.body, tree.body[1:]):
            if isinstance(key, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(key.target, ast.Name):
                texts[key.target.id] = " ".join(ast.literal_eval(below.value).split())
    return texts


def with_descriptions(schema: dict[str, Any], config: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a configuration with what each of its keys does."""
    for struct in structs_in(inspected(config)):
        properties, texts = schema["$defs"][struct.cls.__name__]["properties"], described(struct.cls)
        for key in struct.fields:
            if key.name in texts:
                properties[key.encode_name] = {"description": texts[key.name], **properties[key.encode_name]}
    return schema


def structs_in(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """Yield the structs that a type is made of, itself included."""
    for each in (one.type for one in kinds_of(kind)):
        if isinstance(each, inspect.StructType):
            yield each
            for key in each.fields:
                yield from structs_in(key.type)
        elif isinstance(each, (inspect.ListType, inspect.DictType)):
            yield from structs_in(each.item_type if isinstance(each, inspect.ListType) else each.value_type)
