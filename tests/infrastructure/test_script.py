from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "constructs", "cryptography", "rich")

import deploy  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from tests.fakes.fake_account import make_screen  # noqa: E402


def test_all_that_went_wrong_is_said_once_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    screen, printed = make_screen()
    assert 1 == deploy.end(screen, [DeployError("x"), "y", DeployError("x")])
    assert ("deploy.py: x\ndeploy.py: y\n", "") == (capsys.readouterr().err, printed.getvalue())


def test_where_nothing_went_wrong_that_is_said() -> None:
    screen, printed = make_screen()
    assert 0 == deploy.end(screen, [])
    assert "Everything is up to date.\n" == printed.getvalue()


def test_what_went_wrong_before_is_said_though_something_ends_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeployError, match="y"), deploy.telling(["x"]):
        raise DeployError("y")
    assert "deploy.py: x\n" == capsys.readouterr().err


def test_what_goes_well_tells_nothing_yet(capsys: pytest.CaptureFixture[str]) -> None:
    with deploy.telling(["x"]):
        pass
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["ops", "a b@example.com", "{{resolve:ssm:x}}@example.com", "${Token[TOKEN.1]}@example.com"]
)
def test_what_is_no_address_or_would_be_looked_up_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deploy.read_arguments(["--alert-email", address])
    assert "--alert-email: must be an address such as ops@example.com, got " in capsys.readouterr().err


@pytest.mark.parametrize("given", ["-3", "x", "1.5", "\u0663"])
def test_what_is_no_number_of_things_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deploy.read_arguments([f"--delete-at-most={given}"])
    assert "--delete-at-most: must be a whole number of at least 0, got " in capsys.readouterr().err


@pytest.mark.parametrize("address", ["", "ops+iot@example.com"])
def test_an_address_or_none_is_taken(address: str) -> None:
    assert address == deploy.read_arguments(["--alert-email", address]).alert_email


@pytest.mark.parametrize(("arguments", "agreed"), [(["--yes"], True), ([], False)])
def test_nothing_is_done_before_somebody_agreed(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], agreed: bool
) -> None:
    screen, _ = make_screen()
    monkeypatch.setattr(screen, "ask", lambda question: False)
    options = deploy.read_arguments(arguments)
    if agreed:
        deploy.agree(options, screen, "Do this?")
    else:
        with pytest.raises(DeployError, match="nothing was changed"):
            deploy.agree(options, screen, "Do this?")
