"""systemd's own journald and journalctl, in a mount namespace: what is logged there arrives, and is read once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
JOURNALD = next((path for path in ("/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald")
                 if os.path.exists(path)), None)  # fmt: skip
SCRIPT = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal || exit 1
"$1" & journald=$!
trap 'kill $journald' EXIT
until echo ready | systemd-cat -t test; do sleep 0.1; done 2>/dev/null
exec 3>&1
"$2" -c "$3"
"""
READ = """
import json, subprocess, sys, time
from defender_cloudwatch.journal import read

def write(text, name="app"):
    subprocess.run(["systemd-cat", "-t", name], input=text, check=True)

def entries(cursor, *units):
    for _ in range(600):  # journald keeps what it gets a moment later
        found = read(cursor)
        if found is not None and len(found.events) >= 3:
            return found
        time.sleep(0.1)
    raise SystemExit("nothing was read")

start = None
while start is None:
    start = read(None)
    time.sleep(0.1)
assert start.events == []
write(b"one\\n")
write(b"caf\\xe9\\n", "latin")
write(b"x" * 10_000 + b"\\n")
found = entries(start.cursor)
print(json.dumps({"messages": [each.message for each in found.events], "more": read(found.cursor) is not None,
                  "times": [each.time for each in found.events]}))
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_journald_has_is_read_once_with_its_own_times() -> None:
    if os.geteuid() != 0 or JOURNALD is None or not all(map(shutil.which, ("unshare", "systemd-cat", "journalctl"))):
        pytest.skip("needs root and systemd")
    command = ["unshare", "-m", "sh", "-c", SCRIPT, "sh", JOURNALD, sys.executable, READ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    texts = [each.partition(": ")[2] for each in found["messages"] if each.startswith(("app[", "latin["))]
    assert ["one", "caf\\xe9", "x" * 10_000] == texts
    assert sorted(found["times"]) == found["times"]
    assert not found["more"]
