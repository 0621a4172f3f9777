"""Numbers have their limits, and what is marked as a path becomes absolute, wherever in a document it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, Union

import msgspec
import pytest

from device_defender.definition import PATH, Port, PositiveInt, Section, with_absolute_paths

File = Annotated[str, PATH]


class Inner(Section, frozen=True):
    file: Optional[File] = None
    word: str = ""


class Post(Section, frozen=True, tag_field="type", tag="post"):
    ca: Optional[File] = None


class Mail(Section, frozen=True, tag_field="type", tag="mail"):
    ca: Optional[str] = None  # which is no path


class Document(Section, frozen=True):
    schema: Optional[File] = msgspec.field(name="$schema", default=None)
    inner: Optional[Inner] = None
    places: list[Union[File, Inner]] = []
    named: dict[str, Union[str, Inner]] = {}
    sent: list[Union[Post, Mail]] = []
    mode: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"$schema": "s", "mode": "a"}, {"$schema": "/x/s", "mode": "a"}),
        ({"inner": {"file": "f", "word": "w"}}, {"inner": {"file": "/x/f", "word": "w"}}),
        ({"inner": {"file": None}}, {"inner": {"file": None}}),
        ({"places": ["p", {"file": "f", "word": "w"}]}, {"places": ["/x/p", {"file": "/x/f", "word": "w"}]}),
        ({"named": {"file": "a word", "b": {"file": "f"}}}, {"named": {"file": "a word", "b": {"file": "/x/f"}}}),
        (
            {"sent": [{"type": "post", "ca": "c"}, {"type": "mail", "ca": "c"}, {"ca": "c"}]},
            {"sent": [{"type": "post", "ca": "/x/c"}, {"type": "mail", "ca": "c"}, {"ca": "c"}]},
        ),
    ],
)
def test_what_is_marked_as_a_path_becomes_absolute_wherever_it_is(raw: Any, expected: Any) -> None:
    assert expected == with_absolute_paths(raw, Document, "/x/{}".format)


@pytest.mark.parametrize("raw", [5, [], None, {"inner": 5}, {"places": {}}, {"named": []}, {"sent": [[]]}, {"x": "y"}])
def test_what_is_wrong_stays_as_it_is(raw: Any) -> None:
    assert raw == with_absolute_paths(raw, Document, "/x/{}".format)


def test_the_document_that_was_read_is_not_changed() -> None:
    raw = {"inner": {"file": "f"}}
    with_absolute_paths(raw, Document, "/x/{}".format)
    assert {"inner": {"file": "f"}} == raw


@pytest.mark.parametrize(("value", "kind"), [(0, Port), (65536, Port), (0, PositiveInt)])
def test_a_number_has_its_limits(value: int, kind: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)
