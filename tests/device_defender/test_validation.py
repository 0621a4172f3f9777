"""Every departure from a definition is named: where, what would be right, what was found."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from device_defender.definition import SECRET, that
from device_defender.metrics import Name
from device_defender.validation import Invalid, find_problems, read, read_json
from device_defender.wording import key_path, shown
from tests.examples import examples

Number = Union[int, float]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Webhook(Strict, tag="webhook", tag_field="type"):
    url: str
    headers: Annotated[dict[str, str], SECRET] = {}


class Command(Strict, tag="command", tag_field="type"):
    command: Annotated[list[str], Meta(min_length=1), that(lambda words: words != [""], "a program and its arguments")]


class Inner(Strict):
    least: int = 0
    most: int = 10


class Lenient(msgspec.Struct):
    known: int = 0


class Document(Strict, rename="camel"):
    name: Name
    text: Annotated[str, Meta(min_length=1, max_length=5)] = "x"
    maybe: Optional[Annotated[int, Meta(ge=1)]] = None
    unset: Union[float, UnsetType] = UNSET
    number: Number = 0
    whole: Annotated[float, Meta(ge=0, multiple_of=1)] = 0
    below: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    choice: Literal[300, 600] = 300
    word: Optional[Literal["first", "second"]] = None
    flag: bool = False
    switch: Union[bool, Inner] = True
    even: Annotated[int, that(lambda value: value % 2 == 0, "an even number")] = 0
    pair: Annotated[list[Number], Meta(min_length=2, max_length=2)] = msgspec.field(default_factory=lambda: [0, 0])
    one: Annotated[list[Inner], Meta(min_length=1, max_length=1)] = msgspec.field(default_factory=lambda: [Inner()])
    few: Annotated[list[str], Meta(max_length=2)] = []
    targets: list[Union[Webhook, Command]] = []
    only: Optional[Webhook] = None
    things: dict[Name, list[int]] = {}
    lenient: Lenient = msgspec.field(default_factory=Lenient)
    anything: Any = None
    password: Annotated[Optional[str], SECRET] = None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"text": ""}, 'text must be a string of 1 to 5 characters, got ""'),
    ({"text": 7}, "text must be a string of 1 to 5 characters, got 7"),
    ({"text": "abcdef"}, 'text must be a string of 1 to 5 characters, got "abcdef"'),
    ({"text": None}, "text must be a string of 1 to 5 characters, got null"),
    ({"name": "a b"}, 'name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "a b"'),
    ({"name": "a\n"}, 'name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "a\\n"'),
    ({"maybe": 0}, "maybe must be a whole number of at least 1, got 0"),
    ({"maybe": 2.0}, "maybe must be a whole number of at least 1, got 2.0"),
    ({"maybe": True}, "maybe must be a whole number of at least 1, got true"),
    ({"unset": None}, "unset must be a number, got null"),
    ({"number": "1"}, 'number must be a number, got "1"'),
    ({"number": math.inf}, "number must be a number, got Infinity"),
    ({"number": 10**400}, f"number must be a number, got 1{'0' * 59}..."),
    ({"whole": 1.5}, "whole must be a whole number of at least 0, got 1.5"),
    ({"below": 1}, "below must be a number above 0 and below 1, got 1"),
    ({"choice": 301}, "choice must be one of 300, 600, got 301"),
    ({"choice": 300.0}, "choice must be one of 300, 600, got 300.0"),
    ({"word": "frist"}, 'word must be one of first, second, got "frist"; did you mean "first"?'),
    ({"flag": 1}, "flag must be true or false, got 1"),
    ({"switch": 1}, "switch must be true, false or an object, got 1"),
    ({"switch": {"leest": 1}}, 'switch.leest is not a known key; did you mean "least"?'),
    ({"switch": {"z": 1}}, "switch.z is not a known key; there are least, most"),
    ({"even": 3}, "even must be an even number, got 3"),
    ({"even": "2"}, 'even must be an even number, got "2"'),
    ({"pair": [1]}, "pair must be an array of exactly 2 numbers, got an array of 1"),
    ({"pair": [1, "2"]}, 'pair[1] must be a number, got "2"'),
    ({"pair": {}}, "pair must be an array of exactly 2 numbers, got an object"),
    ({"one": []}, "one must be an array of exactly one object, got an array of 0"),
    ({"one": {}}, "one must be an array of exactly one object, got an object"),
    ({"one": [5]}, "one[0] must be an object, got 5"),
    ({"few": ["a", "b", "c"]}, "few must be an array of at most 2 strings, got an array of 3"),
    ({"targets": [{}]}, "targets[0].type is missing; it must be one of webhook, command"),
    ({"targets": [{"type": "mail"}]}, 'targets[0].type must be one of webhook, command, got "mail"'),
    (
        {"targets": [{"type": "webhok"}]},
        'targets[0].type must be one of webhook, command, got "webhok"; did you mean "webhook"?',
    ),
    ({"targets": [{"type": ["webhook"]}]}, "targets[0].type must be one of webhook, command, got an array of 1"),
    ({"targets": ["webhook"]}, 'targets[0] must be an object, got "webhook"'),
    ({"targets": [{"type": "webhook"}]}, "targets[0].url is missing; it must be a string"),
    (
        {"targets": [{"type": "webhook", "url": "x", "command": []}]},
        "targets[0].command is not a known key; there are url, headers",
    ),
    (
        {"targets": [{"type": "command", "command": []}]},
        "targets[0].command must be a program and its arguments, got an array of 0",
    ),
    (
        {"targets": [{"type": "command", "command": [""]}]},
        "targets[0].command must be a program and its arguments, got an array of 1",
    ),
    ({"targets": [{"type": "command", "command": [1]}]}, "targets[0].command[0] must be a string, got 1"),
    ({"only": {"type": "command", "url": "x"}}, 'only.type must be one of webhook, got "command"'),
    ({"things": {"a b": [1]}}, 'things: a name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "a b"'),
    ({"things": {"a": [1, None]}}, "things.a[1] must be a whole number, got null"),
    ({"things": []}, "things must be an object, got an array of 0"),
    ({"lenient": {"known": "x", "unknown": 1}}, 'lenient.known must be a whole number, got "x"'),
    ({"password": 12345}, "password must be a string, got something else, which is not shown here"),
    (
        {"targets": [{"type": "webhook", "url": "x", "headers": {"Authorization": ["s3cret"]}}]},
        "targets[0].headers.Authorization must be a string, got something else, which is not shown here",
    ),
    ({"a\n\x1b[2J": 1}, '"a\\n\\u001b[2J" is not a known key'),
    ({3: 1}, "3 is not a known key"),
    ({"lenient": {3: 1}}, "lenient.3 is not a known key; there is known"),
]
RIGHT: dict[str, Any] = {
    "name": "a:b_c-1",
    "maybe": None,
    "unset": 5,
    "number": 10**30,
    "whole": 22.0,
    "word": "second",
    "switch": {"least": 3},
    "one": [{}],
    "few": ["a", "b"],
    "targets": [{"type": "command", "command": ["ls"]}, {"type": "webhook", "url": "x", "headers": {"a": "b"}}],
    "only": {"type": "webhook", "url": "x"},
    "things": {"a": [], "b": [1]},
    "lenient": {"unknown": {"x": [1]}},
    "anything": [1, {"x": None}],
}


@pytest.mark.parametrize(("raw", "expected"), WRONG, ids=[expected for _, expected in WRONG])
def test_a_problem_is_named_in_one_sentence(raw: dict[Any, Any], expected: str) -> None:
    assert [expected] == find_problems({"name": "n", **raw}, Document)


def test_a_right_document_has_no_problem_and_is_read() -> None:
    assert [] == find_problems(RIGHT, Document)
    document = read(RIGHT, Document)
    assert [Command(["ls"]), Webhook("x", {"a": "b"})] == document.targets
    assert (22.0, "second", Inner(least=3)) == (document.whole, document.word, document.switch)


def test_a_document_that_is_no_object_is_called_by_its_name() -> None:
    assert ["the configuration must be an object, got 5"] == find_problems(5, Document, name="the configuration")
    assert ["name is missing; it must be 1 to 128 of the characters a-z A-Z 0-9 : _ -"] == find_problems({}, Document)


def test_all_problems_are_found_at_once_in_the_documents_order() -> None:
    raw = {"flag": 0, "switch": {"x": 1, "least": "y"}, "other": 1, "targets": [{"type": "webhook"}, 7]}
    expected = ["flag", "switch.x", "switch.least", "other", "targets[0].url", "targets[1]", "name"]
    assert expected == [problem.split(" ")[0] for problem in find_problems(raw, Document)]
    with pytest.raises(Invalid) as raised:
        read(raw, Document)
    assert find_problems(raw, Document) == raised.value.problems == str(raised.value).splitlines()


def least_is_below_most(inner: Inner, path: str) -> list[str]:
    wrong = inner.least > inner.most
    return [f"{key_path(path, 'least')} must be at most {inner.most}, got {inner.least}"] if wrong else []


def is_named_after_its_switch(document: Document, path: str) -> list[str]:
    return [] if document.name == "named" else [f"{key_path(path, 'name')} must be named, got {shown(document.name)}"]


RULES = {Inner: [least_is_below_most], Document: [is_named_after_its_switch]}


def test_a_rule_is_asked_of_every_struct_of_its_type_with_the_path() -> None:
    raw = {"name": "named", "switch": {"least": 11}, "one": [{"least": 3, "most": 2}]}
    expected = ["switch.least must be at most 10, got 11", "one[0].least must be at most 2, got 3"]
    assert expected == find_problems(raw, Document, RULES)
    assert [] == find_problems(raw, Document)


def test_a_rule_is_asked_only_where_everything_below_is_right() -> None:
    raw = {"name": "other", "switch": {"least": "x", "most": -1}, "one": [{"least": 3, "most": 2}]}
    expected = ['switch.least must be a whole number, got "x"', "one[0].least must be at most 2, got 3"]
    assert expected == find_problems(raw, Document, RULES)
    assert ['name must be named, got "other"'] == find_problems({"name": "other"}, Document, RULES)


def test_what_a_rule_refuses_is_not_read() -> None:
    with pytest.raises(Invalid, match="^name must be named, got"):
        read({"name": "other"}, Document, RULES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ODD = st.recursive(
    JSON | st.binary(max_size=3) | st.dates() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


class Plain(Strict):
    """What msgspec alone can decide."""

    text: Annotated[str, Meta(min_length=1, max_length=5)] = "x"
    maybe: Optional[Annotated[int, Meta(ge=1)]] = None
    number: Number = 0
    choice: Literal[300, 600] = 300
    switch: Union[bool, Inner] = True
    pair: Annotated[list[Number], Meta(min_length=2, max_length=2)] = msgspec.field(default_factory=lambda: [0, 0])
    targets: list[Union[Webhook, Command]] = []
    things: dict[Name, list[int]] = {}
    anything: Any = None


def test_what_nothing_can_keep_is_refused_wherever_in_a_file_it_is(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text('{"a": ["x", "s3cret\\udfff"], "b": {"\\u0000": "\\ud83d\\ude00"}}')
    with pytest.raises(Invalid) as caught:
        read_json(path)
    says = "must be text without a NUL, and without half a surrogate pair"
    assert [f"a[1] {says}", f'b: the key "\\u0000" {says}'] == caught.value.problems
    path.write_text('{"b": "\\ud83d\\ude00"}')
    assert {"b": "\U0001f600"} == read_json(path)


def keys_of(definition: type[msgspec.Struct]) -> st.SearchStrategy[str]:
    return st.sampled_from([field.encode_name for field in msgspec.structs.fields(definition)])


@given(st.dictionaries(keys_of(Plain), JSON, max_size=4) | JSON)
@examples(500)
def test_the_walker_finds_a_problem_wherever_msgspec_does_and_nowhere_else(raw: Any) -> None:
    try:
        msgspec.convert(raw, Plain)
        is_right = True
    except msgspec.ValidationError:
        is_right = False
    assert is_right is not bool(find_problems(raw, Plain))


@given(st.dictionaries(keys_of(Document), ODD, max_size=4) | ODD)
@examples(500)
def test_whatever_a_decoder_returns_is_read_or_has_problems_in_single_lines_of_ascii(raw: Any) -> None:
    problems = find_problems(raw, Document)
    assert all("\n" not in problem and problem.isascii() for problem in problems)
    if not problems:
        assert isinstance(read(raw, Document), Document)


def test_a_definition_with_conditions_still_has_a_schema() -> None:
    assert "an even number" not in json.dumps(msgspec.json.schema(Document))
