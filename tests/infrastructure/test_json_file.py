"""A file that cannot be read as JSON is named, with what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from infrastructure.errors import DeployError
from infrastructure.json_file import read_json


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for number, mark in enumerate((b"", b"\xef\xbb\xbf")):
        path = tmp_path / f"{number}.json"
        path.write_bytes(mark + b'{"a": [1]}')
        assert {"a": [1]} == read_json(path)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused_with_the_path(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeployError) as refused:
        read_json(path)
    assert str(refused.value).startswith(f"{path} ")
    assert "\n" not in str(refused.value)
