"""The job's command line: where the properties are, and whether they are only checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.flink.arguments import read_arguments
from defender_detect.flink.properties import PLACE


def test_without_options_the_properties_are_where_managed_flink_puts_them() -> None:
    options = read_arguments([])
    assert (PLACE, False) == (options.properties, options.check)
    assert Path("/etc/flink/application_properties.json") == PLACE


def test_other_properties_can_be_named_and_only_be_checked() -> None:
    for argv in (["--properties", "a b.json", "--check"], ["--check", "--properties=a b.json"]):
        options = read_arguments(argv)
        assert (Path("a b.json"), True) == (options.properties, options.check)


@pytest.mark.parametrize("argv", [["--properties"], ["--chek"], ["rules.json"], ["--check=yes"]])
def test_anything_else_is_refused_before_flink_is_asked(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_arguments(argv)
    assert "python -m defender_detect.flink: error: " in capsys.readouterr().err


def test_the_help_says_where_the_properties_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        read_arguments(["--help"])
    assert f"default: {PLACE}" in " ".join(capsys.readouterr().out.split())
