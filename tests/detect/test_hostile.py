"""Whatever a stranger sends is rejected or evaluated, soon and in little memory, and never raises another's alarm."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from defender_detect.alerts.alerts import Alerts
from defender_detect.evaluate.alarms import ALARM_CLEARED, ALARM_INVALIDATED, IN_ALARM, Event
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, judge
from defender_detect.profiles import Profile, parse_profile
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.receiver import Receiver
from defender_detect.service import Service
from defender_detect.store.packing import pack_values, unpack_values
from defender_detect.store.store import Store
from demo.authority import Authority
from device_defender.profile_rules import find_profile_problems
from tests.examples import examples

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = 1_800_000_000.0
STEP = 300.0  # seconds between two reports of a thing
LARGEST = 128 * 1024  # bytes of a report
MOST_CALLS = 10  # of functions, for each byte of a report, whatever is in it: the work grows with the report
CALLS_AT_ALL = 2_000  # for the smallest report
CIDRS = {"cidrs": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]}
LIMITS = [  # a behavior for every metric and kind of value
    ("bytes-out", "aws:all-bytes-out", "less-than", {"count": 1000}, {"durationSeconds": 300}),
    ("bytes-in", "aws:all-bytes-in", "greater-than-equals", {"count": 0}, {"durationSeconds": 3600}),
    ("packets", "aws:all-packets-in", "less-than", {"count": 1000}, {}),
    ("how-many-ports", "aws:num-listening-tcp-ports", "less-than", {"count": 10}, {}),
    ("how-many-connections", "aws:num-established-tcp-connections", "less-than", {"count": 10}, {}),
    ("ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22]}, {}),
    ("no-ports", "aws:listening-udp-ports", "not-in-port-set", {"ports": [53]}, {}),
    ("to", "aws:destination-ip-addresses", "in-cidr-set", CIDRS, {}),
    ("not-to", "aws:destination-ip-addresses", "not-in-cidr-set", CIDRS, {}),
    ("number", "m", "less-than", {"number": 75}, {}),
    ("numbers", "m", "in-set", {"numbers": [1, 2.5]}, {}),
    ("no-numbers", "m", "not-in-set", {"numbers": [3]}, {}),
    ("strings", "m", "in-set", {"strings": ["a", "::"]}, {}),
    ("no-strings", "m", "not-in-set", {"strings": ["b"]}, {}),
    ("cidrs", "m", "in-cidr-set", CIDRS, {}),
    ("no-cidrs", "m", "not-in-cidr-set", CIDRS, {}),
    ("cpu", "cpu", "less-than-equals", {"number": 75}, {"consecutiveDatapointsToAlarm": 3}),
]
BEHAVIORS = [
    {"name": name, "metric": metric, "criteria": {"comparisonOperator": operator, "value": value, **more}}
    for name, metric, operator, value, more in LIMITS
]
RANK = {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p99"}, "durationSeconds": 300}
BEHAVIORS.append({"name": "rank", "metric": "r", "criteria": RANK})  # the one in which all things have a say


def profile() -> Profile:
    document = {"securityProfileName": "everything", "behaviors": BEHAVIORS}
    assert [] == find_profile_problems(document)
    return parse_profile(document)


PROFILE = profile()
HEADER = {"report_id": 1, "version": "1.0"}


def custom(**metrics: Any) -> dict[str, Any]:
    return {"header": HEADER, "custom_metrics": {name: [value] for name, value in metrics.items()}}


def packed(document: Any, encoding: str = "json") -> bytes:
    return cbor2.dumps(document) if encoding == "cbor" else json.dumps(document, separators=(",", ":")).encode()


def measured(block: str, **values: float) -> dict[str, Any]:
    return {"header": HEADER, "metrics": {block: values}}


def different(count: int) -> dict[str, Any]:
    return {"ip_list": [f"::{number:x}" for number in range(count)]}


GOOD: dict[str, Any] = {
    "header": HEADER,
    "metrics": {
        "listening_tcp_ports": {"ports": [{"port": 22, "interface": "lo"}, {"port": 80}], "total": 2},
        "listening_udp_ports": {"ports": [{"port": 53}], "total": 1},
        "network_stats": {"bytes_in": 1, "bytes_out": 2000, "packets_in": 3, "packets_out": 4},
        "tcp_connections": {
            "established_connections": {
                "connections": [{"remote_addr": "[2001:db8::1]:443", "local_port": 5}],
                "total": 1,
            }
        },
    },
    "custom_metrics": {"cpu": [{"number": 80}], "m": [{"ip_list": ["10.0.0.1", "fe80::1%eth0"]}], "r": [{"number": 1}]},
}
BAD = {"cpu": {"number": 99}, "m": {"string_list": ["b"]}}  # in violation of four behaviors


class Detect:
    """Detect with everything but a broker: receiver, service and store."""

    def __init__(self, directory: Path, credentials: Credentials) -> None:
        self.now = NOW
        self.store = Store(directory, interval=60.0, clock=lambda: self.now)
        self._service = Service(Rules([Attachment(PROFILE)]), self.store, Alerts())
        self._receiver = Receiver(Endpoint("127.0.0.1", 1), credentials, clock=lambda: self.now)
        self._receiver.on_accepted = self._service.accept

    def hear(self, thing: str, payload: bytes, encoding: str = "json") -> str:
        """Return "accepted" or "rejected", as the reply's topic says that the thing gets."""
        reply = self._receiver.answer(f"$aws/things/{thing}/defender/metrics/{encoding}", payload)
        assert reply is not None
        where, _, verdict = reply[0].rpartition("/")
        assert f"$aws/things/{thing}/defender/metrics/{encoding}" == where
        return verdict

    def answer(self, topic: str, payload: bytes) -> Any:
        return self._receiver.answer(topic, payload)

    def look_for_silence(self) -> None:
        self._service.look_for_silence(self.now)

    def events(self, thing: str | None = None) -> list[Event]:
        assert self.store.flush()
        return list(self.store.events(0, NOW * 2, thing))


