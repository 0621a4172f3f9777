"""The command line of Detect has one dialect, and understands the first agent's spellings."""

from __future__ import annotations

import pytest

from defender_detect.arguments import canonical, read_arguments, spelled_out

OURS = ["--root-ca", "a", "--certificate", "b", "--private-key", "c", "--state-directory", "d", "--embedded-broker"]


@pytest.mark.parametrize(
    "others",
    [
        ["--root_ca", "a", "--certificate", "b", "--private_key", "c", "--state_directory=d", "--embedded_broker"],
        ["--rootCA=a", "--cert", "b", "--key", "c", "--state-directory", "d", "--embedded-broker"],
    ],
)
def test_other_spellings_mean_the_same_as_ours(others: list[str]) -> None:
    assert vars(read_arguments(OURS)) == vars(read_arguments(others))


def test_a_value_keeps_its_underscores() -> None:
    assert "--state-directory=/a_b" == canonical("--state_directory=/a_b")
    assert ["my_file.json", "--port", "1", "--", "--a_b"] == spelled_out(["my_file.json", "--port", "1", "--", "--a_b"])


@pytest.mark.parametrize("option", ["--thing", "--thing-name", "--thing_name"])
def test_a_question_about_a_thing_takes_its_name_by_each_spelling(option: str) -> None:
    options = read_arguments(["violations", "detect.json", option, "rpi_1", "--active"])
    assert ("violations", "rpi_1", True) == (options.question, options.thing, options.active)
    assert "detect.json" == str(options.config)


def test_a_word_that_is_no_question_is_a_configuration() -> None:
    options = read_arguments(["configuration.json"])
    assert (None, "configuration.json") == (options.question, str(options.config))
