"""What a report is made of: objects of named fields and lists, each a rule like those for single values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from defender_detect.errors import Malformed
from defender_detect.rules import Place, Rule


@dataclass(frozen=True)
class Field:
    """A field of an object: its long and its short name, the rule for its value, and whether it has to be there."""

    long: str
    short: str
    rule: Rule
    required: bool = False

    def name(self, short: bool) -> str:
        """Return the field's name in a report with short or with long names."""
        return self.short if short else self.long


@dataclass(frozen=True)
class Object:
    """An object with these fields; AWS does not say what it does with other keys, so they are left out."""

    fields: tuple[Field, ...]

    def __call__(self, value: Any, place: Place) -> dict[str, Any]:
        """Return the object with long names, whichever it had."""
        if not isinstance(value, dict):
            place.refuse("be an object", value)
        present = [field for field in self.fields if is_present(field, value, place)]
        return {
            field.long: field.rule(value[field.name(place.short)], place.key(field.name(place.short)))
            for field in present
        }


@dataclass(frozen=True)
class ListOf:
    """A list, empty or not, whose items all follow one rule."""

    rule: Rule

    def __call__(self, value: Any, place: Place) -> list[Any]:
        """Return the list with its items as the rule returns them."""
        if not isinstance(value, list):
            place.refuse("be an array", value)
        return [self.rule(item, place.item(index)) for index, item in enumerate(value)]


def is_present(field: Field, value: dict[Any, Any], place: Place) -> bool:
    """Tell whether a field is in an object; refuse a required one that is not, and the other style's name for it."""
    ours, theirs = field.name(place.short), field.name(not place.short)
    if theirs in value:
        where, style = place.key(theirs).path, "short" if place.short else "long"
        raise Malformed(f"{where} must be called {ours}, because the report's header has a {style} name")
    if field.required and ours not in value:
        raise Malformed(f"{place.key(ours).path} is missing")
    return ours in value
