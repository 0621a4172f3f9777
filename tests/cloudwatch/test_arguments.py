"""The command line of the CloudWatch job."""

from __future__ import annotations

import pytest

from defender_cloudwatch.arguments import read_arguments


def test_a_configuration_is_where_it_was_named_or_where_the_installers_put_it() -> None:
    assert "a.json" == str(read_arguments(["a.json"]).config)
    assert str(read_arguments([]).config).endswith("/amazon-defender-publisher.json")


@pytest.mark.parametrize(
    ("option", "name"), [("--check-config", "check_config"), ("-d", "dry_run"), ("--once", "once")]
)
def test_a_question_is_one_option(option: str, name: str) -> None:
    assert getattr(read_arguments([option]), name)
    assert not getattr(read_arguments([]), name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--onec"], "unrecognized arguments: --onec"),
        (["--once", "--dry-run"], "argument -d/--dry-run: not allowed with argument --once"),
        (["a.json", "b.json"], "unrecognized arguments: b.json"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(arguments)
    assert 2 == ended.value.code
    said = capsys.readouterr().err
    assert (1, True) == (said.count("\n"), said.startswith(f"amazon-defender-cloudwatch: {expected}"))
