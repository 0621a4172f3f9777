"""Batches keep every limit of PutLogEvents, and lose, repeat and reorder nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from defender_cloudwatch.batch import EXTRA, LARGEST_BATCH, LONGEST_SPAN, MOST_EVENTS, LogEvent, cut, split
from tests.examples import examples

PIECES = st.sampled_from(["x", "\xe9", "\u20ac", "\U0001f600"])
MESSAGES = st.builds(lambda piece, times: piece * times, PIECES, st.sampled_from([1, 7, 40_000, 262_144, 1_200_000]))
STEPS = st.sampled_from([0, 1, 3_600_000, LONGEST_SPAN - 1, LONGEST_SPAN, 3 * LONGEST_SPAN])


def size_of(batch: Sequence[LogEvent]) -> int:
    return sum(len(each.message.encode()) + EXTRA for each in batch)


@examples(60)
@given(st.lists(st.tuples(STEPS, MESSAGES), max_size=12))
def test_batches_keep_the_limits_and_every_character_in_order(given_: list[tuple[int, str]]) -> None:
    times = accumulate(step for step, _ in given_)
    events = [LogEvent(time, message) for time, (_, message) in zip(times, given_)]
    batches = list(split(events))
    for batch in batches:
        assert 0 < len(batch) <= MOST_EVENTS
        assert size_of(batch) <= LARGEST_BATCH
        assert batch[-1].time - batch[0].time < LONGEST_SPAN
        assert sorted(batch, key=lambda each: each.time) == batch
        assert all(each.message for each in batch)
    assert "".join(each.message for each in events) == "".join(each.message for batch in batches for each in batch)


def test_ten_thousand_events_are_a_batch_and_one_more_begins_another() -> None:
    events = [LogEvent(1, str(number)) for number in range(MOST_EVENTS + 1)]
    assert [MOST_EVENTS, 1] == [len(batch) for batch in split(events)]


def test_an_event_of_the_largest_size_stays_whole() -> None:
    event = LogEvent(1, "x" * (LARGEST_BATCH - EXTRA))
    assert [[event]] == list(split([event]))
    assert [event] == cut([event])


def test_a_batch_is_filled_to_the_last_byte() -> None:
    half = LogEvent(1, "x" * (LARGEST_BATCH // 2 - EXTRA))
    assert [2, 1] == [len(batch) for batch in split([half] * 3)]
