from __future__ import annotations

import io

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("rich")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.screen import Screen  # noqa: E402

ODD = "rack:key:[red]1[/red]"  # to rich an emoji and markup


class Output(io.StringIO):
    """What is printed, to a terminal or not."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return Output()


@pytest.fixture
def terminal(output: Output, monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.setenv("TERM", "xterm")
    return Output(terminal=True)


def lines(output: Output) -> list[str]:
    return output.getvalue().splitlines()


def test_names_are_printed_as_they_are(output: Output) -> None:
    Screen(output).say(ODD)
    assert [ODD] == lines(output)


def test_names_are_printed_as_they_are_beside_bars_too(terminal: Output) -> None:
    screen = Screen(terminal)
    with screen.bars(), screen.bar(ODD, 1) as bar:
        bar.step(ODD)
    said = terminal.getvalue()
    assert f"{ODD}: {ODD} (1 of 1)" in said
    assert f"{ODD} \x1b" in said  # beside the bar


def test_a_pipe_gets_plain_lines_however_long_and_steps_that_count(output: Output) -> None:
    screen = Screen(output)
    with screen.bars(), screen.bar("lab-things-1", 2) as bar:
        bar.step("x" * 300)
        bar.say("CREATE_FAILED")
        bar.step("b has its certificate")
    assert [
        f"lab-things-1: {'x' * 300} (1 of 2)",
        "lab-things-1: CREATE_FAILED",
        "lab-things-1: b has its certificate (2 of 2)",
    ] == lines(output)


def test_steps_of_which_there_are_too_many_are_counted_and_not_said(output: Output) -> None:
    with Screen(output).bar("table", 30) as bar:
        bar.advance(25)
        bar.step("almost")
    assert ["table: almost (26 of 30)"] == lines(output)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"COLUMNS": "20"}])
def test_odd_terminals_lose_no_line(
    terminal: Output, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    screen = Screen(terminal)
    with screen.bars(), screen.bar("lab-things-1", 1) as bar:
        bar.step("a-thing-with-a-name-that-is-longer has its certificate")
    said = terminal.getvalue()
    assert "lab-things-1: a-thing-with-a-name-that-is-longer has its certificate (1 of 1)" in said
    assert environment.get("TERM") != "dumb" or "\x1b" not in said
    assert "NO_COLOR" not in environment or "\x1b[3" not in said.replace("\x1b[?25", "")


def test_a_bar_goes_with_its_work(terminal: Output) -> None:
    screen = Screen(terminal)
    with screen.bars():
        with screen.bar("one", 1):
            screen.say("begun")
        terminal.seek(0)
        terminal.truncate()
        with screen.bar("two", 1):
            screen.say("goes on")
    assert ("two" in terminal.getvalue(), "one" in terminal.getvalue()) == (True, False)


def test_bars_can_be_shown_again_and_a_failure_takes_them_away(terminal: Output) -> None:
    screen = Screen(terminal)
    with pytest.raises(DeployError), screen.bars(), screen.bar("one", 1):
        raise DeployError("failed")
    with screen.bars(), screen.bar("two", 0) as bar:
        bar.say("deleted")
    assert "two: deleted" in terminal.getvalue()


@pytest.mark.parametrize(("stdin", "stdout"), [(False, False), (True, False), (False, True)])
def test_without_a_terminal_nothing_is_asked(
    output: Output, monkeypatch: pytest.MonkeyPatch, stdin: bool, stdout: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Output(stdin))
    screen = Screen(Output(stdout))
    expected = "there is no terminal to ask on: look at the plan with --plan, then agree with --yes"
    with pytest.raises(DeployError) as raised:
        screen.ask("Do this?")
    assert expected == str(raised.value)


@pytest.mark.parametrize(
    ("answer", "expected"), [("y\n", True), ("n\n", False), ("\n", False), ("", False), ("x\ny\n", True)]
)
def test_only_a_yes_is_a_yes(terminal: Output, monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool) -> None:
    keyboard = Output(terminal=True)
    keyboard.write(answer)
    keyboard.seek(0)
    monkeypatch.setattr("sys.stdin", keyboard)
    assert expected == Screen(terminal).ask("Do this?")
