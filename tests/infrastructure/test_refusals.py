from __future__ import annotations

from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

from botocore import exceptions  # noqa: E402

from infrastructure import refusals  # noqa: E402
from infrastructure.errors import Refused  # noqa: E402
from infrastructure.refusals import explain, missing_permission, permission_sentence  # noqa: E402

REFUSED = "User: arn:aws:iam::123456789012:user/d is not authorized to perform: {} on resource: * because no policy"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.NoCredentialsError(), "there are no AWS credentials: set AWS_PROFILE, give --profile, or run"),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "there are no AWS credentials that can be used (Partial credentials found in env, missing: AWS_SECRET",
        ),
        (
            exceptions.CredentialRetrievalError(provider="process", error_msg="exited with 3"),
            "there are no AWS credentials that can be used (Error when retrieving credentials from process: exited",
        ),
        (exceptions.ProfileNotFound(profile="x"), "(x) could not be found: `aws configure list-profiles` lists"),
        (exceptions.SSOTokenLoadError(error_msg="x"), "the AWS credentials have expired: renew them, with `aws sso"),
        (exceptions.UnauthorizedSSOTokenError(), "the AWS credentials have expired"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached (Could not connect to"),
        (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "AWS cannot be reached (Connect timeout on"),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), "AWS cannot be reached (Read timeout on"),
        (exceptions.SSLError(endpoint_url="https://x", error="bad"), "AWS's certificate was not accepted (SSL valid"),
        (exceptions.DataNotFoundError(data_path="x"), "the call of AWS failed: Unable to load data for: x"),
    ],
)
def test_what_keeps_a_call_from_aws_is_told_in_a_sentence(error: exceptions.BotoCoreError, expected: str) -> None:
    assert expected in str(explain(error))


def answer(code: str, message: str, status: int = 400) -> exceptions.ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "x", "HTTPHeaders": {}, "RetryAttempts": 0, "HostId": ""}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return exceptions.ClientError(response, "CreateThing")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ExpiredToken", "x", "the AWS credentials have expired: renew them"),
        ("ExpiredTokenException", "x", "the AWS credentials have expired: renew them"),
        ("InvalidClientTokenId", "bad", "AWS does not know these credentials (bad): check `aws configure list`"),
        ("UnrecognizedClientException", "bad", "AWS does not know these credentials (bad)"),
        ("SignatureDoesNotMatch", "bad", "AWS does not know these credentials (bad)"),
        (
            "AccessDenied",
            REFUSED.format("iot:CreateThing"),
            "the permission iot:CreateThing is missing; infrastructure",
        ),
        ("AccessDeniedException", "no", "AWS refuses CreateThing (no); infrastructure/deployer-policy.json has all"),
        ("LimitExceededException", "no", "AWS answered CreateThing with LimitExceededException: no"),
        ("Throttling", "Rate exceeded", "with Throttling: Rate exceeded; run this again in a minute"),
        ("ThrottlingException", "Rate exceeded", "Rate exceeded; run this again in a minute"),
    ],
)
def test_what_aws_answers_is_told_in_a_sentence(code: str, message: str, expected: str) -> None:
    assert expected in str(explain(answer(code, message)))


def test_a_fault_of_awss_is_no_refusal_and_passes() -> None:
    error = explain(answer("ServiceUnavailableException", "The service is not available", 503))
    assert not isinstance(error, Refused)
    assert str(error).endswith("; run this again in a minute")


def test_throttling_is_no_refusal() -> None:
    assert not isinstance(explain(answer("ThrottlingException", "slow down")), Refused)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (REFUSED.format("iot:CreateThing"), "iot:CreateThing"),
        (REFUSED.format("iot:ListPrincipalThingsV2"), "iot:ListPrincipalThingsV2"),
        (REFUSED.format("SNS:CreateTopic"), "sns:CreateTopic"),
        ("User: x is not authorized to perform:iam:PassRole on resource: y", "iam:PassRole"),
        (f'Resource handler returned message: "{REFUSED.format("iot:TagResource")}" (Token: x)', "iot:TagResource"),
        ("Access denied for operation 'AWS::IoT::CustomMetric'.", None),
        ("", None),
    ],
)
def test_the_action_that_is_not_allowed_is_found_in_awss_words(message: str, expected: str | None) -> None:
    assert expected == missing_permission(message)


def test_an_answer_without_a_code_is_told_nevertheless() -> None:
    error = exceptions.ClientError({"Error": {}}, "CreateThing")
    assert f"AWS answered CreateThing with : {error}" == str(explain(error))


@pytest.mark.parametrize("action", ["kinesis:CreateStream", "iot:CreateTopicRule", "iot:CreateThing"])
def test_a_missing_permission_is_said_with_every_policy_that_there_is(action: str) -> None:
    sentence = permission_sentence(action)
    assert sentence.startswith(f"the permission {action} is missing; infrastructure/deployer-policy.json has all")
    for policy in Path(refusals.__file__).parent.glob("deployer-*policy.json"):
        assert policy.name in sentence
