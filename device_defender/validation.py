"""Validation: every way in which a document departs from its definition, a sentence each.

A definition is a `msgspec.Struct`: structs within structs, unions of tagged structs, `dict[Name, X]`, lists with
limits, Optional, UNSET and Literal. What no type can say is a rule of a struct, `(value, path) -> problems`, given by
the struct's type; it is asked once everything below that struct is of the right types. Everybody imports from here, so
these stay:

* `find_problems(raw, definition, rules, name)` returns a sentence for everything that is wrong: where, what would be
  right, what was found; an empty list for a right document. `raw` is what a JSON or a CBOR decoder returns.
* `read(raw, definition, rules, name)` returns the struct, or raises `Invalid`, whose `problems` are those sentences.
* `that(holds, words)` makes an annotation of a condition on a single value, and what to say instead of its type:
  `Annotated[str, that(is_cidr, "a CIDR such as 10.0.0.0/8")]`. The walker asks it, msgspec's decoders do not.
* `SECRET` in an annotation keeps values of it, and below it, out of the sentences.
* `describe(type)` says which values are right; `shown(value)`, `key_path(path, key)` and `did_you_mean(word, known)`
  are for sentences of one's own. They, `that` and `SECRET` are those of `device_defender.wording`, lighter to load.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from device_defender.wording import SECRET, did_you_mean, key_path, shown, that

__all__ = [
    "SECRET",
    "Invalid",
    "Rule",
    "Rules",
    "describe",
    "did_you_mean",
    "find_problems",
    "key_path",
    "read",
    "shown",
    "that",
]

MOST_KEYS = 10  # known ones that are listed where none is like the unknown one
NOUNS: Mapping[type, str] = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.ListType: "array",
    inspect.StructType: "object",
    inspect.DictType: "object",
}

Rule = Callable[[Any, str], Iterable[str]]  # a struct and its path -> what is wrong with it
Rules = Mapping[type, Sequence[Rule]]  # by the struct's type
NO_RULES: Rules = {}
S = TypeVar("S", bound=msgspec.Struct)


class Invalid(ValueError):
    """A document that departs from its definition; `problems` has a sentence for each place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Kind(NamedTuple):
    """One of the types that a value may have, with what its annotations add."""

    type: inspect.Type
    words: str = ""
    holds: Callable[[Any], bool] | None = None
    secret: bool = False


def read(raw: object, definition: type[S], rules: Rules = NO_RULES, name: str = "the document") -> S:
    """Return a document as its definition has it; raise Invalid with everything that is wrong."""
    problems = find_problems(raw, definition, rules, name)
    if problems:
        raise Invalid(problems)
    try:
        return msgspec.convert(raw, definition)
    except msgspec.ValidationError as error:  # a number beyond what a float holds, for instance
        raise Invalid([f"{name} is not valid: {error}"]) from error


def find_problems(
    raw: object, definition: type[msgspec.Struct], rules: Rules = NO_RULES, name: str = "the document"
) -> list[str]:
    """Return a sentence for everything in a document that its definition or a rule does not allow."""
    return list(_value_problems(inspected(definition), raw, _Place("", name, rules)))


@cache
def inspected(definition: Any) -> inspect.Type:
    """Return what msgspec knows of a type, which takes a while to find out."""
    return inspect.type_info(definition)


def kinds_of(kind: inspect.Type, given: Mapping[str, Any] | None = None) -> Iterator[Kind]:
    """Yield the types that a value may have, but None."""
    extra = {**(given or {})}
    while isinstance(kind, inspect.Metadata):
        extra.update(kind.extra or {})
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from kinds_of(each, extra)
    elif not isinstance(kind, inspect.NoneType):
        yield Kind(kind, **{name: extra[name] for name in Kind._fields[1:] if name in extra})


def describe(kind: Any) -> str:
    """Say in words which values are right, for messages and for tables; takes a type, or what msgspec knows of one."""
    kinds = _told_kinds(kind if isinstance(kind, inspect.Type) else inspected(kind))
    words = dict.fromkeys(each.words or _describe(each.type) for each in kinds)
    return " or ".join(words).replace("true or false or", "true, false or")


def _told_kinds(kind: inspect.Type) -> list[Kind]:
    kinds = list(kinds_of(kind))
    if any(isinstance(each.type, inspect.FloatType) for each in kinds):
        return [each for each in kinds if not isinstance(each.type, inspect.IntType)]
    return kinds


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        is_whole = isinstance(kind, inspect.IntType) or kind.multiple_of == 1
        return ("a whole number" if is_whole else "a number") + _bounds(kind)
    if isinstance(kind, inspect.StrType):
        return _describe_string(kind)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.ListType):
        return _describe_list(kind)
    return "true or false" if isinstance(kind, inspect.BoolType) else "an object"


def _describe_string(kind: inspect.StrType) -> str:
    if kind.max_length:
        return f"a string of {kind.min_length or 0} to {kind.max_length} characters"
    return "a non-empty string" if kind.min_length else "a string"


