"""Faults on the device itself, caused for real: what cannot be done is said once, and everything else goes on."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.scene import Scene
from tests.chaos.table import Fault

NewScene = Callable[..., Scene]
LOOK = 2.5  # seconds: the daemon's look for a connection, and the connecting itself on a busy machine
DISK = 64  # KiB of the small disks that fill up here
SMALL_DISK = 'mount -t tmpfs -o size={}k small "$0" && exec "$@"'

pytestmark = pytest.mark.slow


def on_a_small_disk(directory: Path) -> list[object]:
    """Return the wrapper with which `directory` is a small disk, seen by the daemon only."""
    directory.mkdir(parents=True)
    return ["sh", "-c", SMALL_DISK.format(DISK), directory]


def seen_by_daemon(scene: Scene, path: Path) -> Path:
    """Return where to find a path of the daemon's mount namespace."""
    assert scene.daemon is not None
    return Path(f"/proc/{scene.daemon.process.pid}/root{path}")


def fill(directory: Path) -> Path:
    """Fill the disk; return the file that does."""
    filler = directory / "filler"
    pad(filler)
    return filler


def pad(file: Path) -> None:
    """Let a file grow by empty lines until its disk is full, and the file's last block too."""
    with file.open("ab", buffering=0) as growing, contextlib.suppress(OSError):
        while True:
            growing.write(b"\n")


def in_daemons_mounts(scene: Scene, *command: object) -> None:
    """Run a command that sees the files as the daemon does."""
    assert scene.daemon is not None
    enter = ["nsenter", "--mount", "-t", scene.daemon.process.pid]
    subprocess.run([str(each) for each in (*enter, *command)], check=True)


def check_goes_on(scene: Scene, count: int = 2) -> None:
    """See that reports are accepted although the fault lasts."""
    scene.wait_for_accepted((count + 1) * (scene.interval + LOOK), count=count)


def check_cured(scene: Scene, fault: Fault) -> None:
    """See that a report is accepted within an interval from now, and that no byte is lost."""
    fault.resumed(scene.resumed_within(scene.interval + LOOK))
    scene.settle()
    fault.accounted(scene.assert_accounted())


def check_state_is_kept(scene: Scene, path: Path) -> None:
    """See that a daemon that is killed now goes on where it was."""
    kept = seen_by_daemon(scene, path).read_text()
    assert str(scene.accepted[-1].report_id) in kept


# -- the state directory


@pytest.mark.fault("state directory full")
def test_a_full_state_directory(new_scene: NewScene, tmp_path: Path, fault: Fault) -> None:
    state = tmp_path / "small"
    scene = new_scene(wrapper=on_a_small_disk(state), state_directory=str(state))
    scene.drip()
    filler = fill(seen_by_daemon(scene, state))
    check_state_directory_fails(scene, fault, "No space left on device")
    filler.unlink()
    check_state_directory_is_used_again(scene, fault, state)


@pytest.mark.fault("state directory read-only")
def test_a_state_directory_that_is_read_only(new_scene: NewScene, tmp_path: Path, fault: Fault) -> None:
    state = tmp_path / "small"
    scene = new_scene(wrapper=on_a_small_disk(state), state_directory=str(state))
    scene.drip()
    for options in ("bind", "remount,bind,ro"):  # over the disk itself, which the lock file keeps open for writing
        in_daemons_mounts(scene, "mount", "-o", options, state, state)
    check_state_directory_fails(scene, fault, "Read-only file system")
    in_daemons_mounts(scene, "umount", state)
    check_state_directory_is_used_again(scene, fault, state)


def check_state_directory_fails(scene: Scene, fault: Fault, reason: str) -> None:
    pattern = rf"WARNING : the state directory \S+ cannot be used \({reason}\)"
    fault.logged(scene.wait_for_line(pattern, scene.interval + LOOK).text)
    check_goes_on(scene)
    assert 1 == len(scene.find(pattern))


