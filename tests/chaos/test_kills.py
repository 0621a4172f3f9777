"""SIGKILL at any moment leaves the old state or the new one, and costs no byte: what may be counted twice is said."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from defender_publisher.snapshot import Counters
from defender_publisher.state import Baseline, State, StateFile
from tests.chaos.kills import RECEIPT, THING, report_until_killed
from tests.chaos.scene import Scene
from tests.chaos.service import ACCEPT
from tests.chaos.table import Fault

COUNTED_AGAIN = r"counts the traffic of report (\d+) again"
FEW, KILLS = 20, 200  # in make test, and where all faults are caused
LONGEST = 0.012  # seconds that a process lives once it reports; a report takes about two of them

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@contextmanager
def reporting(directory: Path, log_file: Path) -> Iterator[tuple[int, int]]:
    """Fork a publisher; yield its id and the pipe with its receipts, once it reports."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            report_until_killed(directory, writing, log_file)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert (0, 0) == RECEIPT.unpack(os.read(reading, RECEIPT.size))
        yield pid, reading
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


def receipts_of(descriptor: int) -> list[tuple[int, int]]:
    """Return all that is in the pipe, whose writer has ended."""
    content = b""
    while chunk := os.read(descriptor, 65536):
        content += chunk
    assert len(content) % RECEIPT.size == 0
    return list(RECEIPT.iter_unpack(content))


def kill_once(directory: Path, log_file: Path, chance: random.Random) -> list[tuple[int, int]]:
    """Let a publisher report until a random moment; return the reports that were received."""
    with reporting(directory, log_file) as (pid, receipts):
        time.sleep(chance.uniform(0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        return receipts_of(receipts)


def check_state(state: State, before: State, received: list[tuple[int, int]]) -> None:
    """Check that a killed publisher left its last state or the one before that, as far as its reports tell."""
    assert THING == state.thing_name
    last = max((report_id for report_id, _ in received), default=before.last_report_id)
    assert state.last_report_id >= last  # a report is written down before it goes out
    assert state.unsettled in (None, state.last_report_id)
    assert counter_of(state) >= counter_of(before)


def counter_of(state: State) -> int:
    assert state.baseline is not None
    return state.baseline.interfaces["eth0"].bytes_in


def counted_again(log_file: Path) -> set[int]:
    """Return the reports whose traffic a later one counts again: their verdict was lost, or they never went out."""
    return {int(number) for number in re.findall(COUNTED_AGAIN, log_file.read_text())}


ALL = pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.fault(f"SIGKILL at {KILLS} random moments")])


@pytest.mark.parametrize("kills", [FEW, ALL])
def test_kills_at_random_moments_leave_a_state_that_loads_and_lose_no_byte(
    tmp_path: Path, fault: Fault, kills: int
) -> None:
    state_file, log_file = tmp_path / "state" / "state.json", tmp_path / "log"
    store = StateFile(state_file.parent)
    state = first = State(THING, baseline=Baseline(0.0, "boot", {"eth0": Counters(time.monotonic_ns(), 0, 0, 0)}))
    store.save(first)
    chance = random.Random()
    received: list[tuple[int, int]] = []
    growth: dict[int, int] = {}
    again: set[int] = set()
    # However few there are to be, some cost a verdict, and some come before the report goes out.
    while kills > 0 or not (again & set(growth) and again - set(growth)):
        kills -= 1
        seen = kill_once(state_file.parent, log_file, chance)
        before, state = state, msgspec.json.decode(state_file.read_bytes(), type=State)
        check_state(state, before, seen)
        received += seen
        growth, again = dict(received), counted_again(log_file)
    assert sorted(growth) == [report_id for report_id, _ in received]  # so no id came twice
    assert "damaged" not in log_file.read_text()
    open_end = {state.unsettled} - {None}  # of which the next start would say so
    twice = sum(growth.get(report_id, 0) for report_id in again | open_end)
    assert counter_of(state) - counter_of(first) == sum(growth.values()) - twice
    fault.logged(f"report (id) counts the traffic of report (id) again ({len(again)} of {len(growth):,} reports)")
    fault.accounted(f"{sum(growth.values()):,} - {twice:,} twice = {counter_of(state) - counter_of(first):,} B")


# -- the daemon itself

DAEMONS, KILLS_EACH = 4, 50
VERDICT_TAKES = 0.2  # seconds; a kill meanwhile loses the verdict
LIVES = (0.3, 4.0)  # seconds from the start of a daemon to its end; the first report comes after a second or two


def kill_daemon_again_and_again(scene: Scene, chance: random.Random) -> str:
    """Kill the scene's daemon at random moments, start it again each time, and hold its reports against the kernel."""
    state_file = scene.state_directory / "state.json"
    scene.service.verdict = ACCEPT._replace(late=VERDICT_TAKES)  # type: ignore[attr-defined]
    scene.drip()
    for _ in range(KILLS_EACH):
        time.sleep(chance.uniform(*LIVES))
        assert scene.stop_daemon(kill=True) == -signal.SIGKILL
        msgspec.json.decode(state_file.read_bytes(), type=State)
        scene.start_daemon()
    scene.settle(60)
    ids = [report.report_id for report in scene.accepted]
    assert sorted(set(ids)) == ids
    assert [] == scene.find("Traceback|ERROR|damaged")
    return f"{len(ids)} reports; " + scene.assert_accounted(twice=None)


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.fault("SIGKILL of 4 daemons, 200 times")
def test_200_kills_of_running_daemons_lose_no_byte(new_scene: Callable[..., Scene], fault: Fault) -> None:
    scenes = [new_scene(interval=1) for _ in range(DAEMONS)]
    with ThreadPoolExecutor(DAEMONS) as pool:
        accounts = pool.map(kill_daemon_again_and_again, scenes, [random.Random() for _ in scenes])
        for account in accounts:
            fault.accounted(account)
    again = [line for scene in scenes for line in scene.find(COUNTED_AGAIN)]
    assert again, "some kills cost a verdict"
    fault.logged(f"{again[0].text} ({len(again)} times)")
