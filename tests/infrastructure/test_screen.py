from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "rich")

from infrastructure.deployed import Deployed, DeployedStack, DeployedThing  # noqa: E402
from infrastructure.description import DetectStack  # noqa: E402
from infrastructure.detect import DetectPlan  # noqa: E402
from infrastructure.drift import Drift  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from infrastructure.plan import Plan, StackPlan, ThingsPlan  # noqa: E402
from infrastructure.screen import Screen  # noqa: E402
from tests.fakes.fake_account import make_account  # noqa: E402

ODD = "rack:key:[red]1[/red]"  # to rich an emoji and markup
DETECT = DetectStack(Names(), (), {})


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


def plan(**things: tuple[str, ...]) -> Plan:
    groups = {"new": (), "kept": (), "rotated": (), "gone": (), **things}
    return Plan(StackPlan("lab-fleet", "keep"), (), **groups)


def test_the_account_comes_first(output: Output) -> None:
    Screen(output).show_account(make_account(), "lab")
    expected = [
        "account   123456789012, as arn:aws:iam::123456789012:user/deployer",
        "region    eu-west-1",
        "endpoint  a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        "fleet     lab",
        "",
    ]
    assert expected == lines(output)


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


def test_all_that_goes_is_shown_and_of_the_rest_the_first_ones(output: Output) -> None:
    many = tuple(f"t{number}" for number in range(12))
    Screen(output).show_plan(plan(new=many, gone=many), [], [])
    ten = ", ".join(many[:10])
    assert [
        f"new       12: {ten} and 2 more",
        f"gone      12: {', '.join(many)} (no longer listed: thing and certificate are DELETED)",
    ] == lines(output)


def test_the_plan_names_stacks_that_change_things_that_join_and_drift(output: Output) -> None:
    stacks = (
        ThingsPlan("lab-things-1", "recreate", 1, ("a",)),
        ThingsPlan("lab-things-2", "keep", 2, ("b",)),
        ThingsPlan("lab-things-3", "delete", 3, ()),
    )
    whole = Plan(StackPlan("lab-fleet", "create"), stacks, ("a",), ("b", "c"), ("b",), ())
    drift = [Drift("b", "its certificate was deleted", True), Drift("c", "its certificate is INACTIVE", True)]
    Screen(output).show_plan(whole, ["a", "c"], drift)
    assert [
        "new       1: a",
        "kept      2: b, c",
        "rotated   1: b (cut off until their devices have the new certificate and key)",
        "to join   1: c (not in the thing group yet)",
        "stack     lab-fleet is created",
        "stack     lab-things-1 is left of a creation that failed: deleted, and created again",
        "stack     lab-things-3 is deleted, it holds no thing any more",
        "drift     b: its certificate was deleted (which is done now)",
        "drift     c: its certificate is INACTIVE",
    ] == lines(output)


@pytest.mark.parametrize(
    ("detect", "expected"),
    [
        (None, ["Detect    is left alone (--no-detect)"]),
        (DetectPlan("d", "keep", DETECT), ["note      the security profiles name m, which"]),
        (
            DetectPlan("d", "update", DETECT),
            ["note      the security profiles name m, which", "stack     d is updated"],
        ),
        (
            DetectPlan("d", "create", DETECT, shared=("x",)),
            [
                "Detect    uses the custom metric x, which is there already, of another fleet or an earlier one",
                "note      the security profiles name m",
                "stack     d is created",
            ],
        ),
        (
            DetectPlan("d", "update", DETECT, problem=DeployError("Detect is over")),
            ["note      the", "Detect    cannot be deployed, everything else can: Detect is over"],
        ),
    ],
)
def test_what_happens_to_detect_and_why_it_does_not(
    output: Output, detect: DetectPlan | None, expected: list[str]
) -> None:
    Screen(output).show_detect(detect, ["m"])
    assert len(expected) == len(lines(output))
    assert all(line.startswith(begin) for line, begin in zip(lines(output), expected))


def test_a_destruction_names_everything_that_goes(output: Output) -> None:
    things = {f"t{number:02}": DeployedThing(f"t{number:02}", 1, "", "") for number in range(11)}
    stacks = {name: DeployedStack(name, "CREATE_COMPLETE") for name in ("lab-things-1", "lab-fleet")}
    Screen(output).show_destruction(Deployed(stacks, things), ["arn:x"])
    assert [
        "stack     lab-fleet is deleted",
        "stack     lab-things-1 is deleted",
        f"things    11: {', '.join(things)} (deleted with their certificates)",
        "detached  1: arn:x (what is not of this fleet and loses its policy)",
    ] == lines(output)


def test_where_nothing_is_deployed_nothing_is_destroyed(output: Output) -> None:
    Screen(output).show_destruction(Deployed(), [])
    assert ["nothing of this fleet is deployed"] == lines(output)


def test_each_bundle_has_its_command_quoted_for_a_shell(output: Output) -> None:
    Screen(output).show_bundles([Path("my fleet/a.tar"), Path("b.tar")], ["c"], ["b"])
    told = lines(output)
    assert "no bundle 1: c (their keys are on another machine; --rotate makes new ones here)" == told[0]
    assert "  sudo installers/install-rpi.bash --bundle 'my fleet/a.tar'" in told
    assert "  sudo installers/install-rpi.bash --bundle b.tar --replace" in told  # or its old key would be kept
    assert "Cut off until this is done: b" == told[-1]


def test_without_bundles_nothing_is_to_be_installed(output: Output) -> None:
    Screen(output).show_bundles([], [], [])
    assert [] == lines(output)


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
