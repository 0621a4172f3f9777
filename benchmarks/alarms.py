"""The benchmark of a burst: 10,000 alarms in a minute, to targets of several kinds, counted where they arrive.

Each thing that reports raises three alarms, through evaluation, store and queues, at the grouping that a configuration
has by default. What must hold: at most 30 messages a minute to any target, no alarm lost, and memory that does not grow
with the alarms that wait, beyond what each thing takes by itself.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from defender_detect.attachments import read_rules
from defender_detect.audience import make_alerts
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.judge.reading import read_report
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted
from defender_detect.service import Service, open_store

ALARMS, EACH = 10_000, 3  # in all, and of a report
MINUTE = 60.0  # seconds
MOST_MESSAGES = 30  # to a target in a minute
AFTER = 65.0  # seconds after the burst, for what was gathered
PORTS = 9  # that listen, more than any behavior calls normal
TARGETS = ("/webhook", "/ntfy", "/alertmanager/api/v2/alerts", "topic")


class Heard:
    """When messages arrived at each target, and how many alarms were in them."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {name: [] for name in TARGETS}
        self.alarms: Counter[str] = Counter()
        self.shown: set[tuple[str, str]] = set()  # at Alertmanager, by thing and behavior

    def hear(self, target: str, body: Any) -> None:
        """Count a message."""
        self.times[target].append(time.monotonic())
        if isinstance(body, list):
            self.shown.update((each["labels"]["thing"], each["labels"]["alertname"]) for each in body)
        else:
            self.alarms[target] += body.get("group", {}).get("count", 1)

    def most_in_a_minute(self, target: str) -> int:
        """Return how many messages came within a minute at most."""
        times = self.times[target]
        return max((sum(start <= each < start + MINUTE for each in times) for start in times), default=0)


def main() -> int:
    """Run the benchmark; 1 if anything does not hold."""
    logging.disable(logging.CRITICAL)  # a line for each alarm is not what is measured
    heard = Heard()
    with tempfile.TemporaryDirectory() as directory, listening(heard) as url:
        config = write_config(Path(directory), url)
        memory = raise_alarms(config, heard)
    print(f"{'target':30}{'messages':>10}{'most in a minute':>18}{'alarms':>10}")
    for target in TARGETS:
        alarms = len(heard.shown) if "alertmanager" in target else heard.alarms[target] or "-"
        print(f"{target:30}{len(heard.times[target]):>10}{heard.most_in_a_minute(target):>18}{alarms:>10}")
    print(f"resident memory at each tenth of the burst, MB: {' '.join(f'{each / 1e6:.0f}' for each in memory)}")
    is_few = all(heard.most_in_a_minute(target) <= MOST_MESSAGES for target in TARGETS)
    is_whole = heard.alarms["/webhook"] == heard.alarms["topic"] == len(heard.shown) == reports() * EACH
    print(f"at most {MOST_MESSAGES} messages in a minute: {is_few}; none of {reports() * EACH} alarms lost: {is_whole}")
    return 0 if is_few and is_whole else 1


def reports() -> int:
    """Return how many things report, each once."""
    return -(-ALARMS // EACH)


@contextlib.contextmanager
def listening(heard: Heard) -> Iterator[str]:
    """Run a server on loopback that counts what is posted; yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.hear("/ntfy" if self.path == "/" else self.path, body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def write_config(directory: Path, url: str) -> Config:
    """Write a profile and a configuration with all targets, and read it."""
    behaviors = [
        {
            "name": f"at-most-{most}",
            "metric": "aws:num-listening-tcp-ports",
            "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": most}},
        }
        for most in range(EACH)
    ]
    (directory / "profile.json").write_text(json.dumps({"securityProfileName": "burst", "behaviors": behaviors}))
    alerts = [
        {"type": "webhook", "url": f"{url}/webhook"},
        {"type": "ntfy", "topic": "alarms", "url": url},
        {"type": "alertmanager", "url": f"{url}/alertmanager"},
        {"type": "topic", "topic": "alarms"},
    ]
    document = {"agent": {"state_directory": "state"}, "detect": {"profiles": ["profile.json"], "alerts": alerts}}
    (directory / "detect.json").write_text(json.dumps(document))
    return read_config(directory / "detect.json", {})


def raise_alarms(config: Config, heard: Heard) -> list[int]:
    """Let things report for a minute, and wait for what is gathered; return the memory at each tenth of it."""

    def publish(topic: str, payload: bytes, retain: bool = False) -> None:
        heard.hear("topic", json.loads(payload))

    rules = read_rules(config)
    service = Service(rules, open_store(config), make_alerts(config, publish, rules))
    service.restore(lambda *_: None)
    document = {"header": {"report_id": 1, "version": "1.0"}, "metrics": {"listening_tcp_ports": {"total": PORTS}}}
    report, start, memory = read_report(document).report, time.monotonic(), []
    for number in range(reports()):
        time.sleep(max(0.0, start + MINUTE * number / reports() - time.monotonic()))
        service.accept(Accepted(ReportTopic(f"thing-{number}", "json"), 1, 0, report), time.time())
        if number % (reports() // 10) == 0:
            memory.append(psutil.Process().memory_info().rss)
    time.sleep(AFTER)
    service.close(time.time())
    return memory


if __name__ == "__main__":
    sys.exit(main())
