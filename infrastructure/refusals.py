"""What AWS refuses, in a sentence: which permission, credential, network or quota stands in the way."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from infrastructure.errors import DeployError, Refused

PERMISSIONS = (
    "infrastructure/deployer-policy.json has all that are needed, deployer-claim-policy.json those for --claim, and "
    "deployer-flink-policy.json those for --detect-engine flink: ask the account's administrator for them"
)
RENEW = "renew them, with `aws sso login` or `aws configure` for instance"

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NO_SSO = (SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError)
_NO_NETWORK = (EndpointConnectionError, ConnectionError, HTTPClientError)
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedException", "UnauthorizedOperation")
_BUSY = ("Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded")
_SERVER_ERROR = 500
_ACTION = re.compile(r"not authorized to perform:? ?([A-Za-z0-9-]+):([A-Za-z0-9*]+)")  # SNS says SNS:CreateTopic


def explain(error: BotoCoreError | ClientError) -> DeployError:
    """Return the sentence for an error of AWS's or on the way there."""
    if isinstance(error, ClientError):
        return _explain_answer(error)
    if isinstance(error, ProfileNotFound):
        return DeployError(f"{error}: `aws configure list-profiles` lists those there are")
    if isinstance(error, _NO_SSO):
        return DeployError(f"the AWS credentials have expired: {RENEW}")
    if isinstance(error, _NO_CREDENTIALS):
        found = "" if isinstance(error, NoCredentialsError) else f" that can be used ({error})"
        return DeployError(
            f"there are no AWS credentials{found}: set AWS_PROFILE, give --profile, or run `aws configure`"
        )
    if isinstance(error, SSLError):
        return DeployError(f"AWS's certificate was not accepted ({error}): is there a proxy that opens TLS?")
    if isinstance(error, _NO_NETWORK):
        return DeployError(f"AWS cannot be reached ({error}): check the network, HTTPS_PROXY, and the region's name")
    return DeployError(f"the call of AWS failed: {error}")


def code_of(error: ClientError) -> str:
    """Return the error's code, such as ResourceNotFoundException."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return what AWS says of the error."""
    return str(error.response.get("Error", {}).get("Message", "")) or str(error)


def missing_permission(message: str) -> str | None:
    """Return the action that a message of AWS's says is not allowed, `iot:CreateThing`."""
    found = _ACTION.search(message)
    return f"{found.group(1).lower()}:{found.group(2)}" if found else None


def permission_sentence(action: str) -> str:
    """Return what to say where an action is not allowed."""
    return f"the permission {action} is missing; {PERMISSIONS}"


def _explain_answer(error: ClientError) -> DeployError:
    code, message = code_of(error), message_of(error)
    action = missing_permission(message)
    if action:
        return Refused(permission_sentence(action), action)
    if code in _EXPIRED:
        return DeployError(f"the AWS credentials have expired: {RENEW}")
    if code in _UNKNOWN:
        return DeployError(f"AWS does not know these credentials ({message}): check `aws configure list`")
    operation = error.operation_name
    if code in _DENIED:
        return Refused(f"AWS refuses {operation} ({message}); {PERMISSIONS}")
    answer = f"AWS answered {operation} with {code}: {message}"
    if code in _BUSY or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _SERVER_ERROR:
        return DeployError(f"{answer}; run this again in a minute")
    return Refused(answer)
