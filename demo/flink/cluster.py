"""A cluster of Apache Flink on loopback: its processes, which end with it, and what its REST interface says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from demo.flink.home import find_wheel, make_home
from demo.ports import find_free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv" / "flink" / "bin" / "python"
STARTS_WITHIN = 120.0  # seconds; a JVM takes three on an idle machine
LOOK = 0.1  # seconds between two looks
SESSION = 4000  # milliseconds after which ZooKeeper takes a JobManager for dead
JOB_ID = re.compile(r"JobID ([0-9a-f]{32})")
GONE = ("FAILED", "CANCELED", "FINISHED")
Process = subprocess.Popen[bytes]


class ClusterError(Exception):
    """The cluster does not do what was asked of it; the text says where to look."""


class Cluster:
    """JobManager, TaskManagers and, where a second JobManager stands by, ZooKeeper; each is a process of its own."""

    def __init__(self, directory: Path, stands_by: bool = False, python: Path = PYTHON) -> None:
        """Make the cluster's home in a directory; nothing runs yet."""
        self.home, self._python, self._stands_by = directory / "flink", python, stands_by
        self._rest = [find_free_port() for _ in range(1 + stands_by)]
        settings: dict[str, Any] = {"jobmanager.rpc.port": find_free_port(), "rest.port": self._rest[0]}
        if stands_by:
            self._zookeeper = find_free_port()
            settings |= self._make_highly_available()
        make_home(self.home, find_wheel(python), python, settings)
        self.job_managers: dict[int, Process] = {}  # by their REST ports; the first one leads
        self.task_managers: dict[str, Process] = {}  # by their names
        self._others: list[Process] = []

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, task_managers: int = 1) -> None:
        """Start everything, and wait until the TaskManagers have registered."""
        try:
            if self._stands_by:
                self._write_zookeepers()
                self._others.append(self._start("zookeeper.sh", "1"))
            for port in self._rest:
                self._add_job_manager(port)
                self.wait_for(lambda: self.get("/overview"), "the JobManager")  # it leads before the next one is there
            for _ in range(task_managers):
                self.add_task_manager()
            self.wait_for_task_managers(task_managers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process that was started here."""
        processes = [*self.task_managers.values(), *self.job_managers.values(), *self._others]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # ZooKeeper's script stays, and waits for Java
        for process in processes:
            process.wait()

    def add_task_manager(self) -> None:
        """Start a TaskManager with one slot."""
        name = f"task-manager-{len(self.task_managers) + 1}"
        self.task_managers[name] = self._start("taskmanager.sh", f"taskmanager.resource-id={name}")

    def wait_for_task_managers(self, number: int) -> None:
        """Wait until as many TaskManagers have registered."""
        self.wait_for(lambda: self.get("/overview")["taskmanagers"] >= number, f"{number} TaskManagers")

    def kill_worker(self, job: str) -> None:
        """Kill a TaskManager that works for a job, as a machine does that loses its power; start another one."""
        names = sorted(self.workers_of(job))
        if not names:
            raise ClusterError(f"nobody works for job {job}")
        kill(self.task_managers[names[0]])
        self.add_task_manager()

    def kill_leader(self) -> None:
        """Kill the JobManager that leads; the other one takes over."""
        kill(self.job_managers[self._rest[0]])

    def submit(self, properties: Path, savepoint: str | None = None, parallelism: int = 1) -> str:
        """Start the job with a file of properties; return its id."""
        command = [str(self.home / "bin" / "flink"), "run", "-d", "-p", str(parallelism)]
        command += ["-m", f"127.0.0.1:{self._rest[0]}"] if not self._stands_by else []
        command += ["-s", savepoint] if savepoint else []
        command += ["-pym", "defender_detect.flink", "--properties", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), cwd=ROOT, check=False)
        found = JOB_ID.search(done.stdout)
        if found is None:
            raise ClusterError(f"the job could not be started: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return found[1]

    def get(self, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """Return what the REST interface of a JobManager that is alive answers, to GET or, with data, to POST."""
        error: Exception = ClusterError("no JobManager runs")
        for port, process in self.job_managers.items():
            if process.poll() is not None:
                continue
            body = None if data is None else json.dumps(data).encode()
            request = urllib.request.Request(  # noqa: S310 - an address of ours
                f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                    return json.load(answer)
            except (OSError, ValueError) as failed:
                error = failed
        raise error

    def state_of(self, job: str) -> str:
        """Return the state of a job: RUNNING only if all of its tasks run."""
        found = self.get(f"/jobs/{job}")
        tasks = {each["status"] for each in found["vertices"]}
        is_partly = found["state"] == "RUNNING" and not tasks <= {"RUNNING", "FINISHED"}
        return "STARTING" if is_partly else str(found["state"])

    @property
    def address(self) -> str:
        """Where the JobManager that led first shows its pages."""
        return f"http://127.0.0.1:{self._rest[0]}"

    def is_gone(self, job: str) -> bool:
        """Whether a job has ended, however that was."""
        return self.state_of(job) in GONE

    def workers_of(self, job: str) -> set[str]:
        """Return the names of the TaskManagers that work for a job."""
        tasks = self.get(f"/jobs/{job}")["vertices"]
        found = [self.get(f"/jobs/{job}/vertices/{each['id']}/taskmanagers")["taskmanagers"] for each in tasks]
        return {each["taskmanager-id"] for managers in found for each in managers}

    def taken_by(self, job: str, operator: str) -> int:
        """Return how many records an operator of a job has been given since it was started last."""
        tasks = [each for each in self.get(f"/jobs/{job}")["vertices"] if each["name"].startswith(operator)]
        return sum(each["metrics"]["read-records"] for each in tasks)

    def restored(self, job: str) -> int:
        """Return how often a job has begun again at a checkpoint."""
        return int(self.get(f"/jobs/{job}/checkpoints")["counts"]["restored"])

    def completed(self, job: str) -> int:
        """Return how many checkpoints of a job there are since a JobManager leads it."""
        return int(self.get(f"/jobs/{job}/checkpoints")["counts"]["completed"])

    def wait_until_done(self, job: str, seconds: float = 600.0) -> None:
        """Wait until a job has finished; raise ClusterError if it failed."""
        self.wait_for(lambda: self.is_gone(job), f"job {job}", seconds)
        if (state := self.state_of(job)) != "FINISHED":
            exceptions = self.get(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
            raise ClusterError(f"job {job} is {state}: {[each['stacktrace'][:3000] for each in exceptions[:1]]}")

    def stop_with_savepoint(self, job: str, drain: bool = False) -> str:
        """Stop a job with a savepoint, and return where that is."""
        trigger = self.get(f"/jobs/{job}/stop", {"drain": drain})["request-id"]
        found: dict[str, Any] = {}

        def is_done() -> bool:
            found.update(self.get(f"/jobs/{job}/savepoints/{trigger}"))
            return bool(found["status"]["id"] == "COMPLETED")

        self.wait_for(is_done, f"the savepoint of job {job}")
        if "location" not in found["operation"]:
            raise ClusterError(
                f"no savepoint of job {job}: {found['operation']['failure-cause']['stack-trace'][:3000]}"
            )
        self.wait_for(lambda: self.is_gone(job), f"the end of job {job}")
        return str(found["operation"]["location"])

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = STARTS_WITHIN) -> None:
        """Wait until a condition holds, whatever the REST interface says meanwhile; raise ClusterError otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.job_managers and all(each.poll() is not None for each in self.job_managers.values()):
                raise ClusterError(f"no JobManager runs any more; the logs are in {self.home / 'log'}")
            with contextlib.suppress(OSError, ValueError, KeyError, ClusterError):
                if condition():
                    return
            time.sleep(LOOK)
        raise ClusterError(f"still waiting for {what} after {seconds:.0f} s; the logs are in {self.home / 'log'}")

    def complaints(self) -> Iterator[str]:
        """Yield the last lines of every log that speak of an error."""
        for path in sorted((self.home / "log").glob("*.log")):
            lines = [
                line for line in path.read_text(errors="replace").splitlines() if "ERROR" in line or "WARN" in line
            ]
            yield from (f"{path.name}: {line}" for line in lines[-5:])

    def _make_highly_available(self) -> dict[str, Any]:
        return {
            "high-availability.type": "zookeeper",
            "high-availability.storageDir": (self.home / "ha").as_uri(),
            "high-availability.zookeeper.quorum": f"127.0.0.1:{self._zookeeper}",
            "high-availability.zookeeper.client.session-timeout": f"{SESSION} ms",
            "high-availability.zookeeper.client.connection-timeout": f"{SESSION} ms",
        }

    def _add_job_manager(self, port: int) -> None:
        self.job_managers[port] = self._start("jobmanager.sh", f"rest.port={port}", f"rest.bind-port={port}")

    def _start(self, program: str, *settings: str) -> Process:
        """Start one of Flink's programs; its process is Java's in the end, and is in a group of its own."""
        options = [part for each in settings for part in (("-D", each) if "=" in each else (each,))]
        command = [str(self.home / "bin" / program), "start-foreground", *options]
        with (self.home / "log" / f"{program}.out").open("ab") as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.home,
                start_new_session=True,
            )

    def _write_zookeepers(self) -> None:
        lines = {
            "tickTime": SESSION // 4,
            "initLimit": 10,
            "syncLimit": 5,
            "dataDir": self.home / "zookeeper",
            "clientPort": self._zookeeper,
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "server.1": f"127.0.0.1:{find_free_port()}:{find_free_port()}",
        }
        (self.home / "conf" / "zoo.cfg").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def _environment(self) -> dict[str, str]:
        """Return the environment of Flink's programs; thread mode looks for `python` on PATH."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLINK_", "PYFLINK_"))}
        return {
            **kept,
            "PATH": f"{self._python.parent}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "FLINK_CONF_DIR": str(self.home / "conf"),
            "FLINK_HOME": str(self.home),
        }


def kill(process: Process) -> None:
    """Kill a process at once, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.wait()
