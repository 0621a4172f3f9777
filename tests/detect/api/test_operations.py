"""boto3, which knows AWS's API and nothing of ours, asks Detect what it would ask AWS."""

from __future__ import annotations

import http.client
import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

import msgspec
from botocore.exceptions import ClientError
from botocore.session import get_session

from defender_detect.api.operations import NOT_OFFERED, OPERATIONS
from tests.detect.api.conftest import KEY, PROFILES, SECRET, Connect
from tests.detect.store.test_store import NOW

MODEL = get_session().get_service_model("iot")
START = datetime.fromtimestamp(NOW - 1, timezone.utc)
PERIOD = {"startTime": START, "endTime": START + timedelta(days=2)}
WORDS = ("SecurityProfile", "Violation", "MetricValues", "CustomMetric", "Dimension", "Mitigation", "BehaviorModel")


def fault_of(error: ClientError) -> tuple[str, int]:
    """What an error is called, and its status."""
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def is_of_detect(name: str) -> bool:
    """Whether an operation of AWS IoT is one of Detect's."""
    return any(word in name for word in WORDS) and "Audit" not in name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_member_of_an_input_is_where_the_model_has_it(operation: Any) -> None:
    """Botocore's model is the witness: the names, where each stands, which are required, and no other."""
    model = MODEL.operation_model(operation.name)
    assert (model.http["method"], model.http["requestUri"]) == (operation.method, operation.path)
    members = model.input_shape.members
    ours = {each.encode_name: each for each in msgspec.structs.fields(operation.takes)}
    assert set(members) == set(ours)
    assert set(model.input_shape.required_members) == {name for name, each in ours.items() if each.required}
    for name, shape in members.items():
        location = shape.serialization.get("location", "body")
        where = "uri" if f"{{{name}}}" in operation.path else "body" if name in operation.body else "querystring"
        assert location == where, name
        assert shape.serialization.get("name", name) == name


def test_every_operation_of_detect_is_answered_or_refused_by_name() -> None:
    theirs = {name for name in MODEL.operation_names if is_of_detect(name)}
    assert theirs == {each.name for each in OPERATIONS} | set(NOT_OFFERED)
    assert 35 == len(theirs)
    for name, (method, path) in NOT_OFFERED.items():
        http_of = MODEL.operation_model(name).http
        assert (http_of["method"], http_of["requestUri"]) == (method, path)


def test_active_violations_come_in_pages_that_neither_repeat_nor_leave_out_one(
    violations: Path, connect: Connect
) -> None:
    client = connect(violations)
    for size in (1, 3, 4, 250):
        pages = client.get_paginator("list_active_violations").paginate(PaginationConfig={"PageSize": size})
        found = [each["violationId"] for page in pages for each in page["activeViolations"]]
        assert [f"id-{number:02}" for number in range(1, 12)] == found
    (third,) = (each for each in client.list_active_violations(thingName="t3")["activeViolations"])
    assert ("UNKNOWN", {"number": 88.0}) == (third["verificationState"], third["lastViolationValue"])
    assert START + timedelta(seconds=1) == third["violationStartTime"].replace(microsecond=START.microsecond)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"thingName": "t4"}, [4]),
        ({"securityProfileName": "ports"}, [1, 4, 7, 10]),
        ({"behaviorCriteriaType": "STATISTICAL"}, [2, 5, 8, 11]),
        ({"behaviorCriteriaType": "STATIC"}, [1, 3, 4, 6, 7, 9, 10]),
        ({"behaviorCriteriaType": "MACHINE_LEARNING"}, []),
        ({"listSuppressedAlerts": True}, [1, 4, 7, 10]),
        ({"listSuppressedAlerts": False}, [2, 3, 5, 6, 8, 9, 11]),
        ({"verificationState": "UNKNOWN", "securityProfileName": "ranks", "thingName": "t5"}, [5]),
        ({"verificationState": "TRUE_POSITIVE"}, []),
    ],
)
def test_each_filter_chooses(violations: Path, connect: Connect, chosen: Any, expected: list[int]) -> None:
    client = connect(violations)
    active = client.list_active_violations(**chosen)["activeViolations"]
    assert [f"id-{number:02}" for number in expected] == [each["violationId"] for each in active]
    events = client.list_violation_events(**chosen, **PERIOD)["violationEvents"]
    began = [each["violationId"] for each in events if each["violationEventType"] == "in-alarm"]
    assert set(began) - {"id-00"} == {f"id-{number:02}" for number in expected}


