from __future__ import annotations

from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure.account import choose_region, found  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from tests.fakes.fake_account import make_account  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402

BOTH = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\n[profile lab]\nregion = eu-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("asked", "environment", "profile", "expected"),
    [
        ("us-east-2", BOTH, "lab", "us-east-2"),
        (None, BOTH, "lab", "eu-west-1"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-2"}, "lab", "eu-west-2"),
        (None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, None, "eu-west-2"),
        (None, {}, "lab", "eu-south-1"),
    ],
)
def test_the_nearest_region_counts(
    asked: str | None, environment: dict[str, str], profile: str | None, expected: str
) -> None:
    assert expected == choose_region(asked, environment, profile)


def test_a_region_is_never_guessed() -> None:
    with pytest.raises(DeployError) as raised:
        choose_region(None, {})
    assert "no region is set: give --region, or set AWS_REGION, for example to eu-west-1" == str(raised.value)


def test_a_certificates_arn_is_of_the_accounts_partition_and_region() -> None:
    assert "arn:aws:iot:eu-west-1:123456789012:cert/c1" == make_account().certificate_arn("c1")


def test_what_aws_does_not_know_is_none_and_other_errors_come_out() -> None:
    def call(error: Exception | None) -> str:
        if error:
            raise error
        return "something"

    assert "something" == found(call, error=None)
    assert found(call, error=refuse("ResourceNotFoundException", "x")) is None
    with pytest.raises(Exception, match="ThrottlingException"):
        found(call, error=refuse("ThrottlingException", "x"))
