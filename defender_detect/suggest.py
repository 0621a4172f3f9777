"""Suggesting a security profile: what was normal, from what is kept or was recorded, printed as a profile."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from defender_detect.ask.observed import Kept, Observed, Replayed
from defender_detect.ask.replay import Unreadable, open_recording
from defender_detect.ask.suggestion import Suggestion, explain, find_alarms
from defender_detect.config import Config
from defender_detect.config_file import read_groups
from defender_detect.errors import DetectError
from defender_detect.judge.topics import Topics
from defender_detect.store.several import AnyReader

DAY = 24 * 3600.0  # seconds
STEP = 10_000  # reports between two lines of progress
NOTHING_KEPT = (
    "no values are kept of this time: `things` lists who reports, --days looks further back. Only metrics that a "
    "profile of detect.profiles names are kept: configs/security-profiles/network-metrics.json names the network's"
)
NOTHING_RECORDED = "there is no report to learn from in %s (--group leaves out those of other things)"


def suggest(config: Config, source: AnyReader | Path, name: str, days: float, group: str | None) -> None:
    """Print the profile, and on standard error what a person needs to know of it.

    `source` reads what is kept, or is a file of recorded reports; `name` is the profile's, `days` are those that are
    learned from, and `group` is one of detect.thing_groups. Raises DetectError where there is nothing to learn from.
    """
    with open_observed(config, source, days, group) as observed:
        suggestion = Suggestion()
        for each in show_progress(observed):
            suggestion.learn(each)
        if not suggestion.reports:
            raise DetectError(NOTHING_RECORDED % source if isinstance(source, Path) else NOTHING_KEPT)
        document = suggestion.document(name)
        alarms = find_alarms(document, show_progress(observed))
    print(json.dumps(document, indent=2))
    for line in explain(suggestion, document, alarms):
        print(line, file=sys.stderr)


@contextlib.contextmanager
def open_observed(
    config: Config, source: AnyReader | Path, days: float, group: str | None
) -> Iterator[Iterable[Observed]]:
    """Open what there is to learn from; it can be read more than once."""
    things = find_things(config, group)
    if not isinstance(source, Path):
        now = time.time()
        yield Kept(source, now - days * DAY, now + 1, things)
        return
    with open_recording(source, Topics(config.agent.own_topic)) as recording:
        unreadable = sum(isinstance(each, Unreadable) for each in recording.read())
        if unreadable:
            print(f"lines that are no reports: {unreadable}; --replay says of each why", file=sys.stderr)
        yield Replayed(recording, things)


def find_things(config: Config, group: str | None) -> frozenset[str] | None:
    """Return the things of a group, None for all; raise DetectError if there is no such group."""
    if group is None:
        return None
    groups = read_groups(Path(config.detect.thing_groups)) if config.detect.thing_groups else {}
    if group not in groups:
        known = f"; there are {', '.join(sorted(groups))}" if groups else ""
        raise DetectError(f"--group must be a group of detect.thing_groups, got {group}{known}")
    return frozenset(groups[group])


def show_progress(observed: Iterable[Observed]) -> Iterator[Observed]:
    """Yield what there is, and say on a terminal how much that was so far."""
    is_shown = sys.stderr.isatty()
    for number, each in enumerate(observed, 1):
        if is_shown and number % STEP == 0:
            print(f"\r{number} reports ", end="", file=sys.stderr, flush=True)
        yield each
    if is_shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
