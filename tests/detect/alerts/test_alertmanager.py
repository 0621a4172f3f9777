"""Alertmanager has every alarm that is on until it ends, over restarts and failures, in few posts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.alerts.alertmanager import ENDS_AFTER, MOST_IN_POST, Alertmanager, AlertmanagerFollower, as_time
from defender_detect.evaluate.alarms import Violation
from tests.detect.alerts.test_secret import nothing
from tests.detect.alerts.test_webhook import Webhook
from tests.detect.alerts.test_webhook import webhook as webhook
from tests.detect.store.test_store import CRITERIA, event
from tests.waiting import FOR_EVER, PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[3]
UNPACKED = ROOT / ".venv" / "alertmanager" / "usr"
ALERTMANAGER = shutil.which("prometheus-alertmanager", path=f"{os.environ['PATH']}:{UNPACKED / 'bin'}")
LAID_OVER = f'mount -t overlay overlay -o lowerdir={UNPACKED}/share:/usr/share /usr/share && exec "$@"'
VIOLATION = Violation("v", "rpi-9", "cpu-usage", "cpu", "cpu_usage", 1.7e9, 1.7e9, 99, CRITERIA, "number", False)

Follow = Callable[..., AlertmanagerFollower]


@pytest.fixture
def follow(webhook: Webhook) -> Iterator[Follow]:
    """Make a follower that waits little, and end it after the test."""
    made: list[AlertmanagerFollower] = []

    def follow(active: Any = (), url: str = "", again: float = FOR_EVER) -> AlertmanagerFollower:
        made.append(AlertmanagerFollower(url or webhook.url, again=again, pause=0.01))
        made[-1].begin(active)
        return made[-1]

    yield follow
    for each in made:
        each.close(PATIENCE)


def posts(webhook: Webhook) -> list[list[Any]]:
    return [body for _, _, body in list(webhook.received)]


def test_an_alarm_is_posted_when_it_begins_and_when_it_ends(webhook: Webhook, follow: Follow) -> None:
    follower = follow()
    follower.tell(event())
    assert wait_until(lambda: len(posts(webhook)) == 1)
    ((begun,),) = posts(webhook)
    assert {"alertname": "cpu", "thing": "rpi-1", "profile": "cpu-usage", "metric": "cpu_usage"} == begun["labels"]
    assert "rpi-1: cpu_usage is 99.5, normal is at most 75" == begun["annotations"]["summary"]
    assert "2027-01-15T08:00:00.250Z" == begun["startsAt"]
    assert begun["endsAt"] > as_time(time.time())
    follower.tell(event("alarm-cleared", value=5, time=1_800_000_300.0))
    assert wait_until(lambda: len(posts(webhook)) == 2)
    (ended,) = posts(webhook)[1]
    assert (begun["labels"], begun["startsAt"]) == (ended["labels"], ended["startsAt"])
    assert "2027-01-15T08:05:00.000Z" == ended["endsAt"]
    assert "/secret-token/api/v2/alerts" == webhook.received[0][0]


def test_all_that_are_on_are_posted_at_the_start_and_again(webhook: Webhook, follow: Follow) -> None:
    suppressed = VIOLATION._replace(behavior="quiet", suppressed=True)
    follower = follow([VIOLATION, suppressed], again=0.05)
    follower.tell(event())
    assert wait_until(lambda: len(posts(webhook)) > 3)
    assert {"rpi-1", "rpi-9"} == {each["labels"]["thing"] for each in posts(webhook)[-1]}
    follower.tell(event("alarm-invalidated", thing="rpi-9", value=None))
    assert wait_until(lambda: [each["labels"]["thing"] for each in posts(webhook)[-1]] == ["rpi-1"])


def test_what_was_not_taken_is_posted_again_with_its_end(
    webhook: Webhook, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.answers = [503, 401, 404]
    follower = follow()
    follower.tell(event())
    assert wait_until(lambda: len(posts(webhook)) >= 1)
    follower.tell(event("alarm-cleared", value=5))
    assert wait_until(lambda: not webhook.answers and posts(webhook)[-1:] and len(posts(webhook)) >= 4)
    (ended,) = posts(webhook)[-1]
    assert ended["endsAt"].startswith("2027-01-15T08:00:00")
    assert "Alertmanager at http://127.0.0.1" in caplog.text
    assert 1 == caplog.text.count("not updated: the answer was 503; trying again")


def test_no_alarm_ends_before_it_begins_whatever_the_clock_does(webhook: Webhook, follow: Follow) -> None:
    follower = follow([VIOLATION._replace(started_at=4e9)], again=0.05)
    assert wait_until(lambda: posts(webhook))
    follower.tell(event("alarm-cleared", thing="rpi-9", value=5, time=1.0))
    assert wait_until(lambda: posts(webhook)[-1][0]["endsAt"] == posts(webhook)[0][0]["startsAt"])
    assert all(each["endsAt"] >= each["startsAt"] for post in posts(webhook) for each in post)


def test_ten_thousand_alarms_are_few_posts(webhook: Webhook, follow: Follow) -> None:
    follow([VIOLATION._replace(thing=f"t-{number}") for number in range(10_000)])
    assert wait_until(lambda: sum(map(len, posts(webhook))) == 10_000)
    assert 10_000 / MOST_IN_POST == len(posts(webhook))


def test_the_end_posts_what_changed(webhook: Webhook) -> None:
    follower = AlertmanagerFollower(webhook.url, pause=FOR_EVER)
    follower.begin(())
    follower.tell(event())
    follower.tell(event("alarm-cleared", value=5))
    follower.close(PATIENCE)
    assert posts(webhook)[-1][0]["endsAt"].startswith("2027-01-15T08:00:00")


def test_a_follower_is_made_of_the_configuration(webhook: Webhook) -> None:
    follower = Alertmanager(url=webhook.url, headers={"Authorization": "Basic x"}).follow(nothing)
    follower.begin([VIOLATION])
    assert wait_until(lambda: webhook.received)
    assert "Basic x" == webhook.received[0][1]["Authorization"]
    follower.close(PATIENCE)
    assert ENDS_AFTER > 2 * 60


@pytest.fixture
def alertmanager(tmp_path: Path, free_port: int) -> Iterator[str]:
    """Debian's own Alertmanager, on loopback."""
    if ALERTMANAGER is None:
        pytest.skip("there is no Alertmanager: tests/install-alertmanager.sh")
    (tmp_path / "config.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = [ALERTMANAGER]
    if str(UNPACKED) in ALERTMANAGER:  # it reads its templates from where Debian would have put them
        if os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip("an Alertmanager that is only unpacked needs root")
        command = ["unshare", "--mount", "sh", "-c", LAID_OVER, "sh", ALERTMANAGER]
    options = [f"--config.file={tmp_path}/config.yml", f"--storage.path={tmp_path}", "--cluster.listen-address="]
    process = subprocess.Popen(
        [*command, *options, f"--web.listen-address=127.0.0.1:{free_port}"], stderr=subprocess.DEVNULL
    )
    yield f"http://127.0.0.1:{free_port}"
    process.terminate()
    process.wait(PATIENCE)


def alerts_of(url: str) -> list[Any]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts") as answer:
        return json.load(answer)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_debians_alertmanager_has_the_alarms_that_are_on_and_no_others(
    alertmanager: str, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """It may not listen yet, which is a failure as any other."""
    now = time.time()
    follower = follow([VIOLATION._replace(started_at=now - 600)], alertmanager, again=0.2)
    follower.tell(event(time=now, thing="caf\u00e9 \u202e"))

    def found() -> list[tuple[str, str, str]]:
        try:
            alerts = alerts_of(alertmanager)
        except OSError:
            return []
        return sorted(
            (each["labels"]["thing"], each["status"]["state"], each["annotations"]["summary"]) for each in alerts
        )

    words = "cpu_usage is 99, normal is at most 75"
    assert wait_until(lambda: len(found()) == 2)
    assert [("caf\u00e9 \\u202e", "active"), ("rpi-9", "active")] == [each[:2] for each in found()]
    assert f"rpi-9: {words}" == found()[1][2]
    follower.tell(event("alarm-cleared", time=time.time(), thing="rpi-9", value=5))
    assert wait_until(lambda: [each[0] for each in found()] == ["caf\u00e9 \\u202e"])
    follower.close(PATIENCE)
    again = follow([VIOLATION], alertmanager)  # as after a restart
    assert wait_until(lambda: [each[0] for each in found()] == ["caf\u00e9 \\u202e", "rpi-9"])
    again.close(PATIENCE)