@pytest.fixture(scope="module")
def credentials(authority: Authority) -> Credentials:
    files = authority.issue("detect")
    return Credentials(authority.certificate, files.certificate, files.private_key)


@pytest.fixture
def detect(tmp_path: Path, credentials: Credentials) -> Iterator[Detect]:
    """Detect, with the alarms of a victim on."""
    running = Detect(tmp_path / "state", credentials)
    assert "accepted" == running.hear("victim", packed(custom(m={"number": 80})))
    assert [("number", IN_ALARM)] == [(event.behavior, event.type) for event in running.events()]
    yield running
    running.store.close()


def filled(start: bytes, item: bytes, end: bytes, size: int = LARGEST) -> bytes:
    """Return as many items as a report can hold."""
    room = size - len(start) - len(end)
    return start + item * (room // len(item)) + end


def listed(kind: str, item: str, size: int = LARGEST) -> bytes:
    start, end = packed(custom(m={kind: []})).split(b"[]")
    return filled(start + b"[" + item.encode(), b"," + item.encode(), b"]" + end, size)


def listed_in_cbor(kind: str, item: Any) -> bytes:
    """Return a list of indefinite length."""
    start = packed(custom(m={kind: []}), "cbor")[:-1]
    return filled(start + b"\x9f", cbor2.dumps(item), b"\xff")


def unordinary(payload: bytes) -> bytes:
    """Return a report that has a key nobody knows, and so does not take the shortcut."""
    return payload.replace(b'{"header"', b'{"x":1,"header"', 1)


START = b'{"header":{"report_id":1,"version":"1.0"},'
METRICS, CUSTOM = START + b'"metrics":{', START + b'"custom_metrics":{'
CONNECTION = b'{"remote_addr":"[::]:1"}'
CONNECTIONS = METRICS + b'"tcp_connections":{"established_connections":{"connections":['
REPORTS: dict[str, tuple[str, str, Callable[[], bytes]]] = {  # name -> encoding, verdict, payload
    "nested arrays": ("json", "rejected", lambda: b"[" * LARGEST),
    "nested arrays, closed": ("json", "rejected", lambda: b"[" * (LARGEST // 2) + b"]" * (LARGEST // 2)),
    "nested arrays in a block": ("json", "rejected", lambda: filled(START + b'"metrics":', b"[", b"")),
    "nested arrays nobody looks at": ("json", "accepted", lambda: METRICS + b'"x":' + b"[" * 150 + b"]" * 150 + b"}}"),
    "nested objects": ("json", "rejected", lambda: filled(b"", b'{"metrics":', b"")),
    "nested arrays in CBOR": ("cbor", "rejected", lambda: b"\x81" * LARGEST),
    "nested endless arrays in CBOR": ("cbor", "rejected", lambda: b"\x9f" * LARGEST),
    "nested maps in CBOR": ("cbor", "rejected", lambda: b"\xa1\x00" * (LARGEST // 2)),
    "nested tags in CBOR": ("cbor", "rejected", lambda: b"\xc1" * LARGEST),
    "an array of arrays in CBOR": ("cbor", "rejected", lambda: filled(b"\x9f", b"\x80", b"\xff")),
    "a map of arrays in CBOR": ("cbor", "rejected", lambda: filled(b"\xbf", b"\x80\x80", b"\xff")),
    "an array that claims 2**64 items": ("cbor", "rejected", lambda: b"\x9b" + b"\xff" * 8),
    "a string that claims 2**64 bytes": ("cbor", "rejected", lambda: b"\x7b" + b"\xff" * 8),
    "more than 128 KB": ("json", "rejected", lambda: b" " * LARGEST + packed(GOOD)),
    "NaN": ("cbor", "rejected", lambda: packed(custom(m={"number": float("nan")}), "cbor")),
    "NaN in a list": ("cbor", "rejected", lambda: packed(custom(m={"number_list": [1, float("nan")]}), "cbor")),
    "infinity": ("cbor", "rejected", lambda: packed(custom(m={"number": float("-inf")}), "cbor")),
    "NaN bytes": ("cbor", "rejected", lambda: packed(measured("network_stats", bytes_in=float("nan")), "cbor")),
    "NaN in JSON": ("json", "rejected", lambda: CUSTOM + b'"m":[{"number":NaN}]}}'),
    "1e999": ("json", "rejected", lambda: CUSTOM + b'"m":[{"number":1e999}]}}'),
    "an integer of 128 KB": ("json", "rejected", lambda: filled(CUSTOM + b'"m":[{"number":', b"9", b"}]}}")),
    "a fraction of 128 KB": ("json", "accepted", lambda: filled(CUSTOM + b'"m":[{"number":0.', b"9", b"}]}}")),
    "a string of 128 KB": ("json", "accepted", lambda: filled(CUSTOM + b'"m":[{"string_list":["', b"x", b'"]}]}}')),
    "a report id of 128 KB": ("json", "rejected", lambda: filled(b'{"header":{"report_id":', b"9", b"}}")),
    "a version of 128 KB": ("json", "rejected", lambda: filled(b'{"header":{"report_id":1,"version":"', b"9", b'"}}')),
    "a metric's name of 128 KB": ("json", "rejected", lambda: filled(CUSTOM + b'"', b"m", b'":[{"number":1}]}}')),
    "huge counts": ("json", "accepted", lambda: packed(measured("network_stats", bytes_out=1e308, packets_in=10**39))),
    "huge totals": ("json", "accepted", lambda: packed(measured("listening_tcp_ports", total=10**100))),
    "a zone of 128 KB": ("json", "accepted", lambda: filled(CUSTOM + b'"m":[{"ip_list":["fe80::1%', b"z", b'"]}]}}')),
    "half a character": ("json", "accepted", lambda: packed(custom(m={"string_list": ["\ud800", "a"]}))),
    "half a character in a zone": ("json", "accepted", lambda: packed(custom(m={"ip_list": ["fe80::1%\udc80"]}))),
    "a null in a zone": ("json", "accepted", lambda: packed(custom(m={"ip_list": ["fe80::1%\0\n"]}))),
    "ip lists of garbage": ("json", "accepted", lambda: listed("ip_list", '"127.0.0.1.1"')),
    "an address of dots": ("json", "accepted", lambda: filled(CUSTOM + b'"m":[{"ip_list":["', b"1.", b'"]}]}}')),
    "an address of colons": ("json", "accepted", lambda: filled(CUSTOM + b'"m":[{"ip_list":["', b":", b'"]}]}}')),
    "a remote address": ("json", "rejected", lambda: filled(CONNECTIONS + b'{"remote_addr":"[', b"1", b'"}]}}}}')),
    "connections": ("json", "accepted", lambda: filled(CONNECTIONS + CONNECTION, b"," + CONNECTION, b"]}}}}")),
    "strings": ("json", "accepted", lambda: listed("string_list", '""')),
    "strings, the long way": ("json", "accepted", lambda: unordinary(listed("string_list", '""', LARGEST - 6))),
    "100,000 strings": ("cbor", "accepted", lambda: listed_in_cbor("string_list", "")),
    "numbers": ("json", "accepted", lambda: listed("number_list", "1")),
    "fractions": ("json", "accepted", lambda: listed("number_list", "1.5")),
    "100,000 numbers": ("cbor", "accepted", lambda: listed_in_cbor("number_list", 1)),
    "100,000 numbers and a string": ("cbor", "rejected", lambda: listed_in_cbor("number_list", 1)[:-3] + b"\x61a\xff"),
    "addresses": ("json", "accepted", lambda: listed("ip_list", '"::"')),
    "addresses in CBOR": ("cbor", "accepted", lambda: listed_in_cbor("ip_list", "::")),
    "different addresses in CBOR": ("cbor", "accepted", lambda: packed(custom(m=different(18_000)), "cbor")),
    "custom metrics": ("json", "accepted", lambda: packed(custom(**{f"m{i}": {"number": i} for i in range(4_500)}))),
    "a metric like AWS's": ("json", "rejected", lambda: packed(custom(**{"aws:all-bytes-out": {"number": 9}}))),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_whatever_it_is_has_its_verdict_in_work_that_grows_with_it(name: str, detect: Detect) -> None:
    encoding, expected, make = REPORTS[name]
    payload = make()
    assert len(payload) <= LARGEST or name == "more than 128 KB"
    assert expected == detect.hear("another", payload, encoding)
    with counted_calls() as calls:
        assert expected == detect.hear("stranger", payload, encoding)
    assert len(calls) <= MOST_CALLS * len(payload) + CALLS_AT_ALL
    assert {"stranger", "another", "victim"} >= {event.thing for event in detect.events()}
    assert [IN_ALARM] == [event.type for event in detect.events("victim")]
    known = ["victim"] if expected == "rejected" else ["another", "stranger", "victim"]
    assert known == [thing.name for thing in detect.store.things()]


def test_an_alarm_is_raised_and_cleared_whatever_the_violation_is_made_of(detect: Detect) -> None:
    for payload in (packed(custom(m={"string_list": ["\ud800"]})), packed(custom(m={"string_list": ["a"]}))):
        assert "accepted" == detect.hear("stranger", payload)
        detect.now += STEP
    alarms = [(event.behavior, event.type) for event in detect.events("stranger")]
    assert [("strings", IN_ALARM), ("strings", ALARM_CLEARED)] == alarms


def test_a_report_id_that_no_database_can_hold_does_not_cost_others_their_reports(detect: Detect) -> None:
    assert "accepted" == detect.hear("stranger", packed({**GOOD, "header": {"report_id": 10**39, "version": "1.0"}}))
    assert "accepted" == detect.hear("honest", packed(GOOD))
    assert detect.store.flush()
    assert [("honest", 1), ("stranger", 2**63 - 1), ("victim", 1)] == [each[:2] for each in detect.store.things()]
    assert [80] == [value for _, value in detect.store.values("honest", "cpu", 0, NOW * 2)]


# What is said in another's name, again, or too late


@pytest.mark.parametrize("place", [(), ("header",), ("metrics",), ("custom_metrics", "cpu", 0)])
@pytest.mark.parametrize("key", ["thingName", "thing_name", "thing", "clientId"])
def test_a_report_that_names_another_thing_is_of_the_one_whose_topic_it_came_on(
    place: tuple[Any, ...], key: str, detect: Detect
) -> None:
    document = copy.deepcopy(GOOD)
    inner = document
    for step in place:
        inner = inner[step]
    inner[key] = "victim"
    assert "accepted" == detect.hear("stranger", packed(document))
    assert {"stranger"} == {event.thing for event in detect.events()[1:]}


@pytest.mark.parametrize(
    "topic",
    ["$aws/things/stranger/../victim/defender/metrics/json", "$aws/things/victim/shadow/defender/metrics/json",
     "$aws/things/+/defender/metrics/json", "$aws/things/victim\x7f/defender/metrics/json",
     "$aws/things//defender/metrics/json",
     "$aws/things/victim\n/defender/metrics/json", "$aws/things/victim/defender/metrics/json\n",
     "$aws/things/$populations/defender/metrics/json", f"$aws/things/{'v' * 129}/defender/metrics/json"],
)  # fmt: skip
def test_a_name_that_no_thing_can_have_is_nobodys(topic: str, detect: Detect) -> None:
    assert detect.answer(topic, packed(custom(m={"number": 1}))) is None
    assert [IN_ALARM] == [event.type for event in detect.events()]


def test_a_report_that_is_replayed_within_the_interval_counts_once(detect: Detect) -> None:
    """Each time after the first it comes too soon, and is rejected."""
    payload, topic = packed(custom(cpu={"number": 99})), "$aws/things/stranger/defender/metrics/json"
    verdicts = []
    for _ in range(30):
        reply = detect.answer(topic, payload)
        verdicts.append(reply and reply[0].rpartition("/")[2])
        detect.now += 20
    assert {"accepted": 2, "rejected": 28} == Counter(verdicts)
    assert [] == detect.events("stranger")  # it takes three


def test_reports_that_come_while_the_clock_is_set_to_and_fro_count_by_its_time(detect: Detect) -> None:
    for seconds in (0, -10 * STEP, -20 * STEP, 5 * STEP, 2 * 24 * 3600, -STEP):
        detect.now = NOW + seconds
        assert "accepted" == detect.hear("stranger", packed({**GOOD, "header": {"report_id": 9, "version": "1.0"}}))
        detect.look_for_silence()
    assert {"stranger", "victim"} == {event.thing for event in detect.events()}
    for violation in detect.store.active():
        assert violation.thing == "stranger"  # the victim's is void after two days


def test_a_custom_metric_may_change_its_type_from_report_to_report(detect: Detect) -> None:
    values: list[dict[str, Any]] = [
        {"number": 80}, {"number_list": [3]}, {"string_list": ["b"]}, {"ip_list": ["10.0.0.1"]}, {"ip_list": ["::9"]},
        {"string_list": ["10.0.0.1", "x"]}, {"number_list": []}, {"string_list": []}, {"number": 1},
        {"number_list": [1]},
    ]  # fmt: skip
    for value in values:
        assert "accepted" == detect.hear("stranger", packed(custom(m=value)))
        detect.now += STEP
    found = [(int((event.time - NOW) // STEP), event.behavior, event.type) for event in detect.events("stranger")]
    began = [
        (0, "number"),
        (1, "numbers"),
        (1, "no-numbers"),
        (2, "strings"),
        (2, "no-strings"),
        (3, "no-cidrs"),
        (4, "cidrs"),
    ]
    assert began == [each[:2] for each in found if each[2] == IN_ALARM]
    assert {(6, "numbers"), (6, "no-numbers"), (6, "cidrs"), (8, "number")} <= {
        each[:2] for each in found if each[2] == ALARM_CLEARED
    }


@pytest.mark.parametrize(
    "name", ["AWS:all-bytes-out", "Aws:all-bytes-out", "aws_all-bytes-out", ":aws:all-bytes-out", "awsx:"]
)
def test_a_custom_metric_whose_name_is_like_one_of_awss_is_none_of_those(name: str, detect: Detect) -> None:
    assert "accepted" == detect.hear("stranger", packed(custom(**{name: {"number": 10**6}})))
    assert [] == detect.events("stranger")


@pytest.mark.parametrize("ordinary", [True, False])
def test_of_keys_that_come_twice_the_last_one_counts(ordinary: bool, detect: Detect) -> None:
    payload = (
        CUSTOM
        + b'"m":[{"number":80}],"m":[{"number":1,"number":99}],"m":[{"number":5}]},'
        + b'"custom_metrics":{"m":[{"number":7}]}}'
    )
    assert "accepted" == detect.hear("stranger", payload if ordinary else unordinary(payload))
    in_cbor = bytes.fromhex("a2") + cbor2.dumps("header") + cbor2.dumps(HEADER) + cbor2.dumps("custom_metrics")
    pairs = (("m", [{"number": 80}]), ("m", [{"number": 6}]))
    in_cbor += bytes.fromhex("a2") + b"".join(cbor2.dumps(each) for pair in pairs for each in pair)
    assert "accepted" == detect.hear("another", in_cbor, "cbor")
    assert [] == detect.events("stranger") + detect.events("another")
    assert [7] == [value for _, value in detect.store.values("stranger", "m", 0, NOW * 2)]
    assert [6] == [value for _, value in detect.store.values("another", "m", 0, NOW * 2)]


# Memory


@contextlib.contextmanager
def counted_calls() -> Iterator[Sequence[None]]:
    """Count the calls of functions, those in C as well."""
    calls: list[None] = []

    def count(_frame: Any, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            calls.append(None)

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def grown_by(act: Callable[[], None]) -> int:
    """Return how many bytes more there are in use after it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def observe(detector: Detector, thing: str, payload: bytes, encoding: str = "json", now: float = NOW) -> Any:
    verdict = judge(ReportTopic(thing, encoding), payload, now)
    return detector.observe(thing, verdict.report, now) if isinstance(verdict, Accepted) else None


@pytest.mark.parametrize(
    "value",
    [{"string_list": [f"{i:x>20}" for i in range(5_000)]}, {"number_list": list(range(10**6, 10**6 + 10_000))},
     {"ip_list": [f"2001:db8:1:2::{i:x}" for i in range(1, 5_000)]}],
    ids=lambda value: next(iter(value)),
)  # fmt: skip
def test_alarms_over_the_longest_lists_take_no_more_memory_than_others(value: dict[str, Any]) -> None:
    detector, payload = Detector(Rules([Attachment(PROFILE)])), packed(custom(m=value))
    observe(detector, "first", payload)

    def report() -> None:
        for number in range(20):
            found = observe(detector, f"made-up-{number}", payload)
            assert found.events

    assert grown_by(report) < 20 * 4_000


def test_addresses_with_the_longest_zones_are_not_remembered() -> None:
    detector = Detector(Rules([Attachment(PROFILE)]))
    observe(detector, "first", packed(custom(m={"ip_list": ["fe80::1"]})))

    def report() -> None:
        for number in range(30):
            zone = f"{number}" * 30_000
            assert observe(detector, "stranger", packed(custom(m={"ip_list": [f"fe80::1%{zone}"]})))
            address = {"remote_addr": f"[fe80::1%{zone}]:443"}
            metrics = {"tcp_connections": {"established_connections": {"connections": [address]}}}
            assert observe(detector, "stranger", packed({"header": HEADER, "metrics": metrics}))

    assert grown_by(report) < 100_000


def test_made_up_names_do_not_grow_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    detector = Detector(Rules([Attachment(PROFILE)]), most_things=100)

    def report(first: int) -> Callable[[], None]:
        def report() -> None:
            for number in range(first, first + 500):
                observe(detector, f"made-up-{number}", packed(custom(**BAD)), now=NOW + number)

        return report

    assert grown_by(report(0)) < 100 * 4_000  # and not 500 * ...
    assert grown_by(report(500)) < 100 * 4_000
    assert 100 == len(detector)


HUNDRED_THOUSAND = """
import sys
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.judge.reading import read_report
from tests.detect.test_hostile import GOOD, NOW, PROFILE
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
detector, before = Detector(Rules([Attachment(PROFILE)]), most_things=100_000), resident()
report = read_report(GOOD).report
for number in range(200_000):
    detector.observe(f"made-up-{number}", report, NOW + number / 1000)
print(len(detector), resident() - before, detector.refused)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measured with Linux's /proc")
def test_200_000_made_up_names_that_are_all_in_alarm_take_at_most_400_mb() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUNDRED_THOUSAND], cwd=ROOT, capture_output=True, text=True, check=True
    )
    remembered, grown, refused = map(int, done.stdout.split())
    assert 100_000 == remembered == refused
    assert grown < 400 * 2**20


# Anything anywhere

NAMES = ["header", "report_id", "version", "metrics", "custom_metrics", "tcp_connections", "established_connections",
         "connections", "remote_addr", "local_port", "local_interface", "total", "listening_tcp_ports",
         "listening_udp_ports", "ports", "port", "interface", "network_stats", "bytes_in", "bytes_out", "packets_in",
         "packets_out", "hed", "rid", "v", "met", "cmet", "tc", "ec", "cs", "rad", "lp", "li", "t", "tp", "up", "pts",
         "pt", "if", "ns", "bi", "bo", "pi", "po", "number", "number_list", "string_list", "ip_list", "m", "r", "cpu",
         "aws:all-bytes-out", "", "x y"]  # fmt: skip
ADDRESSES = [
    "10.0.0.1",
    "::",
    "fe80::1%\x00",
    "::ffff:10.0.0.1",
    "10.0.0.1:443",
    "[::1%eth0]:1",
    "0:0",
    "1.2.3.04",
    "\uff11.0.0.1",
]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.integers(),
    st.sampled_from([2**31, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 10**15, 1e15, 10**39, 1e308, 5e-324, -0.0, 22.0]),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4),
    st.sampled_from([*ADDRESSES, "1.0", "a", "b", "\ud800", "\udfff\x00"]),
)  # fmt: skip


def trees(leaves: Any, keys: Any) -> Any:
    """Return the strategy for whatever can be nested, with the keys of reports."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    )


KEYS = st.sampled_from(NAMES)
JSON_TREES = trees(LEAVES, KEYS | st.text(max_size=3))
IN_CBOR = st.one_of(
    LEAVES.filter(lambda leaf: not isinstance(leaf, str) or leaf.isprintable() or leaf == "a"),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), cbor2.undefined, b"", b"\xff"]),
    st.integers(-(2**64), 2**64 - 1),
)
CBOR_TREES = trees(IN_CBOR, KEYS | st.integers(0, 2) | st.booleans() | st.sampled_from([b"m", None, 1.5]))


@st.composite
def spoiled(draw: st.DrawFn, anything: Any) -> Any:
    """Draw a good report in which a few things are anything."""
    report = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        inner: Any = report
        while True:
            key = draw(st.sampled_from(list(inner) if isinstance(inner, dict) else list(range(len(inner)))))
            if not isinstance(inner[key], (dict, list)) or not inner[key] or draw(st.integers(0, 4)) == 0:
                break
            inner = inner[key]
        inner[key] = draw(anything)
        if isinstance(inner, dict) and draw(st.integers(0, 4)) == 0:
            inner[draw(KEYS)] = inner.pop(key)
        if not report:
            return report
    return report


def take(payload: bytes, encoding: str) -> None:
    """Judge and evaluate a report by a stranger, keep what comes of it, and look at everybody's alarms."""
    detector = Detector(Rules([Attachment(PROFILE)]))
    observe(detector, "victim", packed(custom(m={"number": 80})))
    for index in range(2):
        finding = observe(detector, "stranger", payload, encoding, NOW + STEP * index)
        if finding is not None:
            assert "stranger" == finding.thing
            assert {"stranger"} >= {event.thing for event in finding.events}
            detector.restore("stranger", finding.state, NOW + STEP * index, NOW + STEP * index)
            numbers = {name: number for number, name in enumerate(finding.values)}
            assert len(numbers) == len(list(unpack_values(pack_values(finding.values, numbers))))
    found = observe(detector, "victim", packed(custom(m={"number": 1})), now=NOW + STEP)
    assert [ALARM_CLEARED] == [event.type for event in found.events]
    assert [] == [event for each in detector.expire(NOW + STEP) for event in each.events]
    assert {ALARM_INVALIDATED} >= {event.type for each in detector.expire(NOW * 2) for event in each.events}


@given(spoiled(JSON_TREES))
@examples(400)
def test_any_json_in_a_report_is_judged_and_evaluated(document: Any) -> None:
    take(json.dumps(document).encode(), "json")


@given(spoiled(CBOR_TREES))
@examples(300)
def test_any_cbor_in_a_report_is_judged_and_evaluated(document: Any) -> None:
    take(cbor2.dumps(document), "cbor")


@given(JSON_TREES, st.sampled_from(["json", "cbor"]))
@examples(150)
def test_any_tree_is_judged_and_evaluated(document: Any, encoding: str) -> None:
    take(json.dumps(document).encode(), encoding)


@given(st.sampled_from(["json", "cbor"]), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), max_size=4))
@examples(300)
def test_any_bytes_in_a_report_are_judged_and_evaluated(encoding: str, changes: list[tuple[int, bytes]]) -> None:
    payload = packed(GOOD, encoding)
    for place, change in changes:
        at = place % len(payload)
        payload = payload[:at] + change + payload[at + max(1, len(change)) :] or b"\x00"
    take(payload, encoding)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(LIMITS), LEAVES), max_size=8))
@examples(200)
def test_any_value_of_a_custom_metric_is_a_metrics_value_or_a_rejection(reports: list[tuple[str, Any, Any]]) -> None:
    detector = Detector(Rules([Attachment(PROFILE)]))
    for index, (thing, _, leaf) in enumerate(reports):
        for kind in ("number", "number_list", "string_list", "ip_list"):
            payload = packed(custom(m={kind: leaf if kind == "number" else [leaf]}))
            finding = observe(detector, thing, payload, now=NOW + STEP * index)
            if finding is not None:
                assert {thing} >= {event.thing for event in finding.events}