def check_state_directory_is_used_again(scene: Scene, fault: Fault, state: Path) -> None:
    check_cured(scene, fault)
    check_state_is_kept(scene, state / "state.json")
    fault.logged(scene.wait_for_line("the state directory .* can be used again", 0).text)
    assert [] == scene.find("Traceback|ERROR")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(4096)),
    "JSON of another shape": lambda path: path.write_text('{"thing_name": "rpi-chaos", "baseline": [1, 2]}'),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.fault("state file damaged (truncated, empty, garbage, wrong shape, a directory)")
@pytest.mark.timeout(180)
def test_a_damaged_state(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene(interval=1)
    state_file = scene.state_directory / "state.json"
    pattern = r"WARNING : the state in \S+ is damaged \(.*\): kept as \S+, starting afresh"
    for number, damage in enumerate(DAMAGES.values(), start=1):
        scene.settle()
        scene.stop_daemon()
        damage(state_file)
        scene.start_daemon()
        scene.wait_for_accepted(20)  # without growth, for nothing is known of what was
        assert number == len(scene.find(pattern))
        check_state_is_kept(scene, state_file)
    fault.logged(scene.find(pattern)[0].text)
    scene.drip()
    scene.traffic(100_000)
    check_cured(scene, fault)
    numbers = [report.report_id for report in scene.accepted]
    assert sorted(set(numbers)) == numbers


# -- the log directory


@pytest.mark.fault("log directory full")
def test_a_full_log_directory(new_scene: NewScene, tmp_path: Path, fault: Fault) -> None:
    logs = tmp_path / "small"
    scene = new_scene(begin=False, wrapper=on_a_small_disk(logs), logfile=str(logs / "log"))
    scene.service.start()
    scene.start_daemon()
    deadline = time.monotonic() + 20
    while not scene.accepted:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    log = seen_by_daemon(scene, logs) / "log"
    filler = fill(log.parent)
    pad(log)
    line = scene.wait_for_line("the log file .* cannot be written", 2 * scene.interval + LOOK)
    fault.logged(line.text)
    check_goes_on(scene)  # says standard error
    assert 1 == len(scene.find("cannot be written"))
    assert [] == scene.find("Traceback|Logging error")
    filler.unlink()
    began, before = time.monotonic(), len(scene.accepted)
    while "is written again" not in log.read_text(errors="replace"):
        assert time.monotonic() - began < 2 * scene.interval + LOOK, log.read_text(errors="replace")
        time.sleep(0.05)
    fault.resumed(time.monotonic() - began)
    (line,) = [each for each in log.read_text(errors="replace").splitlines() if "is written again" in each]
    fault.logged(line)
    assert len(scene.accepted) >= before


# -- file descriptors


def descriptors(scene: Scene) -> int:
    assert scene.daemon is not None
    return max(int(name) for name in os.listdir(f"/proc/{scene.daemon.process.pid}/fd")) + 1


@pytest.mark.fault("file descriptors exhausted")
def test_a_daemon_that_may_open_no_file_any_more(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene()
    assert scene.daemon is not None
    pid = scene.daemon.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    scene.drip()
    time.sleep(scene.interval)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    fault.logged(scene.wait_for_line("Too many open files", 2 * scene.interval + LOOK).text)
    time.sleep(2 * scene.interval)
    assert scene.daemon.running
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    check_cured(scene, fault)


@pytest.mark.fault("no descriptor for a new connection")
def test_a_daemon_that_has_no_descriptor_to_connect_with(new_scene: NewScene, fault: Fault) -> None:
    scene = new_scene()
    assert scene.daemon is not None
    pid = scene.daemon.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    scene.drip()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    scene.stop_broker()
    scene.start_broker()
    fault.logged(
        scene.wait_for_line(
            "not connected.*no file can be opened .Too many open files", 2 * scene.interval + 3 * LOOK
        ).text
    )
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    check_cured(scene, fault)


# -- commands of the operator's own

FOREVER = "3333"  # seconds that what never ends sleeps; told from others by that
PATIENCE = 0.5  # seconds that a command is given
COMMANDS: dict[str, tuple[list[str], str]] = {  # what is wrong, the command, and what is said
    "hangs": (["sleep", FOREVER], "sleep did not end within 0.5 seconds"),
    "ignores": (["sh", "-c", f"trap '' TERM INT HUP; sleep {FOREVER}; sleep {FOREVER}"], "sh did not end within 0.5 s"),
    "forks": (["sh", "-c", f"sleep {FOREVER} & echo 42"], "sh did not end within 0.5 seconds"),
    "prints": (["head", "-c", "100000000", "/dev/zero"], "head printed more than 65536 bytes"),
    "complains": (["sh", "-c", "head -c 100000000 /dev/zero >&2; exit 1"], "sh ended with status 1"),
    "missing": (["/no/such/program"], "/no/such/program was not found"),
}
MOST_MEMORY = 4 * 1024  # KiB that 100 MB of output may cost the daemon at its peak


def mounts_of(process: object) -> str:
    """Return what identifies the mount namespace of a process; each daemon of a scene has its own."""
    return os.readlink(f"/proc/{process}/ns/mnt")


def processes_in(mounts: str) -> dict[int, str]:
    """Return the command line of every process in a mount namespace, by its id."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mounts_of(name) == mounts:
                found[int(name)] = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


@pytest.fixture
def swept() -> Iterator[Callable[[Scene], str]]:
    """Return a daemon's mount namespace, and end all that is left in it after the test."""
    namespaces: list[str] = []

    def swept(scene: Scene) -> str:
        assert scene.daemon is not None
        namespaces.append(mounts_of(scene.daemon.process.pid))
        return namespaces[-1]

    yield swept
    for namespace in namespaces:
        for process in processes_in(namespace):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def peak_memory(scene: Scene) -> int:
    """Return the most resident memory that the daemon had so far, in KiB."""
    assert scene.daemon is not None
    status = Path(f"/proc/{scene.daemon.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def metrics_with(*commands: str) -> dict[str, object]:
    broken = {name: {"command": COMMANDS[name][0], "type": "number", "timeout": PATIENCE} for name in commands}
    return {"load_average": {}, "own": {"command": ["echo", "42"], "type": "number"}, **broken}


@pytest.mark.fault("a command hangs, ignores signals, forks and holds its pipe, prints 100 MB, is missing")
def test_commands_that_misbehave_in_every_way(new_scene: NewScene, swept: Callable[[Scene], str], fault: Fault) -> None:
    scene = new_scene(interval=4, custom_metrics=metrics_with(*COMMANDS))
    mounts = swept(scene)
    scene.drip()
    began = len(scene.accepted)
    check_goes_on(scene, 3)
    scene.settle()
    for name, (_, sentence) in COMMANDS.items():
        pattern = rf"custom metric {name} left out of the report: {sentence}"
        assert scene.find(pattern), pattern
        fault.logged(scene.find(pattern)[0].text)
    moments = [report.moment for report in scene.accepted[began:]]
    latest = max(later - earlier for earlier, later in zip(moments, moments[1:]))
    assert latest <= scene.interval * 1.11 + 3 * PATIENCE + 1  # the schedule may take a tenth longer
    assert {"2 custom metrics"} == {re.search(r"\d+ custom metrics", line.text)[0] for line in scene.find("accepted")}
    time.sleep(0.1)
    assert [scene.daemon.process.pid] == list(processes_in(mounts))  # no command is under way now
    fault.accounted(scene.assert_accounted())


@pytest.mark.fault("what misbehaving commands cost in memory")
def test_what_a_command_prints_is_not_held(new_scene: NewScene, fault: Fault) -> None:
    peaks = {}
    for names in ((), ("prints", "complains")):
        scene = new_scene(interval=1, custom_metrics=metrics_with(*names))
        check_goes_on(scene, 5)
        peaks[names] = peak_memory(scene)
    fault.logged("(peak of resident memory: {:,} KiB without, {:,} with them)".format(*peaks.values()))
    without, with_them = peaks.values()
    assert with_them - without <= MOST_MEMORY
