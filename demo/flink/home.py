"""A private home of Apache Flink: the wheel's own programs and jars, and a configuration that binds to loopback only.

The wheel's own directory stays as it is. `flink-python` has to lie in `lib/`, where the wheel does not have it: thread
mode fails at every restart in the same JVM without it (NoSuchFieldException: loadedLibraryNames).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEARTBEAT, PATIENCE = 1000, 4000  # milliseconds; Flink's own 10 and 50 s would delay a restart by as much
RESTARTS = 20  # of a job, half a second apart
JOB_MANAGER, TASK_MANAGER = "1024m", "1600m"  # of memory, each a JVM
JAVA = "openjdk-17-jre-headless"  # Debian's package
OPENED = (  # what Flink's own configuration opens to it on Java 17
    "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
)  # fmt: skip


class NoFlink(Exception):
    """Flink cannot run here; the text says what to install."""


def find_wheel(python: Path) -> Path:
    """Return where a Python has Apache Flink; raise NoFlink if it has none, or if there is no Java."""
    if not python.exists():
        raise NoFlink(f"Apache Flink is not installed in {python.parent.parent}; run: make install-flink")
    if shutil.which("java") is None:
        raise NoFlink(f"Flink needs Java 17 or 11, and there is no java; on Debian: apt-get install {JAVA}")
    code = "import importlib.util as i; print(i.find_spec('pyflink').submodule_search_locations[0])"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if found.returncode:
        raise NoFlink(f"{python} has no Apache Flink; run: make install-flink")
    return Path(found.stdout.strip())


def make_home(home: Path, wheel: Path, python: Path, settings: Mapping[str, Any]) -> Path:
    """Make a home of Flink's in an empty directory, with `settings` over those that are here; return it."""
    for name in ("opt", "plugins"):
        shutil.copytree(wheel / name, home / name, copy_function=_link)
    shutil.copytree(wheel / "bin", home / "bin")  # they find their home by where they are
    (home / "bin" / "find_flink_home.py").unlink(missing_ok=True)
    (home / "lib").mkdir()
    for jar in [*(wheel / "lib").glob("*.jar"), *(wheel / "opt").glob("flink-python-*.jar")]:
        _link(str(jar), str(home / "lib" / jar.name))
    shutil.copytree(wheel / "conf", home / "conf")
    for name in ("checkpoints", "savepoints", "ha", "log", "pid", "tmp"):
        (home / name).mkdir()
    (home / "conf" / "config.yaml").write_text(write_settings({**make_settings(home, python), **settings}))
    return home


def make_settings(home: Path, python: Path) -> dict[str, Any]:
    """Return the configuration of a cluster whose ports are bound to loopback."""
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
    return {
        "env.java.opts.all": " ".join(opened),
        "env.log.dir": str(home / "log"),
        "env.pid.dir": str(home / "pid"),
        "io.tmp.dirs": str(home / "tmp"),
        "jobmanager.bind-host": "127.0.0.1",
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.memory.process.size": JOB_MANAGER,
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.host": "127.0.0.1",
        "taskmanager.memory.process.size": TASK_MANAGER,
        "taskmanager.numberOfTaskSlots": 1,  # the interpreter's lock is one for all that a JVM runs
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "heartbeat.interval": HEARTBEAT,
        "heartbeat.timeout": PATIENCE,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": RESTARTS,
        "restart-strategy.fixed-delay.delay": "500 ms",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": True,
        "execution.checkpointing.dir": (home / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (home / "savepoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "python.executable": str(python),
        "python.client.executable": str(python),
    }


def write_settings(settings: Mapping[str, Any]) -> str:
    """Return a config.yaml: flat keys, whose values JSON writes as YAML reads them."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
