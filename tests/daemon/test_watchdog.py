"""The watchdog's verdict, on a clock in the test's hand; and what the guard does about it."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import pytest

from defender_daemon.errors import HungError
from defender_daemon.watchdog import (
    GIVE_UP,
    LONGEST_SLEEP,
    LOOKS,
    RESET,
    WAIT,
    WELL,
    Guard,
    Watchdog,
    whereabouts,
)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Ward:
    """A watchdog over two jobs that are due every 300 s, and its clock."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.watchdog: Watchdog[str] = Watchdog(600.0, self.clock)
        self.watchdog.beat("report", 5.0)
        self.watchdog.beat("keep_connected", 0.0)

    def run(self, seconds: float, *well: str) -> list[str]:
        """Let time pass in steps of 100 s, in which the jobs named make progress; return each step's verdict."""
        verdicts = []
        for _ in range(int(seconds / 100)):
            self.clock.now += 100
            for job in well:
                self.watchdog.beat(job, 300.0)
            verdicts.append(self.watchdog.judge())
        return verdicts


def test_jobs_that_make_progress_are_well() -> None:
    assert {WELL} == set(Ward().run(100_000, "report", "keep_connected"))


def test_no_progress_for_two_intervals_resets_and_for_one_more_gives_up() -> None:
    verdicts = Ward().run(1100, "keep_connected")
    assert [WELL] * 6 + [RESET, WAIT, WAIT, GIVE_UP, GIVE_UP] == verdicts


def test_a_reset_that_helps_is_the_end_of_it() -> None:
    ward = Ward()
    assert RESET == ward.run(700, "keep_connected")[-1]
    assert {WELL} == set(ward.run(5000, "report", "keep_connected"))
    assert RESET == ward.run(700, "keep_connected")[-1]


def test_a_job_that_is_due_late_is_not_overdue_before() -> None:
    ward = Ward()
    ward.watchdog.beat("report", 4800.0)
    assert {WELL} == set(ward.run(5000, "keep_connected"))
    assert RESET == ward.run(200, "keep_connected")[-1]


def test_a_process_that_was_stopped_itself_blames_nobody() -> None:
    ward = Ward()
    ward.clock.now += 100_000
    assert WELL == ward.watchdog.judge()
    assert [WELL] * 6 + [RESET] == ward.run(700)


@dataclass
class Everything:
    """The transport and the notifier in one, which remember what they were told."""

    watchdog_interval: float | None = None
    needs_restart: str = ""
    told: list[str] = field(default_factory=list)

    def reset(self) -> None:
        self.told.append("reset")

    def alive(self) -> None:
        self.told.append("alive")


def guard_with(world: Everything, clock: Clock) -> Guard:
    guard = Guard(600.0, world, world)  # type: ignore[arg-type]
    guard.watchdog = Watchdog(600.0, clock)
    return guard


def test_the_guard_feeds_the_service_manager_helps_and_gives_up_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    world, clock, hang = Everything(watchdog_interval=30.0), Clock(), threading.Event()
    guard = guard_with(world, clock)
    job = threading.Thread(target=hang.wait, name="report")
    job.start()
    try:
        guard.watchdog.beat(job, 5.0)
        assert 15.0 == guard.look()
        clock.now = 600.0
        guard.look()
        clock.now = 601.0
        guard.look()
        assert ["alive", "alive", "reset"] == world.told
        assert "no progress for 600 s, so a new connection is made: report is at " in caplog.text
        assert "threading.py:" in caplog.text
        clock.now = 901.0
        with pytest.raises(HungError, match=r"a new connection did not help: report is at .*threading.py:\d+ in wait"):
            guard.look()
        assert ["alive", "alive", "reset"] == world.told
    finally:
        hang.set()
        job.join()


def test_without_a_service_manager_the_guard_looks_a_few_times_within_its_patience() -> None:
    assert LONGEST_SLEEP == guard_with(Everything(), Clock()).look() < 600.0 / LOOKS


def test_a_thread_that_is_gone_is_said_to_be() -> None:
    thread = threading.Thread(target=logging.getLogger)
    thread.start()
    thread.join()
    assert "its end: the thread has ended" == whereabouts(thread)


def test_a_transport_that_only_a_new_start_helps_ends_the_program_with_its_reason() -> None:
    guard = guard_with(Everything(needs_restart="the token is not known any longer"), Clock())
    with pytest.raises(HungError, match="the token is not known any longer"):
        guard.look()


def test_where_each_turn_makes_its_own_connection_there_is_nothing_to_renew() -> None:
    world, clock = Everything(), Clock()
    guard = Guard(600.0, world)  # type: ignore[arg-type]
    guard.watchdog = Watchdog(600.0, clock)
    job = threading.Thread(name="send_logs")
    guard.watchdog.beat(job, 5.0)
    clock.now = 600.0
    guard.look()
    clock.now = 601.0
    with pytest.raises(HungError, match=r"no progress for 600 s: send_logs is at "):
        guard.look()
    assert ["alive"] == world.told
