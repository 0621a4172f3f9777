"""Device Defender in a scene: brokers in the cloud that answer reports, and the book of what they took."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from defender_publisher.snapshot import Counters
from demo.authority import Authority, Files
from tests.chaos.network import CLOUD_ADDRESS, Network
from tests.chaos.process import Program
from tests.fakes.scripted_broker import Script, ScriptedBroker, accept, reject, silent

ROOT = Path(__file__).resolve().parent.parent.parent
DETECT = ROOT / "amazon-defender-detect"
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
PORT = 8883
HOST_NAME = "endpoint.iot.test"
HOSTS = (HOST_NAME, CLOUD_ADDRESS)
READY_WITHIN = 20.0  # seconds for a broker to start on a busy machine

ACL = """\
pattern write $aws/things/%u/defender/metrics/json
pattern read $aws/things/%u/defender/metrics/+/accepted
pattern read $aws/things/%u/defender/metrics/+/rejected
user detect
topic readwrite $aws/things/#
"""

Messages = list[tuple[str, bytes]]


class Report(NamedTuple):
    """A report that arrived: when (monotonic), its growth (a first one has none), and whether it was taken."""

    moment: float
    report_id: int
    growth: Counters | None
    taken: bool


class Verdict(NamedTuple):
    """What becomes of one report: whether it is taken, and the answer, if any, after `late` seconds."""

    taken: bool
    answer: Callable[[str, bytes], Messages]
    late: float = 0.0


ACCEPT = Verdict(True, accept)
SILENT = Verdict(True, silent)  # accepted, but nobody hears of it


def rejected(code: str, message: str = "Malformed metrics report") -> Verdict:
    """Return the verdict that refuses a report."""
    return Verdict(False, reject(code, message))


def read_report(payload: bytes, taken: bool) -> Report:
    """Return what the book holds of a report in JSON with long field names."""
    content = json.loads(payload)
    growth = content.get("metrics", {}).get("network_stats")
    return Report(time.monotonic(), content["header"]["report_id"], Counters(**growth) if growth else None, taken)


class Service(Protocol):
    """Device Defender, as far as a scene can see it."""

    @property
    def reports(self) -> list[Report]:
        """Every report that arrived so far, in order."""

    def start(self) -> None:
        """Begin to serve."""

    def stop(self) -> None:
        """Be gone at once, as by a crash; a service that is gone stays so."""


class ScriptedService:
    """The scripted broker in the cloud: behaves as `script` says, and answers the next reports by `verdicts`."""

    def __init__(self, network: Network, authority: Authority, directory: Path) -> None:
        self.script = Script(answer=self._judge)
        self.verdicts: deque[Verdict] = deque()  # of the next reports
        self.verdict = ACCEPT  # of all after those
        self.reports: list[Report] = []
        self.files: Files = authority.issue("broker", HOSTS)
        self.broker: ScriptedBroker | None = None
        self._network, self._authority = network, authority

    def start(self) -> None:
        """Listen, and answer as the script says."""
        listener = self._network.listen(PORT)
        files = self.files
        self.broker = ScriptedBroker(
            files.certificate, files.private_key, self._authority.certificate, listener=listener
        )
        self.broker.script = self.script

    def stop(self) -> None:
        """Close the listener and every connection."""
        if self.broker is not None:
            self.broker.close()
            self.broker = None

    def drop(self) -> None:
        """Close every connection, and take new ones."""
        if self.broker is not None:
            self.broker.drop()

    def _judge(self, topic: str, payload: bytes) -> Messages:
        verdict = self.verdicts.popleft() if self.verdicts else self.verdict
        self.reports.append(read_report(payload, verdict.taken))
        messages = verdict.answer(topic, payload)
        if not verdict.late:
            return messages
        for message in messages:
            timer = threading.Timer(verdict.late, self._say, message)
            timer.daemon = True
            timer.start()
        return []

    def _say(self, topic: str, payload: bytes) -> None:
        if self.broker is not None:
            self.broker.say(topic, payload)


class MosquittoService:
    """mosquitto and amazon-defender-detect as processes; Detect's own log is the book."""

    def __init__(self, network: Network, authority: Authority, directory: Path) -> None:
        self._network, self._authority, self._directory = network, authority, directory
        self._broker: Program | None = None
        self._detects: list[Program] = []
        self._config = self._write_config()

    @property
    def reports(self) -> list[Report]:
        """Every report that any of the Detects has judged."""
        return [report for detect in self._detects for report in _judged(detect)]

    def start(self) -> None:
        """Start both; the device is let through once both are ready, so that no report finds only one of them."""
        self._network.swallow()
        self._broker = Program(self._network.cloud, [MOSQUITTO, "-c", self._config])
        self._broker.wait_for_line("running", READY_WITHIN)
        files = self._authority.issue("detect")
        self._detects.append(
            Program(
                self._network.cloud,
                [
                    *(sys.executable, DETECT, "--debug", "--endpoint", CLOUD_ADDRESS, "--port", PORT),
                    *("--minimum-interval", 1, "--root-ca", self._authority.certificate),
                    *("--certificate", files.certificate, "--private-key", files.private_key),
                ],
            )
        )
        self._detects[-1].wait_for_line("is ready on", READY_WITHIN)
        self._network.deliver()

    def stop(self) -> None:
        """Kill both."""
        for program in (self._broker, *self._detects):
            if program is not None:
                program.kill()

    def freeze(self) -> None:
        """Stop the broker with SIGSTOP: the kernel goes on acknowledging what the device sends."""
        assert self._broker is not None
        self._broker.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the broker go on."""
        assert self._broker is not None
        self._broker.signal(signal.SIGCONT)

    def _write_config(self) -> Path:
        files = self._authority.issue("mosquitto", HOSTS)
        (self._directory / "acl").write_text(ACL)
        config = self._directory / "mosquitto.conf"
        config.write_text(
            f"listener {PORT} {CLOUD_ADDRESS}\ncafile {self._authority.certificate}\ncertfile {files.certificate}\n"
            f"keyfile {files.private_key}\nrequire_certificate true\nuse_identity_as_username true\n"
            f"acl_file {self._directory / 'acl'}\nset_tcp_nodelay true\nuser root\n"
        )
        return config


def _judged(detect: Program) -> list[Report]:
    """Read Detect's log: a line with the verdict, then one with the report."""
    lines = list(detect.lines)
    reports = []
    for verdict, content in zip(lines, lines[1:]):
        judged = re.search(r": report \S+ of \d+ bytes (accepted|rejected)", verdict.text)
        if judged:
            with contextlib.suppress(AttributeError):  # the line with the report is still to come
                payload = ast.literal_eval(re.search(r"(b'.*)$", content.text)[1])  # type: ignore[index]
                report = read_report(payload, judged[1] == "accepted")
                reports.append(report._replace(moment=verdict.moment))
    return reports
