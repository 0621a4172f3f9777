"""What is right is said in the words of the definition, or of its types."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, Union

import msgspec
import pytest
from msgspec import Meta

from device_defender.definition import SECRET, that
from device_defender.kinds import describe
from device_defender.metrics import Name


class Inner(msgspec.Struct):
    pass


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (Union[int, float], "a number"),
        (Optional[int], "a whole number"),
        (Annotated[int, Meta(ge=1, le=65535)], "a whole number from 1 to 65535"),
        (Annotated[float, Meta(ge=0.01, le=36500)], "a number from 0.01 to 36500"),
        (Annotated[float, Meta(gt=0, le=60)], "a number above 0 and at most 60"),
        (Annotated[float, Meta(ge=0, multiple_of=1)], "a whole number of at least 0"),
        (Annotated[str, Meta(min_length=1)], "a non-empty string"),
        (Annotated[str, Meta(max_length=256)], "a string of 0 to 256 characters"),
        (Annotated[Optional[str], SECRET], "a string"),
        (Name, "1 to 128 of the characters a-z A-Z 0-9 : _ -"),
        (Annotated[Optional[Annotated[str, that(None, "a CIDR")]], Meta(description="d")], "a CIDR"),
        (Literal["b", "a"], "one of a, b"),
        (Union[bool, Inner], "true, false or an object"),
        (dict[str, int], "an object"),
        (list[Any], "an array of values"),
        (list[Union[str, Inner]], "an array of strings or objects"),
        (Annotated[list[str], Meta(min_length=1)], "a non-empty array of strings"),
        (Annotated[list[Inner], Meta(max_length=50)], "an array of at most 50 objects"),
        (Annotated[list[Inner], Meta(min_length=1, max_length=1)], "an array of exactly one object"),
    ],
)
def test_what_is_right_is_said_in_words(definition: Any, expected: str) -> None:
    assert expected == describe(definition)
