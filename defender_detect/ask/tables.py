"""The tables: the queries' answers for people, aligned, in the local time."""

from __future__ import annotations

import io
import json
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from defender_daemon.text import printable
from defender_detect.evaluate.alarms import IN_ALARM
from defender_detect.evaluate.sentences import explain, shown_item

TIME = "%Y-%m-%d %H:%M:%S"
EPOCH = datetime(1970, 1, 1)  # UTC, and shown as such
LONGEST_VALUE = 59  # characters of a value in a table, which then has 80 columns with its time
LEAST_ROOM = 30  # characters beside a time, however narrow the terminal is
NO_WIDTH = 10_000  # characters; what goes into a pipe or a file is not cut
NEWEST = 20  # values of a metric that are listed below its sparkline
BARS = "▁▂▃▄▅▆▇█"
GAP = " "  # no value is not a low one
WIDTH = 60  # characters

Row = Sequence[str]


def violations_table(answer: Mapping[str, Any], width: int | None = None) -> str:
    """Return the active violations: a table, or lines where that is wider than the terminal."""
    rows = [
        (
            printable(each["thingName"]),
            explain_in_words(IN_ALARM, each, each["lastViolationValue"]),
            rule_of(each),
            show_time(each["violationStartTime"]),
            show_time(each["lastViolationTime"]),
        )
        for each in answer["activeViolations"]
    ]
    if not rows:
        return "no alarm is on\n"
    columns = ("THING", "ALARM", "BEHAVIOR", "SINCE", "LAST SEEN")
    lines = ((since, f"{thing}: {words} ({rule}), seen until {last}") for thing, words, rule, since, last in rows)
    return draw_fitting(columns, rows, lines, width)


def events_table(answer: Mapping[str, Any], width: int | None = None) -> str:
    """Return violation events: a table, or lines where that is wider than the terminal."""
    rows = [
        (
            show_time(each["violationEventTime"]),
            each["violationEventType"],
            printable(each["thingName"]),
            explain_in_words(each["violationEventType"], each, each["metricValue"]),
            rule_of(each),
        )
        for each in answer["violationEvents"]
    ]
    if not rows:
        return "no violation in this time\n"
    columns = ("TIME", "EVENT", "THING", "ALARM", "BEHAVIOR")
    lines = ((when, f"{thing}: {event}: {words} ({rule})") for when, event, thing, words, rule in rows)
    return draw_fitting(columns, rows, lines, width)


def metrics_table(answer: Mapping[str, Any], width: int | None = None) -> str:
    """Return how a metric went as a sparkline, and its newest values; of a list the line shows the length."""
    data = answer["metricDatumList"]
    if not data:
        return "no value in this time\n"
    points = [(each["timestamp"], measure(each["value"])) for each in data]
    low, high = min(value for _, value in points), max(value for _, value in points)
    what = "items" if isinstance(next(iter(data[0]["value"].values()), None), list) else "values"
    reports = "report" if len(data) == 1 else "reports"
    period = f"{show_time(points[0][0])} to {show_time(points[-1][0])}"
    summary = f"{draw_sparkline(points)}\n{what} from {low:g} to {high:g} in {len(data)} {reports}\n{period}\n"
    rows = [(show_time(each["timestamp"]), show_value(each["value"])) for each in data[-NEWEST:]]
    return f"{summary}\n{draw_table(('TIME', 'VALUE'), rows, width)}"


def things_table(answer: Mapping[str, Any], width: int | None = None) -> str:
    """Return a table of the things."""
    rows = [
        (printable(each["thingName"]), show_time(each["lastReportTime"]), str(each["activeViolations"] or "-"))
        for each in answer["things"]
    ]
    return draw_table(("THING", "LAST REPORT", "ALARMS"), rows, width) if rows else "no thing has reported yet\n"


def draw_fitting(columns: Row, rows: Sequence[Row], lines: Iterable[tuple[str, str]], width: int | None) -> str:
    """Draw a table if it is no wider than the terminal, else each of the lines, a time and a text, which is wrapped."""
    table = draw_table(columns, rows)
    if width is None or max(map(len, table.splitlines())) <= width:
        return table
    return "".join(f"{wrapped(when, text, width)}\n" for when, text in lines)


def wrapped(when: str, text: str, width: int) -> str:
    """Return a line that begins with a time, continued below its text where it is longer than the terminal is wide."""
    indent = " " * (len(when) + 2)
    room = max(width, len(indent) + LEAST_ROOM)
    return textwrap.fill(text, room, initial_indent=f"{when}  ", subsequent_indent=indent, break_on_hyphens=False)


def draw_table(columns: Row, rows: Iterable[Row], width: int | None = None) -> str:
    """Draw a table as wide as a terminal, or as its cells if `width` is None; what does not fit is continued below."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # and not str, in which rich would look for its markup
    page = io.StringIO()
    Console(file=page, width=width or NO_WIDTH, color_system=None).print(table)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def rule_of(each: Mapping[str, Any]) -> str:
    """Return which behavior it is."""
    return f"{each['behavior']['name']} of {each['securityProfileName']}"


def explain_in_words(kind: str, each: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Return an alarm in words, of the API's shapes."""
    behavior = each["behavior"]
    return explain(kind, behavior["metric"], next(iter(value.values()), None), behavior["criteria"])


def show_time(seconds: float | None) -> str:
    """Show a time in the local time zone, or in UTC where the C library's `time_t` of 32 bits ends before it."""
    if seconds is None:
        return "-"
    try:
        return time.strftime(TIME, time.localtime(seconds))
    except (OverflowError, OSError, ValueError):  # a replayed report can claim any time
        return f"{EPOCH + timedelta(seconds=int(seconds))} UTC"


def show_value(value: Mapping[str, Any]) -> str:
    """Show a MetricValue in ASCII and in short: a string list can hold anything, what steers a terminal included."""
    if not value:
        return "-"
    (plain,) = value.values()
    if not isinstance(plain, list):
        return json.dumps(plain)
    shown = ", ".join(shown_item(item) for item in plain[:LONGEST_VALUE])
    return (shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 3]}...") or "none"


def measure(value: Mapping[str, Any]) -> float:
    """Return what a sparkline shows of a MetricValue: the number, or a list's length."""
    (plain,) = value.values() or (0,)
    return float(len(plain) if isinstance(plain, list) else plain)


def draw_sparkline(points: Sequence[tuple[float, float]], width: int = WIDTH) -> str:
    """Draw times and values, the oldest first, from the first time to the last; a character shows its highest value."""
    if not points:
        return ""
    start, end = points[0][0], points[-1][0]
    highest: list[float | None] = [None] * min(width, len(points))
    for when, value in points:
        place = min(int((when - start) / ((end - start) or 1) * len(highest)), len(highest) - 1)
        before = highest[place]
        highest[place] = value if before is None else max(before, value)
    low, high = min(value for _, value in points), max(value for _, value in points)
    return "".join(GAP if value is None else draw_bar(value, low, high) for value in highest)


def draw_bar(value: float, low: float, high: float) -> str:
    """Draw a value between the lowest and the highest; all are low if they are the same."""
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0  # halves: no overflow
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]
