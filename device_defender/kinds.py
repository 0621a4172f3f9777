"""The types that a definition gives a value, as msgspec knows them, and what they are called in a sentence."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from msgspec import inspect

NOUNS: Mapping[type, str] = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.ListType: "array",
    inspect.StructType: "object",
    inspect.DictType: "object",
}
BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("of at least", operator.ge),
    "gt": ("above", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("below", operator.lt),
}


class Kind(NamedTuple):
    """One of the types that a value may have, with what its annotations add."""

    type: inspect.Type
    words: str = ""
    holds: Callable[[Any], bool] | None = None
    secret: bool = False


@cache
def inspected(definition: Any) -> inspect.Type:
    """Return what msgspec knows of a type, which takes a while to find out."""
    return inspect.type_info(definition)


def kinds_of(kind: inspect.Type, given: Mapping[str, Any] | None = None) -> Iterator[Kind]:
    """Yield the types that a value may have."""
    extra = {**(given or {})}
    while isinstance(kind, inspect.Metadata):
        extra.update(kind.extra or {})
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from kinds_of(each, extra)
    else:
        yield Kind(kind, **{name: extra[name] for name in Kind._fields[1:] if name in extra})


def describe(kind: Any) -> str:
    """Say in words which values are right, for messages and for tables; takes a type, or what msgspec knows of one."""
    kinds = _told_kinds(kind if isinstance(kind, inspect.Type) else inspected(kind))
    words = dict.fromkeys(each.words or _describe(each.type) for each in kinds)
    return " or ".join(words).replace("true or false or", "true, false or")


def _told_kinds(kind: inspect.Type) -> list[Kind]:
    kinds = [each for each in kinds_of(kind) if not isinstance(each.type, inspect.NoneType)]
    is_number = any(isinstance(each.type, inspect.FloatType) for each in kinds)  # which a whole number is, too
    return [each for each in kinds if not (is_number and isinstance(each.type, inspect.IntType))]


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        is_whole = isinstance(kind, inspect.IntType) or kind.multiple_of == 1
        return ("a whole number" if is_whole else "a number") + _describe_bounds(kind)
    if isinstance(kind, inspect.StrType) and kind.max_length:
        return f"a string of {kind.min_length or 0} to {kind.max_length} characters"
    if isinstance(kind, inspect.StrType):
        return "a non-empty string" if kind.min_length else "a string"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.ListType):
        return _describe_list(kind)
    return "true or false" if isinstance(kind, inspect.BoolType) else "an object"


def _describe_bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:.15g} to {kind.le:.15g}"
    given = {words: getattr(kind, name) for name, (words, _) in BOUNDS.items()}
    bounds = " and ".join(f"{words} {bound:.15g}" for words, bound in given.items() if bound is not None)
    return f" {bounds}" if bounds else ""


def _describe_list(kind: inspect.ListType) -> str:
    item = " or ".join(dict.fromkeys(NOUNS.get(type(each.type), "value") for each in _told_kinds(kind.item_type)))
    if kind.max_length is not None and kind.min_length == kind.max_length:
        return f"an array of exactly {f'one {item}' if kind.max_length == 1 else f'{kind.max_length} {item}s'}"
    most = f"at most {kind.max_length} " if kind.max_length else ""
    return f"{'a non-empty' if kind.min_length else 'an'} array of {most}{item.replace(' or ', 's or ')}s"


def is_container_of(kind: inspect.Type, value: object) -> bool:
    """Tell whether a value is an object or an array, as this type is, whatever is in it."""
    if isinstance(kind, (inspect.StructType, inspect.DictType)):
        return isinstance(value, dict)
    return isinstance(kind, inspect.ListType) and isinstance(value, (list, tuple))


def is_a(each: Kind, value: Any) -> bool:
    """Tell whether a value is of this kind; what a container holds is known to be right."""
    kind = each.type
    if isinstance(kind, inspect.LiteralType):
        is_right = any(type(choice) is type(value) and choice == value for choice in kind.values)
    elif isinstance(kind, (inspect.IntType, inspect.FloatType)):
        is_right = _is_number(kind, value)
    elif isinstance(kind, inspect.StrType):
        is_right = isinstance(value, str) and has_length(kind, value) and bool(re.search(kind.pattern or "", value))
    elif isinstance(kind, (inspect.BoolType, inspect.NoneType)):
        is_right = isinstance(value, bool) if isinstance(kind, inspect.BoolType) else value is None
    else:
        is_right = isinstance(kind, inspect.AnyType) or is_container_of(kind, value)
    return is_right and (each.holds is None or value is None or each.holds(value))


def _is_number(kind: inspect.IntType | inspect.FloatType, value: Any) -> bool:
    is_number = isinstance(value, int if isinstance(kind, inspect.IntType) else (int, float))
    if not is_number or isinstance(value, bool) or not _is_finite(value):
        return False
    given = {compare: getattr(kind, name) for name, (_, compare) in BOUNDS.items()}
    is_within = all(bound is None or compare(value, bound) for compare, bound in given.items())
    return is_within and not (kind.multiple_of and value % kind.multiple_of)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def has_length(kind: inspect.StrType | inspect.ListType, value: Any) -> bool:
    """Tell whether a string or an array is as long as it may be."""
    return (kind.min_length or 0) <= len(value) <= (math.inf if kind.max_length is None else kind.max_length)
