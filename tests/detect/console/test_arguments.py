"""The console's command line takes a configuration or state directories, and a port."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from defender_detect.console.arguments import add_arguments


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser("console", exit_on_error=False)
    add_arguments(parser)
    return parser.parse_args(argv)


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises((SystemExit, argparse.ArgumentError)) as caught:
        parsed(*argv)
    return f"{caught.value} {capsys.readouterr().err}"


def test_nothing_need_be_given() -> None:
    assert {"config": None, "state_directory": None, "console_port": None} == vars(parsed())
    given = parsed("detect.json", "--state-directory", "state", "--console-port", "8790")
    assert (Path("detect.json"), ["state"], 8790) == (given.config, given.state_directory, given.console_port)


def test_several_state_directories_are_shown_as_one_in_their_order() -> None:
    assert ["b", "a", "a"] == parsed(*("--state-directory", "b"), *("--state-directory", "a") * 2).state_directory


@pytest.mark.parametrize(("text", "port"), [("0", 0), ("1", 1), ("65535", 65535), ("08790", 8790)])
def test_a_port_is_one_also_where_it_is_the_edge(text: str, port: int) -> None:
    assert port == parsed("--console-port", text).console_port


@pytest.mark.parametrize(
    "text", ["65536", "-1", "", "x", "8790.0", " 8790", "1_0", "\u0668\u0667", "9" * 5000, "\u202e"]
)
def test_what_is_no_port_is_refused_with_what_would_be_one(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, f"--console-port={text}")
    assert "argument --console-port: must be a port from 0 to 65535, got " in said
    assert len(said) < 1000
    assert "\u202e" not in said
