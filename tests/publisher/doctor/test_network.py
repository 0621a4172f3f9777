"""How far a connection gets, and the one thing to do where it ends, against a broker that behaves as the test says."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_daemon.certificate import certificate_id
from defender_daemon.ladder import Failed
from defender_publisher.doctor import local, network
from defender_publisher.doctor.case import Case
from defender_publisher.tcp import open_socket
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker
from tests.ports import fill_queue
from tests.publisher.doctor.test_local import failure
from tests.publisher.test_tcp import FakeProxy
from tests.waiting import PATIENCE

MakeCase = Callable[..., Case]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(network, "ALERT_WITHIN", PATIENCE)
    monkeypatch.setattr(network, "CONNECT_WITHIN", PATIENCE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment only, for what does not come."""
    monkeypatch.setattr(network, "ALERT_WITHIN", 0.3)
    monkeypatch.setattr(network, "CONNECT_WITHIN", 1.0)


@pytest.fixture
def make_case(write_config: Callable[..., Path]) -> Iterator[MakeCase]:
    """Make the case of a device that has climbed as far as its name; keywords change its authentication."""
    made: list[Case] = []

    def make_case(port: int, alternative_port: int = 1, proxy: object = None, **authentication: object) -> Case:
        path = write_config(port, **({"proxy": proxy} if proxy else {}))
        config = json.loads(path.read_text())
        config["agent"]["authentication"].update(authentication)
        path.write_text(json.dumps(config))
        made.append(Case(path, {}, alternative_port=alternative_port))
        local.read_configuration(made[-1])
        local.find_thing_name(made[-1])
        return made[-1]

    yield make_case
    for case in made:
        case.close()


def greeted(case: Case) -> str:
    network.connect_tcp(case)
    return network.greet_server(case)


def test_the_addresses_of_a_name_are_told_and_a_wrong_name_is_named(make_case: MakeCase) -> None:
    assert "127.0.0.1" in network.look_up(make_case(1))
    says, advice = failure(network.look_up, make_case(1, endpoint="nowhere.invalid"))
    assert says.startswith("the name nowhere.invalid cannot be resolved")
    assert "check agent.authentication.endpoint and the DNS" == advice


def test_behind_a_proxy_its_name_is_looked_up(make_case: MakeCase) -> None:
    case = make_case(1, proxy={"host": "127.0.0.1", "port": 3128}, endpoint="inside.invalid")
    assert "127.0.0.1: the proxy 127.0.0.1, which looks up inside.invalid itself" == network.look_up(case)


def test_an_open_port_is_told(make_case: MakeCase, broker: ScriptedBroker) -> None:
    assert f"port {broker.port}" == network.connect_tcp(make_case(broker.port))


def test_a_closed_port_is_named(make_case: MakeCase, free_port: int) -> None:
    expected = (
        f"port {free_port}: localhost refused the connection",
        "check agent.authentication.port and the firewall",
    )
    assert expected == failure(network.connect_tcp, make_case(free_port))


def test_where_the_other_port_answers_it_is_the_advice(
    make_case: MakeCase, free_port: int, broker: ScriptedBroker
) -> None:
    _, advice = failure(network.connect_tcp, make_case(free_port, alternative_port=broker.port))
    assert f"set agent.authentication.port to {broker.port}, which answers" == advice


@pytest.mark.usefixtures("impatient")
def test_a_port_that_says_nothing_is_a_firewalls(make_case: MakeCase) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = fill_queue(listener)  # a listener whose queue is full drops every SYN
    says, advice = failure(network.connect_tcp, make_case(listener.getsockname()[1], endpoint="127.0.0.1"))
    assert says.endswith("the broker did not answer in time")
    assert "look for a firewall in between; port 1 does not answer either" == advice
    for each in (listener, *fillers):
        each.close()


def test_the_way_through_a_proxy_is_told_and_its_refusal_quoted(make_case: MakeCase) -> None:
    proxy = FakeProxy()
    options = {"host": "127.0.0.1", "port": proxy.port}
    assert f"port 8883, through the proxy 127.0.0.1:{proxy.port}" == network.connect_tcp(make_case(8883, proxy=options))
    proxy.close()
    says, advice = failure(network.connect_tcp, make_case(8883, proxy=options))
    assert f"the proxy 127.0.0.1:{proxy.port} cannot be used" in says
    assert "check agent.proxy" == advice


