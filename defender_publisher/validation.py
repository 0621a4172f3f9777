"""Validation: every way in which a configuration's text departs from its definition, a sentence each."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from defender_publisher.config import NAME_PATTERN, Config, key_path

SHOWN_LENGTH = 60  # characters of a wrong value that a message repeats


def find_problems(raw: object, definition: type[msgspec.Struct] = Config) -> list[str]:
    """Return a sentence for everything in `raw` (JSON as Python gives it) that `definition` does not allow."""
    return list(_object_problems(definition, raw, ""))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the known word nearest to `word`, or nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def shown(value: object) -> str:
    """Return a wrong value as JSON, cut to a length that a message can carry."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def alternatives(annotation: Any) -> list[inspect.Type]:
    """Return what a value may be: the inspected types of a union without None, or the one type there is."""
    kind = inspect.type_info(annotation)
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return [each for each in kinds if not isinstance(each, inspect.NoneType)]


def object_type(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a value may be, where an object with known keys is allowed."""
    return next((each.cls for each in alternatives(annotation) if isinstance(each, inspect.StructType)), None)


def mapping_types(annotation: Any) -> tuple[Any, Any] | None:
    """Return the annotations of name and value of a `dict[name, value]`, or None for anything else."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return typing.get_args(annotation) if typing.get_origin(annotation) is dict else None


def describe(annotation: Any) -> str:
    """Say in words which values are right, for messages and for the README."""
    return " or ".join(_describe(each) for each in alternatives(annotation)).replace(
        "true or false or", "true, false or"
    )


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return "a whole number" + _bounds(kind)
    if isinstance(kind, inspect.FloatType):
        return "a number" + _bounds(kind)
    if isinstance(kind, inspect.StrType):
        return _describe_string(kind)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.ListType):
        return "a list of strings" if not kind.min_length else "a non-empty list of strings"
    return "true or false" if isinstance(kind, inspect.BoolType) else "an object"


def _describe_string(kind: inspect.StrType) -> str:
    if kind.pattern == NAME_PATTERN:
        return "1 to 128 of the characters a-z A-Z 0-9 : _ -"
    if kind.max_length:
        return f"a string of {kind.min_length} to {kind.max_length} characters"
    return "a non-empty string" if kind.min_length else "a string"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    lower = f" of at least {kind.ge}" if kind.ge is not None else f" above {kind.gt:g}" if kind.gt is not None else ""
    return lower + (f" and at most {kind.le:g}" if kind.le is not None else "")


def _object_problems(struct: type[msgspec.Struct], raw: object, path: str) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield f"{path or 'the configuration'} must be an object, got {shown(raw)}"
        return
    fields = {each.encode_name: each for each in msgspec.structs.fields(struct)}
    for key, value in raw.items():
        if key in fields:
            yield from _value_problems(fields[key].type, value, key_path(path, key))
        else:
            yield f"{key_path(path, key)} is not a known key{did_you_mean(key, fields)}"
    for key, each in fields.items():
        if each.required and key not in raw:
            yield f"{key_path(path, key)} is missing; it must be {describe(each.type)}"


def _value_problems(annotation: Any, value: object, path: str) -> Iterator[str]:
    struct, mapping = object_type(annotation), mapping_types(annotation)
    if isinstance(value, dict) and struct is not None:
        yield from _object_problems(struct, value, path)
    elif isinstance(value, dict) and mapping is not None:
        for name, each in value.items():
            yield from _leaf_problems(mapping[0], name, f"{path}: a name")
            yield from _value_problems(mapping[1], each, key_path(path, name))
    else:
        yield from _leaf_problems(annotation, value, path)


def _leaf_problems(annotation: Any, value: object, path: str) -> Iterator[str]:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        yield f"{path} must be {describe(annotation)}, got {shown(value)}{_nearest_choice(annotation, value)}"


def _nearest_choice(annotation: Any, value: object) -> str:
    choices = [str(each) for kind in alternatives(annotation) for each in getattr(kind, "values", ())]
    return did_you_mean(value, choices) if isinstance(value, str) else ""
