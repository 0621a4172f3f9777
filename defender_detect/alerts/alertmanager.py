"""Alerts to Prometheus Alertmanager: every alarm that is on, sent again each minute, until it ends.

Alertmanager groups, silences and routes by itself. An alert that is not sent again ends there after a while, so that
nothing stays on that Detect no longer knows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Union

from defender_daemon.dates import moment
from defender_daemon.text import printable
from defender_detect.alerts.followers import Follower, Reported, Worker
from defender_detect.alerts.posting import origin_of, post
from defender_detect.alerts.secret import Elsewhere
from defender_detect.alerts.target import Publish, Target
from defender_detect.alerts.webhook import Headers, Url, read_headers, read_url
from defender_detect.errors import AlertRefused
from defender_detect.evaluate.alarms import IN_ALARM, Event, Violation
from defender_detect.evaluate.sentences import explain, sentence_of
from device_defender.definition import SECRET

AGAIN = 60.0  # seconds until everything is sent again
ENDS_AFTER = 300.0  # seconds without being sent again; Alertmanager's own default
PAUSE = 5.0  # seconds between two posts of what changed: at most 12 in a minute, beside those of everything
MOST_IN_POST = 1_000  # alerts, about 700 KB
PATH = "/api/v2/alerts"

Key = tuple[str, str, str]  # thing, profile, behavior
Alert = Mapping[str, Any]


class Alertmanager(Target, frozen=True):
    """Prometheus Alertmanager, which has all alarms that are on."""

    url: Union[Url, Elsewhere]
    """Its address, such as `http://localhost:9093`, or the secret with it."""
    headers: Annotated[Headers, SECRET] = {}
    """Further headers, or secrets that have them. Their values are never logged."""

    def follow(self, publish: Publish) -> Follower:
        """Return what posts."""
        return AlertmanagerFollower(read_url(self.url), read_headers(self.headers))


class AlertmanagerFollower:
    """Keeps the alarms that are on at Alertmanager."""

    hears_reports = False

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, again: float = AGAIN, pause: float = PAUSE
    ) -> None:
        """Prepare to post to an Alertmanager."""
        self.name = f"Alertmanager at {origin_of(url)}"
        self._url, self._headers, self._again = url.rstrip("/") + PATH, headers or {}, again
        self._worker = Worker(self.name, self._work, pause)
        self._active: dict[Key, Alert] = {}
        self._changed: dict[Key, Alert] = {}  # since the last post; those that ended have their end
        self._due = 0.0  # of the monotonic clock: when everything is to be sent again

    def begin(self, active: Iterable[Violation]) -> None:
        """Send the alarms that are on."""
        with self._worker.changed:
            self._active.update((key_of(each), alert_of_violation(each)) for each in active if not each.suppressed)
        self._worker.start()

    def tell(self, event: Event) -> None:
        """Send an alarm that begins or ends."""
        key = key_of(event)
        with self._worker.changed:
            if event.type == IN_ALARM:
                self._active[key] = self._changed[key] = alert_of_event(event)
            else:
                begun = self._active.pop(key, None) or alert_of_event(event)
                self._changed[key] = {**begun, "endsAt": max(as_time(event.time), begun["startsAt"])}
            self._worker.wake()

    def report(self, reported: Reported) -> None:
        """Ignore a report."""

    def close(self, timeout: float) -> None:
        """Send what changed."""
        self._worker.close(timeout)

    def _work(self) -> float:
        """Send what changed, or everything if that is due."""
        is_due = time.monotonic() >= self._due
        with self._worker.changed:
            changed, self._changed = self._changed, {}
            alerts = {**self._active, **changed} if is_due else changed
        try:
            self._post(list(alerts.values()))
        except BaseException:
            with self._worker.changed:
                self._changed = {**changed, **self._changed}
            raise
        if is_due:
            self._due = time.monotonic() + self._again
        return max(0.0, self._due - time.monotonic())

    def _post(self, alerts: list[Alert]) -> None:
        ends = as_time(time.time() + ENDS_AFTER)
        for part in parts_of(alerts, MOST_IN_POST):
            try:
                post(self._url, [{"endsAt": max(ends, each["startsAt"]), **each} for each in part], self._headers)
            except AlertRefused as error:
                raise type(error)(f"{error} (is it an Alertmanager with its API v2?)") from error


def parts_of(alerts: list[Alert], most: int) -> Iterator[list[Alert]]:
    """Yield alerts, so many at once."""
    for start in range(0, len(alerts), most):
        yield alerts[start : start + most]


def key_of(alarm: Event | Violation) -> Key:
    """Return which alarm it is."""
    return alarm.thing, alarm.profile, alarm.behavior


def alert_of_event(event: Event) -> Alert:
    """Return an alarm that begins as Alertmanager takes it."""
    return make_alert(event, event.time, sentence_of(replace(event, type=IN_ALARM)))


def alert_of_violation(violation: Violation) -> Alert:
    """Return an alarm that is on as Alertmanager takes it."""
    words = explain(IN_ALARM, violation.metric, violation.last_value, violation.criteria)
    return make_alert(violation, violation.started_at, words)


def make_alert(alarm: Event | Violation, since: float, words: str) -> Alert:
    """Return an alarm as Alertmanager takes it: what makes it this one are labels, and the rest are annotations."""
    thing = printable(alarm.thing)
    labels = {"alertname": alarm.behavior, "thing": thing, "profile": alarm.profile, "metric": alarm.metric}
    annotations = {"summary": f"{thing}: {words}", "description": words, "violation_id": alarm.violation_id}
    return {"labels": labels, "annotations": annotations, "startsAt": as_time(since)}


def as_time(seconds: float) -> str:
    """Return a time in RFC 3339, in UTC and as long as any other, so that the later of two is the larger text.

    Alertmanager refuses a whole post if an alert in it ends before it begins, as after a clock was set back.
    """
    return f"{moment(seconds).isoformat()}.{int(seconds % 1 * 1000):03d}Z"
