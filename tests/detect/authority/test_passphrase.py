"""The pass phrase comes from a file or from a person, and never from nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_detect.authority.passphrase import Passphrase
from defender_detect.errors import AuthorityError

KEY = Path("authority.key")


def typing(*phrases: str, **fields: object) -> Passphrase:
    """A person who types these."""
    typed: Iterator[str] = iter(phrases)
    return Passphrase(ask=lambda prompt: next(typed), can_ask=lambda: True, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"secret", b"secret\n", b"secret\r\nmore", b"\xef\xbb\xbfsecret\n"])
def test_it_is_the_first_line_of_a_file(tmp_path, content):
    (tmp_path / "phrase").write_bytes(content)
    given = Passphrase(tmp_path / "phrase", can_ask=lambda: False)
    assert given.for_new_key() == given.for_key(KEY) == b"secret"


def test_it_may_be_in_any_encoding(tmp_path):
    (tmp_path / "phrase").write_bytes(b"k\xfcche\n")
    assert Passphrase(tmp_path / "phrase").for_key(KEY) == b"k\xfcche"


def test_a_new_key_has_none_unless_one_is_wanted():
    assert typing().for_new_key() is None
    assert typing("a b", "a b", wanted=True).for_new_key() == b"a b"
    assert typing("küche").for_key(KEY) == "küche".encode()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: typing("a", "b", wanted=True).for_new_key(), "the two pass phrases differ"),
        (lambda path: typing("", wanted=True).for_new_key(), "must not be empty"),
        (lambda path: Passphrase(path / "none").for_key(KEY), "there is no .*none, where --passphrase-file says"),
        (
            lambda path: Passphrase(can_ask=lambda: False).for_key(KEY),
            "there is no terminal to type the pass phrase at",
        ),
        (lambda path: Passphrase(path).for_key(KEY), "Is a directory"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, make, said):
    with pytest.raises(AuthorityError, match=said):
        make(tmp_path)


def test_an_empty_file_is_said(tmp_path):
    (tmp_path / "phrase").write_bytes(b"\nsecond line")
    with pytest.raises(AuthorityError, match="must hold the pass phrase in its first line, which is empty"):
        Passphrase(tmp_path / "phrase").for_key(KEY)
