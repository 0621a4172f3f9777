"""The words that issue certificates: what each takes, what it takes nowhere else, and what is missing is said."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from defender_detect.authority.arguments import COMMANDS, DEFAULT, PORT, fill

LEAST = {"init": [], "add": ["a"], "remove": ["a"], "renew": ["a"], "list": []}


def parsed(command: str, *argv: str) -> argparse.Namespace:
    return fill(argparse.ArgumentParser(command, exit_on_error=False), command).parse_args(argv)


def refusal(capsys: pytest.CaptureFixture[str], command: str, *argv: str) -> str:
    with pytest.raises((SystemExit, argparse.ArgumentError)) as caught:
        parsed(command, *argv)
    return f"{caught.value} {capsys.readouterr().err}"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_is_for_and_works_in_the_usual_directory(command: str) -> None:
    assert Path(DEFAULT) == parsed(command, *LEAST[command]).directory


@pytest.mark.parametrize(
    ("option", "takers"),
    [
        ("passphrase_file", {"init", "add", "remove", "renew"}),
        ("output", {"add", "renew"}),
        ("endpoint", {"add", "renew"}),
        ("json", {"list"}),
        ("listen", {"init"}),
        ("renewal", {"init"}),
        ("server", {"renew"}),
    ],
)
def test_an_option_is_taken_by_the_commands_that_need_it_alone(option: str, takers: set[str]) -> None:
    assert takers == {command for command in COMMANDS if option in vars(parsed(command, *LEAST[command]))}


@pytest.mark.parametrize("text", ["1", "443", "65535"])
def test_the_edges_of_a_port_are_ports(text: str) -> None:
    assert int(text) == parsed("init", "--port", text).port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "x", "", "8883.0", "\u202e", "9" * 5000])
def test_what_is_no_port_is_refused_with_what_would_be_one(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "init", f"--port={text}")
    assert "argument --port: must be from 1 to 65535, got " in said
    assert len(said) < 1000
    assert "\u202e" not in said


def test_without_options_init_listens_on_the_port_of_mqtt_over_tls_for_this_machine() -> None:
    options = parsed("init")
    assert (PORT, [], False, False, False) == (
        options.port, options.listen, options.mosquitto, options.renewal, options.passphrase,
    )  # fmt: skip


@pytest.mark.parametrize("argv", [["a", "--server"], ["a", "--all"], ["--server", "--over-the-air", "a"], []])
def test_what_is_renewed_is_exactly_one_of_four(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "THING" in (said := refusal(capsys, "renew", *argv)) or "not allowed with argument" in said


def test_things_that_renew_over_the_air_are_named_in_any_number() -> None:
    options = parsed("renew", "--over-the-air", "a", "b", "--over-the-air", "c")
    assert (["a", "b", "c"], None, False) == (options.over_the_air, options.thing, options.all)
    assert (["a"], False) == ((again := parsed("renew", "--over-the-air", "a")).over_the_air, again.server)
