"""Programs that do at once what they would do after a second or more, for tests of something else than that time."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

PUBLISHER = Path(__file__).resolve().parent.parent / "amazon-defender-publisher"

# Until a daemon connects and reports first, and until it looks again for the connection that a report needs.
SOON = {
    "defender_daemon.backoff.FIRST_SHARE": 0.0003,
    "defender_publisher.schedule.FIRST_AFTER": 0.1,
    "defender_publisher.schedule.FIRST_WITHIN": 0.2,
    "defender_publisher.publisher.OFFLINE_CHECK": 0.1,
}
# Until it connects again.
RECONNECTS = {"defender_daemon.backoff.SHORTEST": 0.1, "defender_daemon.backoff.LAST": 0.2}
# Until it looks whether it hangs, or only a new start helps.
LOOKS = {"defender_daemon.watchdog.LONGEST_SLEEP": 0.2}
# Over which a single report measures what takes time.
ONCE = {"defender_publisher.questions.FIRST_GROWTH": 0.05}
# In which a check of the doctor waits for what most often does not come, or measures.
CHECKS = {"defender_publisher.doctor.mqtt.FIRST_GROWTH": 0.05, "defender_publisher.doctor.network.ALERT_WITHIN": 0.05}

CHANGED = """
import importlib, json, runpy, sys
sys.path[0] = sys.argv[1]
for name, value in json.loads(sys.argv[2]).items():
    module, _, constant = name.rpartition(".")
    module = importlib.import_module(module)
    getattr(module, constant)
    setattr(module, constant, value)
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def quick(*arguments: object, constants: Mapping[str, float] = SOON, program: Path = PUBLISHER) -> list[str]:
    """Return the command line of a program that has these values in place of its own constants."""
    command = [sys.executable, "-c", CHANGED, program.parent, json.dumps(constants), program, *arguments]
    return list(map(str, command))