def _describe_list(kind: inspect.ListType) -> str:
    item = " or ".join(dict.fromkeys(NOUNS.get(type(each.type), "value") for each in _told_kinds(kind.item_type)))
    if kind.max_length is not None and kind.min_length == kind.max_length:
        return f"an array of exactly {f'one {item}' if kind.max_length == 1 else f'{kind.max_length} {item}s'}"
    article = "a non-empty array" if kind.min_length else "an array"
    most = f"at most {kind.max_length} " if kind.max_length else ""
    return f"{article} of {most}{item.replace(' or ', 's or ')}s"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:.15g} to {kind.le:.15g}"
    least = [f"of at least {kind.ge:.15g}"] if kind.ge is not None else []
    least += [f"above {kind.gt:.15g}"] if kind.gt is not None else []
    most = [f"at most {kind.le:.15g}"] if kind.le is not None else []
    most += [f"below {kind.lt:.15g}"] if kind.lt is not None else []
    return "".join(f" {bound}" for bound in [" and ".join(least + most)] if bound)


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
    if value is None and _may_be_none(kind):
        return
    kinds = list(kinds_of(kind))
    if any(each.secret for each in kinds):
        place = place._replace(is_secret=True)
    alike = [each for each in kinds if _is_container_of(each.type, value)]
    problems = list(_container_problems(kind, [each.type for each in alike], value, place)) if alike else []
    yield from problems
    if not problems and not any(_is_a(each, value) for each in alike or kinds):
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
        yield _explain_tag(structs, value, place.key(field))
        return
    problems = list(_field_problems(struct, value, place))
    yield from problems
    rules = () if problems else place.rules.get(struct.cls, ())
    if rules:
        whole = msgspec.convert(value, struct.cls)
        for rule in rules:
            yield from rule(whole, place.path)


def _explain_tag(structs: list[inspect.StructType], value: Any, place: _Place) -> str:
    tags = [str(each.tag) for each in structs]
    if structs[0].tag_field not in value:
        return f"{place} is missing; it must be one of {', '.join(tags)}"
    found = value[structs[0].tag_field]
    near = did_you_mean(found, tags) if isinstance(found, str) else ""
    return f"{place} must be one of {', '.join(tags)}, got {shown(found)}{near}"


def _field_problems(struct: inspect.StructType, value: Any, place: _Place) -> Iterator[str]:
    fields = {each.encode_name: each for each in struct.fields}
    for key, each in value.items():
        if key in fields:
            yield from _value_problems(fields[key].type, each, place.key(key))
        elif struct.forbid_unknown_fields and key != struct.tag_field:
            yield f"{place.key(key)} is not a known key{_suggest(key, fields)}"
    for key, field in fields.items():
        if field.required and key not in value:
            yield f"{place.key(key)} is missing; it must be {describe(field.type)}"


def _mapping_problems(kind: inspect.DictType, value: Any, place: _Place) -> Iterator[str]:
    for name, each in value.items():
        yield from _value_problems(kind.key_type, name, place._replace(path=f"{place}: a name"))
        yield from _value_problems(kind.value_type, each, place.key(name))


def _item_problems(kind: inspect.Type, array: inspect.ListType, value: Any, place: _Place) -> Iterator[str]:
    if not _has_length(array, value):
        yield place.refuse(kind, value)
    for index, each in enumerate(value):
        yield from _value_problems(array.item_type, each, place.item(index))


def _may_be_none(kind: inspect.Type) -> bool:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        return any(map(_may_be_none, kind.types))
    return isinstance(kind, (inspect.NoneType, inspect.AnyType))


def _is_container_of(kind: inspect.Type, value: object) -> bool:
    """Tell whether a value is an object or an array, as this type is, whatever is in it."""
    if isinstance(kind, (inspect.StructType, inspect.DictType)):
        return isinstance(value, dict)
    return isinstance(kind, inspect.ListType) and isinstance(value, (list, tuple))


def _is_a(each: Kind, value: Any) -> bool:
    """Tell whether a value is of this kind; what a container holds is known to be right."""
    kind = each.type
    if isinstance(kind, inspect.LiteralType):
        is_right = any(type(choice) is type(value) and choice == value for choice in kind.values)
    elif isinstance(kind, (inspect.IntType, inspect.FloatType)):
        is_right = _is_number(kind, value)
    elif isinstance(kind, inspect.StrType):
        is_right = isinstance(value, str) and _has_length(kind, value) and bool(re.search(kind.pattern or "", value))
    elif isinstance(kind, inspect.BoolType):
        is_right = isinstance(value, bool)
    else:
        is_right = isinstance(kind, inspect.AnyType) or _is_container_of(kind, value)
    return is_right and (each.holds is None or each.holds(value))


def _is_number(kind: inspect.IntType | inspect.FloatType, value: Any) -> bool:
    types = (int,) if isinstance(kind, inspect.IntType) else (int, float)
    if not isinstance(value, types) or isinstance(value, bool) or not _is_finite(value):
        return False
    is_enough = (kind.ge is None or value >= kind.ge) and (kind.gt is None or value > kind.gt)
    is_too_much = (kind.le is not None and value > kind.le) or (kind.lt is not None and value >= kind.lt)
    return is_enough and not is_too_much and not (kind.multiple_of and value % kind.multiple_of)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _has_length(kind: inspect.StrType | inspect.ListType, value: Any) -> bool:
    return (kind.min_length or 0) <= len(value) <= (math.inf if kind.max_length is None else kind.max_length)


def _suggest(key: object, fields: Mapping[str, object]) -> str:
    near = did_you_mean(key, fields) if isinstance(key, str) else ""
    if near or not 0 < len(fields) <= MOST_KEYS:
        return near
    return f"; there {'is' if len(fields) == 1 else 'are'} {', '.join(fields)}"


def _nearest_choice(kind: inspect.Type, value: object) -> str:
    choices = [str(each) for kind in kinds_of(kind) for each in getattr(kind.type, "values", ())]
    return did_you_mean(value, choices) if isinstance(value, str) else ""
