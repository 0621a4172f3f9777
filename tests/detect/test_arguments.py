"""The command line of Detect has one dialect, and understands the first agent's spellings."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["doctor", "c.json", "--json"], ["--doctor", "c.json", "--json"]),
        (["status", "c.json"], ["--status", "c.json"]),
        (["check", "c.json"], ["--check-config", "c.json"]),
        (["support-bundle", "s.tar", "c.json"], ["--support-bundle", "s.tar", "c.json"]),
    ],
)
def test_a_mode_may_be_a_word(words: list[str], options: list[str]) -> None:
    assert vars(read_arguments(words)) == vars(read_arguments(options))


def test_what_issues_certificates_takes_the_usual_directory_and_names_in_any_number() -> None:
    options = read_arguments(["init", "--listen", "a.home", "b.home", "--listen", "192.168.1.10", "--mosquitto"])
    assert ("init", "/etc/amazon-defender-detect") == (options.command, str(options.directory))
    assert (["a.home", "b.home", "192.168.1.10"], True) == (options.listen, options.mosquitto)
    assert "d" == str(read_arguments(["init", "d"]).directory)
    assert ("rpi-0001", False) == ((renew := read_arguments(["renew", "rpi-0001"])).thing, renew.server)
    assert (None, True) == ((renew := read_arguments(["renew", "--server"])).thing, renew.server)


@pytest.mark.parametrize(
    "argv", [["renew"], ["renew", "a", "--server"], ["add"], ["init", "--port", "0"], ["--json"], ["remove"]]
)
def test_what_is_missing_or_too_much_is_said_on_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(argv)
    assert (78, 1) == (ended.value.code, capsys.readouterr().err.count("\n"))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["thing", "detect.json"], "there is no command and no file thing: did you mean things?"),
        (["violation"], "there is no command and no file violation: did you mean violations?"),
        (["ad", "rpi-0001"], "there is no command and no file ad: did you mean add?"),
        (["add"], "the following arguments are required: THING (see amazon-defender-detect add --help)"),
        (["violations", "--days", "x"], "argument --days: must be a number of days above 0, at most 36500, got x (see"),
        (["violations", "--days", "0"], "argument --days: must be a number of days above 0, at most 36500, got 0 (see"),
        (
            ["--minimum-interval", "x"],
            "argument --minimum-interval: must be a number of seconds of at least 0, got x (see",
        ),
        (
            ["--minimum-interval", "nan"],
            "argument --minimum-interval: must be a number of seconds of at least 0, got nan",
        ),
        (["--shard", "01"], "argument --shard: must be a whole number from 0 on, without zeros before it, got 01 (see"),
        (
            ["--shard", "9" * 5000],
            "argument --shard: must be a whole number from 0 on, without zeros before it, got 999",
        ),
        (["init", "--port", "x"], "argument --port: must be from 1 to 65535, got x (see"),
        (["init", "--port", "\u202e"], "argument --port: must be from 1 to 65535, got \\u202e (see"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_what_was_meant(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="78"):
        read_arguments(argv)
    assert capsys.readouterr().err.startswith(f"amazon-defender-detect: {said}")


def test_a_file_may_be_called_almost_as_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thing").write_text("{}")
    assert "thing" == str(read_arguments(["thing"]).config)


def test_a_word_that_is_no_question_is_a_configuration() -> None:
    options = read_arguments(["configuration.json"])
    assert (None, "configuration.json") == (options.question, str(options.config))
