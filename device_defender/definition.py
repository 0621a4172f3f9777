"""What a definition of a document is made of: sections, and what their keys are annotated with.

What a key does is the string below it, from which the schemas and the tables of docs/reference are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta

SECRET = Meta(extra={"secret": True})  # of a value that no message shows
PATH = Meta(extra={"path": True})  # of the path of a file, which may be relative to the document's own
PositiveInt = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of a configuration: every key is known, and none can be changed once it is read."""


def that(holds: Callable[[Any], bool] | None, words: str) -> Meta:
    """Return an annotation: values for which `holds` is true (None: no such condition), which `words` describe."""
    return Meta(extra={"holds": holds, "words": words})


def with_absolute_paths(raw: Any, definition: Any, absolute: Callable[[str], str]) -> Any:
    """Return what JSON holds, right or wrong, with everything in it that is a `PATH` as `absolute` makes it."""
    origin, inner = get_origin(definition), get_args(definition)
    if definition is PATH and isinstance(raw, str):
        return absolute(raw)
    if origin in (Annotated, Union):
        for each in inner:
            raw = with_absolute_paths(raw, each, absolute)
    elif origin is list and isinstance(raw, list):
        return [with_absolute_paths(each, inner[0], absolute) for each in raw]
    elif origin is dict and isinstance(raw, dict):
        return {name: with_absolute_paths(each, inner[1], absolute) for name, each in raw.items()}
    elif isinstance(raw, dict) and _is_struct_of(raw, definition):
        types = {each.encode_name: each.type for each in msgspec.structs.fields(definition)}
        return {key: with_absolute_paths(each, types.get(key), absolute) for key, each in raw.items()}
    return raw


def is_struct(definition: Any) -> bool:
    """Tell whether a type is a struct's own, nothing that is made of one."""
    return isinstance(definition, type) and issubclass(definition, msgspec.Struct)


def _is_struct_of(raw: dict[Any, Any], definition: Any) -> bool:
    """Tell whether a type is the struct that an object is, by its tag where there are several."""
    config = definition.__struct_config__ if is_struct(definition) else None
    return config is not None and (config.tag_field is None or raw.get(config.tag_field) == config.tag)
