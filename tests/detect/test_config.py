"""Detect's configuration: all that is wrong is said with its place, and what is not given is known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

pytest.importorskip("msgspec")

from defender_detect.config import ALL_RULES, Agent, Api, Config, Console, Detect, Source, is_origin, is_path
from device_defender.validation import find_problems


def problems_of(document: Any) -> list[str]:
    return find_problems(document, Config, ALL_RULES)


def agent(**values: Any) -> dict[str, Any]:
    return {"agent": values}


def authentication(**values: Any) -> dict[str, Any]:
    return agent(authentication=values)


def detect(**values: Any) -> dict[str, Any]:
    return {"detect": values}


def alert(**values: Any) -> dict[str, Any]:
    return detect(alerts=[{"type": "log"}, values])


TOPIC_RULE = "agent.topic must be a topic with {thing_name} as one of its levels, and without + and #, got "
HOST_RULE = "agent.authentication.endpoint must be a host name or an address, got "
PORT_RULE = "agent.authentication.port must be a whole number from 0 to 65535, got "
PATH = "must be a path of 1 to 1024 characters, got "
COMMAND = "detect.alerts[1].command must be an array of strings: a program and its arguments, got "
ARN = "arn:aws:sns:eu-west-1:123456789012:x"
KINDS = "must be one of log, topic, webhook, command, sns, email, ntfy, apprise, alertmanager, home_assistant, got "
ELSEWHERE = ' or an object with either "file" or "credential"'
EMAIL = {"type": "email", "host": "mail.example.com", "sender": "d@example.com", "recipients": ["me@example.com"]}
WRONG = [
    (7, "the document must be an object, got 7"),
    ([], "the document must be an object, got an array of 0"),
    ({"agnet": {}}, 'agnet is not a known key; did you mean "agent"?'),
    ({"agent": []}, "agent must be an object, got an array of 0"),
    ({"detect": None}, "detect must be an object, got null"),
    (agent(authentication="x"), 'agent.authentication must be an object, got "x"'),
    (agent(minimum_intervall=1), 'agent.minimum_intervall is not a known key; did you mean "minimum_interval"?'),
    (agent(minimum_interval=-1), "agent.minimum_interval must be a number from 0 to 31536000, got -1"),
    (agent(minimum_interval=True), "agent.minimum_interval must be a number from 0 to 31536000, got true"),
    (agent(minimum_interval=float("nan")), "agent.minimum_interval must be a number from 0 to 31536000, got NaN"),
    (agent(debug=1), "agent.debug must be true or false, got 1"),
    (agent(embedded_broker="yes"), 'agent.embedded_broker must be true or false, got "yes"'),
    (agent(topic="reports"), TOPIC_RULE + '"reports"'),
    (
        agent(topic="{shard}/{thing_name}"),
        'agent.topic must give the number of shards as in {shard:16}, got "{shard}/{thing_name}"',
    ),
    (agent(shard=-1), "agent.shard must be "),
    (agent(topic="a/{thing_name}/+"), TOPIC_RULE + '"a/{thing_name}/+"'),
    (agent(topic="a/x{thing_name}"), TOPIC_RULE + '"a/x{thing_name}"'),
    (agent(topic="{thing_name}/{thing_name}"), TOPIC_RULE + '"{thing_name}/{thing_name}"'),
    (agent(state_directory=""), f'agent.state_directory {PATH}""'),
    (agent(state_directory="a\0b"), f'agent.state_directory {PATH}"a\\u0000b"'),
    (
        agent(state_directory="~no-such-user/x"),
        f'agent.state_directory {PATH}"~no-such-user/x"',
    ),
    (authentication(port="8883"), PORT_RULE + '"8883"'),
    (authentication(port=65536), PORT_RULE + "65536"),
    (authentication(port=True), PORT_RULE + "true"),
    (authentication(endpoint=""), HOST_RULE + '""'),
    (authentication(endpoint="a..b"), HOST_RULE + '"a..b"'),
    (authentication(rot_ca="x"), 'agent.authentication.rot_ca is not a known key; did you mean "root_ca"?'),
    (authentication(root_ca=1), "agent.authentication.root_ca must be a path of 1 to 1024 characters, got 1"),
    (authentication(revoked=""), 'agent.authentication.revoked must be a path of 1 to 1024 characters, got ""'),
    (detect(profils=[]), 'detect.profils is not a known key; did you mean "profiles"?'),
    (detect(profiles="x.json"), 'detect.profiles must be an array of strings or objects, got "x.json"'),
    (detect(profiles=[3]), "detect.profiles[0] must be a path of 1 to 1024 characters or an object, got 3"),
    (detect(profiles=[{}]), "detect.profiles[0].path is missing; it must be a path of 1 to 1024 characters"),
    (
        detect(profiles=[{"path": "x", "target": []}]),
        'detect.profiles[0].target is not a known key; did you mean "targets"?',
    ),
    (
        detect(profiles=[{"path": "x", "targets": [1]}]),
        "detect.profiles[0].targets[0] must be a string of 1 to 2048 characters, got 1",
    ),
    (
        detect(profiles=[{"path": "x", "targets": []}]),
        "detect.profiles[0].targets must be a non-empty array of strings, got an array of 0",
    ),
    (detect(thing_groups=7), "detect.thing_groups must be a path of 1 to 1024 characters, got 7"),
    (detect(metrics_days=0), "detect.metrics_days must be a number from 0.01 to 36500, got 0"),
    *(
        (detect(most_things=each), f"detect.most_things must be a whole number from 1 to 9007199254740992, got {shown}")
        for each, shown in ((0, "0"), (1.5, "1.5"), (True, "true"), (2**53 + 1, "9007199254740993"))
    ),
    (detect(most_bytes=5), "detect.most_bytes must be a whole number from 10000000 to 9007199254740992, got 5"),
    (detect(violations_days="30"), 'detect.violations_days must be a number from 0.01 to 36500, got "30"'),
    (detect(alerts={}), "detect.alerts must be an array of objects, got an object"),
    (alert(type="web"), "detect.alerts[1].type " + KINDS + '"web"'),
    (alert(typ="log"), "detect.alerts[1].type is missing; it " + KINDS[:-6]),
    (alert(type=["log"]), "detect.alerts[1].type " + KINDS + "an array of 1"),
    (alert(type="webhook"), "detect.alerts[1].url is missing; it must be an http or https URL"),
    (
        alert(type="webhook", url="ftp://x"),
        "detect.alerts[1].url must be an http or https URL in ASCII with a host name, and without spaces and "
        f"credentials{ELSEWHERE}, got something else, which is not shown here",
    ),
    (
        alert(type="command", command=[]),
        COMMAND + "an array of 0",
    ),
    (
        alert(type="command", command="x"),
        COMMAND + '"x"',
    ),
    (alert(type="topic", topic="a/#"), "detect.alerts[1].topic must be a topic of 1 to 256 bytes"),
    (
        alert(type="topic", topic="a", readers="dashboard"),
        'detect.alerts[1].readers must be an array of strings, got "dashboard"',
    ),
    (
        alert(type="webhook", url={"file": "x", "credential": "y"}),
        "detect.alerts[1].url must have either file or credential, got both",
    ),
    (alert(type="webhook", url={}), "detect.alerts[1].url must have either file or credential, got neither"),
    (
        alert(type="webhook", url="http://x/", template="slak"),
        'detect.alerts[1].template must be one of aws, slack, discord, teams, or an object, got "slak"; did you mean '
        '"slack"?',
    ),
    (
        alert(type="webhook", url="http://x/", template={"a": [{"b": "{mesage}"}]}),
        "detect.alerts[1].template.a[0].b must have no other name in braces than {message}, ",
    ),
    (
        alert(type="ntfy", topic="t", token="s3cret"),
        f"detect.alerts[1].token must be{ELSEWHERE[3:]}, got something else, which is not shown here",
    ),
    (
        alert(**{**EMAIL, "password": {"file": "p"}}),
        "detect.alerts[1].username is missing; a server that asks wants both username and password",
    ),
    (
        alert(**EMAIL, username="u"),
        "detect.alerts[1].password is missing; a server that asks wants both username and password",
    ),
    (
        alert(**EMAIL, username="u", password={"file": "p"}, security="none"),
        "detect.alerts[1].security must be starttls or tls where there is a password, got none",
    ),
    (
        alert(**{**EMAIL, "sender": "me"}),
        'detect.alerts[1].sender must be an e-mail address such as me@example.com, got "me"',
    ),
    (
        alert(**{**EMAIL, "recipients": ["a@b\nBcc: c@d"]}),
        "detect.alerts[1].recipients[0] must be an e-mail address such as me@example.com, got ",
    ),
    (
        alert(type="home_assistant", topic="a/#"),
        'detect.alerts[1].topic must be a topic of its own without + and #, got "a/#"',
    ),
    (detect(group_seconds=-1), "detect.group_seconds must be a number from 0 to 86400, got -1"),
    (
        alert(type="sns", topic="x", topic_arn=ARN),
        'detect.alerts[1].topic is not a known key; did you mean "topic_arn"?',
    ),
]


@pytest.mark.parametrize(("document", "problem"), WRONG)
def test_what_is_wrong_is_said_with_its_place(document: Any, problem: str) -> None:
    (found,) = problems_of(document)
    assert found.startswith(problem)


def test_all_that_is_wrong_is_said_at_once() -> None:
    document = {"agent": {"debug": 0, "authentication": {"port": -1}}, "detect": {"metrics_days": None, "x": 1}, "y": 2}
    places = [problem.split(" ")[0] for problem in problems_of(document)]
    assert places == ["agent.debug", "agent.authentication.port", "detect.metrics_days", "detect.x", "y"]


@pytest.mark.parametrize(
    "headers", [{"a\n": "s3cret"}, {"Authorization": "s3cret\n"}, {"Authorization": ["s3cret"]}, "s3cret"]
)
def test_a_secret_in_a_header_is_not_shown(headers: Any) -> None:
    (problem,) = problems_of(alert(type="webhook", url="http://x/", headers=headers))
    assert problem.startswith("detect.alerts[1].headers")
    assert "s3cret" not in problem


def test_a_number_of_a_thousand_digits_is_a_problem_and_no_crash() -> None:
    (problem,) = problems_of(agent(minimum_interval=10**1000))
    assert problem.startswith("agent.minimum_interval must be a number from 0 to 31536000, got 1000")


def test_a_path_alone_is_for_all_things() -> None:
    assert [Source(path="a", targets=["all"]), Source(path="b")] == Detect(profiles=["a", Source(path="b")]).sources


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Agent(), None),
        (Agent(topic="r/{shard:16}/{thing_name}"), "r/{shard:16}/{thing_name}"),
        (Agent(topic="r/{shard:16}/{thing_name}", shard=3), "r/3/{thing_name}"),
    ],
)
def test_the_topic_of_a_shard_has_its_number(given: Agent, expected: str | None) -> None:
    assert expected == given.own_topic


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://detect.example.com", True),
        ("http://detect.example.com:8080/", True),
        ("https://detect.example.com/pages", False),
        ("https://me@detect.example.com", False),
        ("detect.example.com", False),
        ("ftp://detect.example.com", False),
        ("https://d\u00e9tect.example.com", False),
        ("https://", False),
    ],
)
def test_an_origin_is_an_address_of_the_web_without_a_path(text: str, expected: bool) -> None:
    assert expected == is_origin(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("a", True), ("~/a", True), ("a\0b", False), ("~no-such-user/a", False)]
)
def test_a_path_has_no_null_and_no_unknown_user(text: str, expected: bool) -> None:
    assert expected == is_path(text)


@pytest.mark.parametrize(
    ("definition", "raw", "problem"),
    [
        (Api, {}, "port is missing; it must be a whole number from 0 to 65535"),
        (Console, {"address": "a..b"}, 'address must be a host name or an address, got "a..b"'),
        (Console, {"keys": "k"}, "keys is not a known key"),
        (Console, {"silent_after": 0}, "silent_after must be a number from 1 to 31536000, got 0"),
        (Api, {"port": 0, "names": ["a..b"]}, 'names[0] must be a host name or an address, got "a..b"'),
    ],
)
def test_what_is_wrong_with_what_is_served_is_said(definition: type[msgspec.Struct], raw: Any, problem: str) -> None:
    (found,) = find_problems(raw, definition)
    assert found.startswith(problem)


def test_nobody_but_this_machine_is_served_unless_it_is_said() -> None:
    assert ("127.0.0.1", 8790) == (Console().address, Console().port)
    assert "127.0.0.1" == Api(port=0).address
