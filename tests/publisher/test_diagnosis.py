"""What is wrong and what to do about it are two values, and AWS's words are for AWS IoT alone."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable

import msgspec
import pytest

from defender_publisher import diagnosis
from defender_publisher.errors import Problem
from defender_publisher.tcp import ProxyError
from defender_publisher.transport import Link

TOPIC = "$aws/things/rpi-1/defender/metrics/json"
AT_AWS = Link("a1-ats.iot.eu-west-1.amazonaws.com", 8883, "rpi-1", TOPIC, "", "c.pem", "c.key")
OWN = msgspec.structs.replace(AT_AWS, host="broker.example.com")
BY_WEBSOCKET = msgspec.structs.replace(AT_AWS, certificate="", private_key="", websocket=True)


@pytest.mark.parametrize(
    ("explain", "at_aws", "elsewhere"),
    [
        (
            diagnosis.not_let_in,
            "iot:Connect on client/rpi-1",
            "must not have revoked it, and",
        ),
        (lambda link: diagnosis.refusal(5, link), "iot:Connect on client/rpi-1", "accept the client ID rpi-1"),
        (
            lambda link: diagnosis.subscription_refused(f"{TOPIC}/accepted", link),
            f"iot:Subscribe on topicfilter/{TOPIC}/accepted",
            f"read {TOPIC}/accepted and {TOPIC}/rejected",
        ),
        (diagnosis.closed_on_publish, f"iot:Publish on topic/{TOPIC}", f"write {TOPIC}"),
        (lambda link: diagnosis.no_verdict(15, link), f"iot:Receive on topic/{TOPIC}/*", "amazon-defender-detect"),
        (lambda link: diagnosis.explain(ConnectionResetError(), link), "iot:Connect", "the broker's log"),
    ],
)
def test_what_a_broker_does_not_permit_is_told_in_its_own_words(
    explain: Callable[[Link], Problem], at_aws: str, elsewhere: str
) -> None:
    assert at_aws in explain(AT_AWS).advice
    assert elsewhere in explain(OWN).advice
    assert not any(word in str(explain(OWN)) for word in ("iot:", "policy", "register"))
    assert explain(AT_AWS).says == explain(OWN).says


def test_what_signs_a_websocket_is_checked_instead_of_a_certificate() -> None:
    assert "check that the AWS credentials are valid" in diagnosis.not_let_in(BY_WEBSOCKET).advice
    assert "certificate" not in diagnosis.not_let_in(BY_WEBSOCKET).advice


@pytest.mark.parametrize(
    ("error", "says", "advice"),
    [
        (ConnectionRefusedError(), "broker.example.com refused the connection", "port and the firewall"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved (Name or service", "and the DNS"),
        (TimeoutError(), "the broker did not answer in time", "look for a firewall in between"),
        (ProxyError("the proxy p:1 cannot be used: 407"), "the proxy p:1 cannot be used: 407", "check agent.proxy"),
        (OSError(errno.EMFILE, "Too many open files"), "no file can be opened", "raise LimitNOFILE="),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable", "network and route"),
        (FileNotFoundError(2, "No such file"), "a file of agent.authentication is missing", "put it back"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "the TLS connection failed", ""),
        (KeyError("x"), "KeyError ('x')", "send this line to the project"),
    ],
)
def test_an_error_of_the_network_has_its_advice(error: Exception, says: str, advice: str) -> None:
    found = diagnosis.explain(error, OWN)
    assert says in found.says
    assert advice in found.advice


def test_a_problem_without_advice_is_a_sentence_too() -> None:
    assert ("it rains", "it rains; stay") == (str(Problem("it rains")), str(Problem("it rains", "stay")))