def test_tls_tells_its_version_and_the_servers_last_day(
    make_case: MakeCase, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "ALERT_WITHIN", 0.3)  # there is none
    says = greeted(make_case(broker.port))
    assert says.startswith("TLSv1.")
    assert "the server's certificate is valid for " in says
    assert says.endswith(" days more, until 2049-12-31 23:59 UTC")
    assert [] == broker.seen.connects


@pytest.mark.parametrize(
    ("change", "expected", "advice"),
    [
        ({"endpoint": "127.0.0.1"}, "IP address mismatch", "a name that the server's certificate is made for"),
        ({"root_ca": "stranger"}, "certificate was not accepted", "root_ca must hold the authority that signed it"),
    ],
)
def test_a_server_that_cannot_be_trusted_is_not(
    make_case: MakeCase, broker: ScriptedBroker, tmp_path: Path, change: dict[str, str], expected: str, advice: str
) -> None:
    if "root_ca" in change:
        change = {"root_ca": str(Authority(tmp_path / "stranger", name="stranger").certificate)}
    case = make_case(broker.port, **change)
    network.connect_tcp(case)
    says, todo = failure(network.greet_server, case)
    assert expected in says
    assert advice in todo


def test_an_expired_server_points_at_the_clock_first(make_case: MakeCase, authority: Authority) -> None:
    files = authority.issue_expired("old-broker", ["localhost"])
    broker = ScriptedBroker(files.certificate, files.private_key, authority.certificate)
    with pytest.raises(Failed, match="certificate has expired.*; check this device's clock"):
        greeted(make_case(broker.port))
    broker.close()


@pytest.mark.parametrize("newest", ["TLSv1_2", "TLSv1_3"])
def test_a_broker_that_refuses_the_devices_certificate_is_heard(
    make_case: MakeCase, authority: Authority, tmp_path: Path, newest: str
) -> None:
    """Under TLS 1.3 only after the client's side of the handshake has ended well."""
    files, stranger = authority.issue("broker", ["localhost"]), Authority(tmp_path / "stranger", name="stranger")
    broker = ScriptedBroker(files.certificate, files.private_key, stranger.certificate)
    broker._context.maximum_version = ssl.TLSVersion[newest]
    case = make_case(broker.port)
    network.connect_tcp(case)
    says, advice = failure(network.greet_server, case)
    assert "UNKNOWN_CA" in says
    assert "the broker must trust the authority that signed this device's certificate" == advice
    broker.close()


def test_a_port_that_speaks_no_tls_is_named(make_case: MakeCase) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        case = make_case(listener.getsockname()[1])
        network.connect_tcp(case)
        connection, _ = listener.accept()
        connection.sendall(b"220 mail.example.com ESMTP\r\n")
        says, advice = failure(network.greet_server, case)
        connection.close()
    assert "WRONG_VERSION_NUMBER" in says
    assert "check agent.authentication.port, where localhost does not speak TLS" == advice


@pytest.mark.usefixtures("impatient")
def test_a_server_that_takes_the_connection_and_says_nothing_does_not_hang_the_doctor(
    make_case: MakeCase, broker: ScriptedBroker
) -> None:
    broker.script.tls = False
    case = make_case(broker.port)
    network.connect_tcp(case)
    says, _ = failure(network.greet_server, case)
    assert "the broker did not answer in time" == says


def test_a_certificate_that_aws_refuses_is_looked_up_by_its_id(
    make_case: MakeCase, authority: Authority, tmp_path: Path
) -> None:
    host = "a1-ats.iot.eu-west-1.amazonaws.com"
    files, stranger = authority.issue("aws", [host]), Authority(tmp_path / "stranger", name="stranger")
    broker = ScriptedBroker(files.certificate, files.private_key, stranger.certificate)
    case = make_case(443, endpoint=host)
    case.line = open_socket("127.0.0.1", broker.port)
    _, advice = failure(network.greet_server, case)
    which = certificate_id(str(case.authentication.certificate))
    assert advice.endswith(f": aws iot describe-certificate --certificate-id {which}")
    broker.close()


def context_of(case: Case) -> ssl.SSLContext:
    return case.method.tls_context(case.authentication)


def test_on_443_a_certificate_is_shown_by_alpn_and_a_websocket_shows_none(make_case: MakeCase) -> None:
    by_alpn = context_of(make_case(443))
    assert by_alpn.check_hostname
    websocket = make_case(443, method="websocket", endpoint="a1-ats.iot.eu-west-1.amazonaws.com")
    assert context_of(websocket).check_hostname
