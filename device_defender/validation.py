"""Validation: every way in which a document departs from its definition, a sentence each.

A definition is a `msgspec.Struct`: structs within structs, unions of tagged structs, `dict[Name, X]`, lists with
limits, Optional, UNSET and Literal. What no type can say is a rule of a struct, `(value, path) -> problems`, given by
the struct's type; it is asked once everything below that struct is of the right types. Everybody imports from here, so
these stay:

* `find_problems(raw, definition, rules, name)` returns a sentence for everything that is wrong: where, what would be
  right, what was found; an empty list for a right document. `raw` is what a JSON or a CBOR decoder returns.
* `read(raw, definition, rules, name)` returns the struct, or raises `Invalid`, whose `problems` are those sentences.
* `read_json(path)` returns what a file holds, or raises `Invalid`; a byte order mark is no problem.
* `describe(type)` says which values are right.

`device_defender.definition` has what is lighter to load, for definitions (`that`, for a condition on a single value,
and `SECRET`), and `device_defender.wording` for sentences of one's own (`shown`, `key_path` and `did_you_mean`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from device_defender.kinds import describe as describe
from device_defender.kinds import has_length, inspected, is_a, is_container_of, kinds_of
from device_defender.wording import did_you_mean, key_path, nearest, shown

ODD = re.compile("[\0\ud800-\udfff]")  # what JSON can spell, and no file's name, message or database can hold
MOST_KEYS = 10  # known ones that are listed where none is like the unknown one

Rule = Callable[[Any, str], Iterable[str]]  # a struct and its path -> what is wrong with it
Rules = Mapping[type, Sequence[Rule]]  # by the struct's type
NO_RULES: Rules = {}
S = TypeVar("S", bound=msgspec.Struct)


class Invalid(ValueError):
    """A document that departs from its definition; `problems` has a sentence for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read(raw: object, definition: type[S], rules: Rules = NO_RULES, name: str = "the document") -> S:
    """Return a document as its definition has it; raise Invalid with everything that is wrong."""
    problems = find_problems(raw, definition, rules, name)
    if problems:
        raise Invalid(problems)
    return msgspec.convert(raw, definition)


def read_json(path: Path) -> Any:
    """Return what a file of JSON holds, with a byte order mark or without; raise Invalid if that cannot be read."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Invalid([f"cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise Invalid([f"must be JSON in UTF-8: {error}"]) from error
    problems = list(odd_text(raw))
    if problems:
        raise Invalid(problems)
    return raw


def odd_text(raw: Any, path: str = "") -> Iterator[str]:
    """Yield a sentence for every text in a document that has a NUL or half a surrogate pair in it."""
    if isinstance(raw, str) and ODD.search(raw):
        yield f"{path or 'the document'} must be text without a NUL, and without half a surrogate pair"
    elif isinstance(raw, dict):
        for key, each in raw.items():
            yield from odd_text(key, f"{path or 'the document'}: the key {shown(key)}")
            yield from odd_text(each, key_path(path, key))
    elif isinstance(raw, list):
        for index, each in enumerate(raw):
            yield from odd_text(each, f"{path}[{index}]")


def find_problems(raw: object, definition: Any, rules: Rules = NO_RULES, name: str = "the document") -> list[str]:
    """Return a sentence for everything in a document that its definition or a rule does not allow."""
    return list(_value_problems(inspected(definition), raw, _Place("", name, rules)))


class _Place(NamedTuple):
    """Where in a document a value stands, and what holds for the document from here on."""

    path: str
    document: str  # what the whole is called
    rules: Rules
    is_secret: bool = False

    def key(self, name: object) -> _Place:
        return self._replace(path=key_path(self.path, name))

    def item(self, index: int) -> _Place:
        return self._replace(path=f"{self.path}[{index}]")

    def __str__(self) -> str:
        return self.path or self.document

    def refuse(self, kind: inspect.Type, value: object) -> str:
        if self.is_secret:
            return f"{self} must be {describe(kind)}, got something else, which is not shown here"
        return f"{self} must be {describe(kind)}, got {shown(value)}{_nearest_choice(kind, value)}"


def _value_problems(kind: inspect.Type, value: Any, place: _Place) -> Iterator[str]:
    kinds = list(kinds_of(kind))
    if any(each.secret for each in kinds):
        place = place._replace(is_secret=True)
    alike = [each for each in kinds if is_container_of(each.type, value)]
    problems = list(_container_problems(kind, [each.type for each in alike], value, place)) if alike else []
    yield from problems
    if not problems and not any(is_a(each, value) for each in alike or kinds):
        yield place.refuse(kind, value)


def _container_problems(kind: inspect.Type, kinds: list[Any], value: Any, place: _Place) -> Iterator[str]:
    if isinstance(kinds[0], inspect.StructType):
        return _struct_problems(kinds, value, place)
    if isinstance(kinds[0], inspect.DictType):
        return _mapping_problems(kinds[0], value, place)
    return _item_problems(kind, kinds[0], value, place)


def _struct_problems(structs: list[inspect.StructType], value: Any, place: _Place) -> Iterator[str]:
    field = structs[0].tag_field
    struct = next((each for each in structs if field is None or each.tag == value.get(field)), None)
    if struct is None:
        tags = [str(each.tag) for each in structs]
        got = f", got {shown(value[field])}{did_you_mean(value[field], tags)}" if field in value else ""
        yield f"{place.key(field)} {'' if got else 'is missing; it '}must be one of {', '.join(tags)}{got}"
        return
    problems = list(_field_problems(struct, value, place))
    yield from problems
    rules = () if problems else place.rules.get(struct.cls, ())
    for rule in rules:
        yield from rule(msgspec.convert(value, struct.cls), place.path)


def _field_problems(struct: inspect.StructType, value: Any, place: _Place) -> Iterator[str]:
    fields = {each.encode_name: each for each in struct.fields}
    others = [key for key in value if key not in fields and key != struct.tag_field]
    unknown = [key for key in others if struct.forbid_unknown_fields or not isinstance(key, str)]
    meant = {nearest(key, fields) for key in unknown}
    for key, each in value.items():
        if key in fields:
            yield from _value_problems(fields[key].type, each, place.key(key))
        elif key in unknown:
            yield f"{place.key(key)} is not a known key{did_you_mean(key, fields) or _list_keys(fields)}"
    for key, field in fields.items():
        if field.required and key not in value and key not in meant:
            yield f"{place.key(key)} is missing; it must be {describe(field.type)}"


def _list_keys(fields: Mapping[str, object]) -> str:
    few = 0 < len(fields) <= MOST_KEYS
    return f"; there {'is' if len(fields) == 1 else 'are'} {', '.join(fields)}" if few else ""


def _mapping_problems(kind: inspect.DictType, value: Any, place: _Place) -> Iterator[str]:
    for name, each in value.items():
        yield from _value_problems(kind.key_type, name, place._replace(path=f"{place}: a name"))
        yield from _value_problems(kind.value_type, each, place.key(name))


def _item_problems(kind: inspect.Type, array: inspect.ListType, value: Any, place: _Place) -> Iterator[str]:
    if not has_length(array, value):
        yield place.refuse(kind, value)
    for index, each in enumerate(value):
        yield from _value_problems(array.item_type, each, place.item(index))


def _nearest_choice(kind: inspect.Type, value: object) -> str:
    choices = [each for kind in kinds_of(kind) for each in getattr(kind.type, "values", ()) if isinstance(each, str)]
    return did_you_mean(value, choices)
