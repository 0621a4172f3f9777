"""The command line has one dialect, and understands the first agent's, and plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_publisher.arguments import canonical, read_arguments
from defender_publisher.overrides import OVERRIDES, overrides_of

# As the README of AWS's agent and its users' units have it (aws-iot-device-defender-agent-sdk-python, agent.py).
FIRST_AGENTS = [
    "--endpoint", "e", "--rootCA", "/root.pem", "--cert", "/cert.pem", "--key", "/key.pem", "--client_id", "c",
    "--thing_name", "t", "--format", "cbor", "--short_tags", "--interval", "300", "--include-custom-metrics",
    "--proxy-host", "p", "--proxy-port", "3128",
]  # fmt: skip
OURS = [
    "--endpoint", "e", "--root-ca", "/root.pem", "--certificate", "/cert.pem", "--private-key", "/key.pem",
    "--client-id", "c", "--thing-name", "t", "--format", "cbor", "--short-names", "--interval", "300",
    "--custom-metrics", "--proxy-host", "p", "--proxy-port", "3128",
]  # fmt: skip


def test_the_first_agents_spellings_mean_the_same_as_ours() -> None:
    assert vars(read_arguments(OURS)) == vars(read_arguments(FIRST_AGENTS))
    assert "t" == overrides_of(vars(read_arguments(OURS)))["agent"]["thing_name"]


def test_a_spelling_with_an_equals_sign_and_one_in_a_file_are_understood_too(tmp_path: Path) -> None:
    (tmp_path / "arguments").write_text("--thing_name\nt\n--rootCA=/r\n")
    options = vars(read_arguments([f"@{tmp_path}/arguments"]))
    assert ("t", "/r") == (options["agent.thing_name"], options["agent.authentication.root_ca"])
    assert "--root-ca=/r=x" == canonical("--rootCA=/r=x")


def test_every_long_option_is_dashed() -> None:
    names = [name for each in OVERRIDES for name in each.names if name.startswith("--")]
    assert [] == [name for name in names if name != name.lower() or "_" in name]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["status", "c.json"], ["--status", "c.json"]),
        (["status", "--json"], ["--status", "--json"]),
        (["doctor"], ["--doctor"]),
        (["check", "c.json"], ["--check-config", "c.json"]),
        (["once"], ["--once"]),
        (["dry-run", "--samples", "3"], ["--dry-run", "--samples", "3"]),
        (["bundle", "s.tar.gz", "c.json"], ["--support-bundle", "s.tar.gz", "c.json"]),
        (["run", "c.json"], ["c.json"]),
    ],
)
def test_a_word_in_front_is_taken_for_the_option(words: list[str], options: list[str]) -> None:
    assert vars(read_arguments(options)) == vars(read_arguments(words))


def test_a_word_elsewhere_is_the_configuration() -> None:
    assert Path("status") == read_arguments(["--doctor", "status"]).config


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--thing-nam", "x"], "unrecognized arguments: --thing-nam"),
        (["status", "--doctor"], "not allowed with argument --status"),
        (["--samples", "-1"], "--samples must be at least 0"),
        (["--wait", "5"], "--wait must be from 0 to 31622400, and goes with --status"),
        (["status", "--wait", "-5"], "--wait must be from 0 to 31622400, and goes with --status"),
        (["status", "--wait", "nan"], "--wait must be from 0 to 31622400, and goes with --status"),
    ],
)
def test_a_wrong_command_line_is_one_line(argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(argv)
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert line.startswith("amazon-defender-publisher: ")


@pytest.mark.parametrize(
    ("argv", "asks"), [([], False), (["--dry-run"], False), (["--once"], True), (["status"], True), (["doctor"], True)]
)
def test_a_question_is_told_from_publishing(argv: list[str], asks: bool) -> None:
    assert asks == read_arguments(argv).asks
