"""Faults between the device and Device Defender, caused for real: one sentence says what is wrong, and all comes back.

An interval after the cure a report is accepted, for the longest wait between two attempts is 0.9 of it. The tests'
intervals are short, so that things show that are nothing within 300 s: how often the daemon looks whether a report can
go out and whether its connection is still there, and the attempt under way at the cure, which the time-outs bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.chaos.rival import Rival
from tests.chaos.scene import THING, Scene
from tests.chaos.service import HOST_NAME, HOSTS, MosquittoService, ScriptedService
from tests.chaos.table import Fault

pytestmark = pytest.mark.slow

NewScene = Callable[..., Scene]
LOOK = 2.5  # seconds: the daemon's look for a connection, and the connecting itself on a busy machine
NOTICED = 5.0  # seconds between two looks of the daemon whether its connection is still there
UNDER_WAY = 10.0  # seconds that an attempt may wait for a silent server
NOTICED_WITHIN = 30.0  # seconds: 15 for a verdict, 10 for the broker's answer after that, and a look


def check_cured(scene: Scene, fault: Fault, attempt: float = 0.0, twice: int | None = 0) -> None:
    """See that reports are accepted again within an interval from now, and that no byte is lost."""
    fault.resumed(scene.resumed_within(scene.interval + LOOK + attempt))
    scene.settle()
    fault.accounted(scene.assert_accounted(twice))


@pytest.mark.fault("none")
@pytest.mark.parametrize("service", [ScriptedService, MosquittoService])
def test_every_byte_is_reported_once_while_nothing_goes_wrong(
    new_scene: NewScene, fault: Fault, service: type[ScriptedService]
) -> None:
    scene = new_scene(service=service)
    scene.drip()
    check_cured(scene, fault)
    assert [] == scene.find("WARNING|ERROR")


@pytest.mark.fault("broker killed for 5 s")
def test_a_broker_killed_for_a_moment(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(service=MosquittoService)
    check_killed(scene, fault, 5)


@pytest.mark.timeout(240)
@pytest.mark.fault("broker killed for 60 s")
def test_a_broker_killed_for_a_minute(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(service=MosquittoService, interval=10)
    check_killed(scene, fault, 60)


def check_killed(scene: Scene, fault: Fault, seconds: float) -> None:
    scene.drip()
    killed = time.monotonic()
    scene.stop_broker()
    fault.logged(scene.wait_for_line(r"WARNING : the connection to \S+ was lost after \d+ s", NOTICED + LOOK).text)
    if seconds > NOTICED + scene.interval:
        fault.logged(scene.wait_for_line("refused the connection; check agent.authentication.port", seconds).text)
    time.sleep(max(0.0, killed + seconds - time.monotonic()))
    scene.start_broker()  # silent at first, so that a SYN may have to be sent once more, some seconds later
    check_cured(scene, fault, NOTICED, twice=None)  # a verdict may have been under way


@pytest.mark.timeout(180)
@pytest.mark.fault("broker stopped (SIGSTOP), half-open TCP")
def test_a_broker_that_is_stopped_while_its_kernel_goes_on(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(service=MosquittoService, interval=5)
    scene.drip()
    scene.service.freeze()
    line = scene.wait_for_line("the broker no longer answers", scene.interval + NOTICED_WITHIN)
    fault.logged(line.text)
    fault.logged(scene.wait_for_line("not connected.*the broker did not answer in time", 2 * UNDER_WAY).text)
    scene.service.thaw()
    check_cured(scene, fault, UNDER_WAY, twice=1)  # the broker finds the report in its socket, and nobody to answer


@pytest.mark.fault("TCP accepted, TLS never answered")
def test_a_server_that_never_answers_tls(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=5)
    scene.service.script.tls = False
    check_reconnect(scene, fault, "not connected.*the broker did not answer in time; look for a firewall")
    scene.service.script.tls = True
    check_cured(scene, fault, UNDER_WAY)


@pytest.mark.fault("TLS up, CONNACK never")
def test_a_broker_that_never_answers_connect(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=5)
    scene.service.script.connack = None
    check_reconnect(scene, fault, "not connected.*the broker did not answer in time; look for a firewall")
    scene.service.script.connack = 0
    check_cured(scene, fault, UNDER_WAY)


@pytest.mark.fault("CONNACK refused")
def test_a_broker_that_refuses_the_connection(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=1)
    scene.service.script.connack = 5
    check_reconnect(scene, fault, "the broker refused the connection: this device is not authorized")
    scene.service.script.connack = 0
    check_cured(scene, fault)


@pytest.mark.fault("subscription refused")
def test_a_broker_that_refuses_the_subscription(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=1)
    scene.service.script.suback = 0x80
    check_reconnect(scene, fault, "not connected.*the broker refused the subscription to .*/accepted")
    scene.service.script.suback = 0
    check_cured(scene, fault)


@pytest.mark.fault("publish denied by closing the connection")
def test_a_broker_that_closes_the_connection_on_each_report(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=1)
    scene.drip()
    scene.service.script.close_on_publish = True
    line = scene.wait_for_line("right after the report; let the broker's access rules allow this device to write ", 10)
    fault.logged(line.text)
    again = scene.wait_for_line("counts the traffic of report", 10, since=line.moment)  # it is closed again
    scene.wait_for_line("connected to", 10, since=again.moment)
    scene.service.script.close_on_publish = False
    check_cured(scene, fault, NOTICED)
    assert 1 == len(scene.find("access rules")), "the same sentence is logged once"


@pytest.mark.fault("same client ID taken over repeatedly")
def test_another_client_that_takes_the_client_id_again_and_again(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(service=MosquittoService, interval=5)
    scene.drip()
    with Rival(scene):
        line = scene.wait_for_line("three connections in a row were lost soon", 40)
        fault.logged(line.text)
    assert f"does another client use the client ID {THING}?" in line.text
    check_cured(scene, fault, NOTICED, twice=None)  # a verdict may have gone to the other one


@pytest.mark.timeout(180)
@pytest.mark.fault("network cut (link down) for 40 s")
def test_a_cable_that_is_unplugged(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=5)
    scene.network.unplug()
    check_cut(scene, fault, 40, r"not connected.*the network cannot be used \(Network is unreachable\)")
    scene.network.plug_in()
    check_cured(scene, fault, twice=None)  # the kernel may deliver what was given up


@pytest.mark.timeout(180)
@pytest.mark.fault("network cut (packets swallowed) for 50 s")
def test_a_network_that_swallows_every_packet(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=5)
    scene.network.swallow()
    check_cut(scene, fault, 50, "not connected.*the broker did not answer in time; look for a firewall")
    scene.network.deliver()
    check_cured(scene, fault, UNDER_WAY, twice=None)


@pytest.mark.fault("network cut for 6 s while a report waits")
def test_a_cut_that_ends_before_the_verdict_is_given_up_costs_nothing(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene()
    scene.drip()
    scene.network.swallow()
    time.sleep(6)
    scene.network.deliver()
    check_cured(scene, fault, UNDER_WAY)
    fault.logged(scene.find(r"accepted after [1-9]\d*\.\d+ s")[0].text)
    assert [] == scene.find("WARNING|ERROR")


@pytest.mark.timeout(180)
@pytest.mark.fault("DNS gone and back")
def test_a_name_server_that_falls_silent(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(begin=False, interval=5, endpoint=HOST_NAME)
    with scene.network.name_server(HOST_NAME) as names:
        scene.begin()
        names.silent = True
        check_reconnect(scene, fault, f"not connected.*the name {HOST_NAME} cannot be resolved .*check .*the DNS", 30)
        names.silent = False
        check_cured(scene, fault, UNDER_WAY)


@pytest.mark.fault("broker certificate for another host")
def test_a_server_that_shows_a_certificate_for_another_host(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=1)
    scene.stop_broker()
    scene.service.files = scene.authority.issue("elsewhere", ["elsewhere.test"])
    scene.start_broker()
    check_reconnect(scene, fault, r"the server's certificate was not accepted \(.* mismatch.*\); .*endpoint must be")
    scene.stop_broker()
    scene.service.files = scene.authority.issue("broker", HOSTS)
    scene.start_broker()
    check_cured(scene, fault)


def check_reconnect(scene: Scene, fault: Fault, sentence: str, within: float = 20) -> None:
    """Let the daemon connect anew, and see that it fails with this sentence."""
    scene.drip()
    scene.service.drop()
    fault.logged(scene.wait_for_line(f"WARNING : .*{sentence}", within).text)


def check_cut(scene: Scene, fault: Fault, seconds: float, sentence: str) -> None:
    """See that a report meets silence, and then every attempt to connect, until `seconds` have passed."""
    healed = time.monotonic() + seconds
    scene.drip()
    fault.logged(scene.wait_for_line("the broker no longer answers; a new connection is being made", seconds).text)
    fault.logged(scene.wait_for_line(f"WARNING : {sentence}", healed - time.monotonic()).text)
    time.sleep(max(0.0, healed - time.monotonic()))