def test_events_are_the_newest_first_of_a_time_and_in_pages(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    everything = client.list_violation_events(**PERIOD)["violationEvents"]
    times = [each["violationEventTime"] for each in everything]
    assert (13, True) == (len(everything), times == sorted(times, reverse=True))
    assert "alarm-cleared" == everything[0]["violationEventType"]
    pages = client.get_paginator("list_violation_events").paginate(**PERIOD, PaginationConfig={"PageSize": 2})
    assert everything == [each for page in pages for each in page["violationEvents"]]
    early = client.list_violation_events(startTime=START, endTime=START + timedelta(seconds=1.5))
    assert 4 == len(early["violationEvents"])


def test_values_of_a_metric_come_in_pages(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    wanted = {"thingName": "t0", "metricName": "cpu_usage", **PERIOD}
    first = client.list_metric_values(**wanted)
    assert (250, True) == (len(first["metricDatumList"]), "nextToken" in first)
    pages = client.get_paginator("list_metric_values").paginate(**wanted)
    values = [each["value"] for page in pages for each in page["metricDatumList"]]
    assert [{"number": 1.5}, *({"number": number / 2} for number in range(1, 300))] == values
    for wrong, message in (
        ({"thingName": "nobody"}, "nothing is kept of the thing"),
        ({"metricName": "x"}, "not kept"),
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException, match=message):
            client.list_metric_values(**{**wanted, **wrong})


def test_profiles_are_listed_and_described(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    listed = client.list_security_profiles()["securityProfileIdentifiers"]
    assert ["ports", "ranks"] == [each["name"] for each in listed]
    for chosen, names in (({"metricName": "cpu_usage"}, ["ports"]), ({"dimensionName": "d"}, [])):
        found = client.list_security_profiles(**chosen)["securityProfileIdentifiers"]
        assert names == [each["name"] for each in found]
    described = client.describe_security_profile(securityProfileName="ports")
    assert PROFILES[0]["behaviors"] == described["behaviors"]
    assert listed[0]["arn"] == described["securityProfileArn"]
    paged = client.get_paginator("list_security_profiles").paginate(PaginationConfig={"PageSize": 1})
    assert listed == [each for page in paged for each in page["securityProfileIdentifiers"]]
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="there is no security profile nope"):
        client.describe_security_profile(securityProfileName="nope")
    empty = connect(violations, rules=lambda: None)
    assert [] == empty.list_security_profiles()["securityProfileIdentifiers"]


def test_targets_and_profiles_find_each_other(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    (everything,) = client.list_targets_for_security_profile(securityProfileName="ports")["securityProfileTargets"]
    assert everything["arn"].endswith(":all/things")
    both = client.list_targets_for_security_profile(securityProfileName="ranks")["securityProfileTargets"]
    group = next(each["arn"] for each in both if each["arn"].endswith(":thinggroup/gateways"))
    for arn, names in ((group, ["ranks"]), (everything["arn"], ["ports", "ranks"])):
        found = client.list_security_profiles_for_target(securityProfileTargetArn=arn, recursive=True)
        mappings = found["securityProfileTargetMappings"]
        assert names == [each["securityProfileIdentifier"]["name"] for each in mappings]
        assert {arn} == {each["target"]["arn"] for each in mappings}


def test_behaviors_are_validated_and_what_is_wrong_is_said(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    good = client.validate_security_profile_behaviors(behaviors=PROFILES[0]["behaviors"])
    assert (True, []) == (good["valid"], good["validationErrors"])
    criteria = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 301}
    wrong = [{"name": "b", "metric": "aws:all-bytes-out", "criteria": criteria}]
    bad = client.validate_security_profile_behaviors(behaviors=wrong)
    assert not bad["valid"]
    assert "durationSeconds" in bad["validationErrors"][0]["errorMessage"]


def test_a_verification_state_is_put_and_filtered_by(violations: Path, tmp_path: Path, connect: Connect) -> None:
    directory = shutil.copytree(violations, tmp_path / "own")
    client = connect(directory)
    put = client.put_verification_state_on_violation
    put(violationId="id-05", verificationState="FALSE_POSITIVE", verificationStateDescription="maintenance")
    (judged,) = client.list_active_violations(verificationState="FALSE_POSITIVE")["activeViolations"]
    assert ("id-05", "maintenance") == (judged["violationId"], judged["verificationStateDescription"])
    (began,) = client.list_violation_events(verificationState="FALSE_POSITIVE", **PERIOD)["violationEvents"]
    assert "id-05" == began["violationId"]
    put(violationId="id-05", verificationState="UNKNOWN")
    assert [] == client.list_active_violations(verificationState="FALSE_POSITIVE")["activeViolations"]
    for wrong in ({"verificationState": "MAYBE"}, {"verificationStateDescription": "two\nlines"}):
        with pytest.raises(client.exceptions.InvalidRequestException):
            put(**{"violationId": "id-05", "verificationState": "UNKNOWN", **wrong})
    with pytest.raises(ClientError) as raised:
        put(violationId="other", verificationState="UNKNOWN")
    assert ("ResourceNotFoundException", 404) == fault_of(raised.value)


def test_what_is_not_offered_is_refused_by_name(violations: Path, connect: Connect) -> None:
    client = connect(violations)
    with pytest.raises(client.exceptions.InvalidRequestException, match="ListMitigationActions is not offered"):
        client.list_mitigation_actions()
    answer, _ = ask(client, "GET", "/things")
    assert (404, "UnknownOperationException") == (answer.status, answer.getheader("x-amzn-errortype"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Content-Length": "100000000"}, 413),
        ({"Content-Length": "-1"}, 400),
    ],
)
def test_a_page_in_a_browser_and_a_flood_are_refused(
    violations: Path, connect: Connect, headers: dict[str, str], status: int
) -> None:
    answer, _ = ask(connect(violations), "POST", "/security-profile-behaviors/validate", headers=headers)
    assert status == answer.status


def test_with_keys_only_who_signs_with_one_is_answered(violations: Path, connect: Connect) -> None:
    client = connect(violations, {KEY: SECRET})
    assert 11 == len(client.list_active_violations()["activeViolations"])
    assert 1 == len(client.list_violation_events(**PERIOD, maxResults=1, nextToken=token_of(client))["violationEvents"])
    assert client.validate_security_profile_behaviors(behaviors=PROFILES[0]["behaviors"])["valid"]
    client.describe_security_profile(securityProfileName="ports")
    for key, secret, code in (
        (KEY, "another-secret-than-that", "InvalidSignatureException"),
        ("AKIAOTHER", SECRET, "UnrecognizedClientException"),
    ):
        other = connect(violations, {KEY: SECRET}, key, secret)
        with pytest.raises(ClientError) as raised:
            other.list_active_violations()
        assert (code, 403) == fault_of(raised.value)
    answer, _ = ask(client, "GET", "/active-violations")
    assert (403, "IncompleteSignatureException") == (answer.status, answer.getheader("x-amzn-errortype"))
    late = connect(violations, {KEY: SECRET}, clock=lambda: 0.0)
    with pytest.raises(ClientError, match="within 300 s"):
        late.list_active_violations()


def token_of(client: Any) -> str:
    """A token with characters that are quoted in a query."""
    return str(client.list_violation_events(**PERIOD, maxResults=1)["nextToken"])


def test_without_a_store_a_failure_is_said(tmp_path: Path, connect: Connect) -> None:
    with pytest.raises(ClientError) as raised:
        connect(tmp_path).list_active_violations()
    assert ("InternalFailureException", 500) == fault_of(raised.value)
    assert "has not run with it yet" in str(raised.value)


def ask(
    client: Any, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, Any]:
    """An answer to a request that boto3 would not send."""
    connection = http.client.HTTPConnection(client.meta.endpoint_url.removeprefix("http://"), timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, json.loads(text) if text.startswith(b"{") else text
