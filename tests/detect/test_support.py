"""Detect's support bundle holds what others need to help, and nothing that must not leave the machine."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_daemon.evidence import BundleError
from defender_daemon.redaction import key_lines
from defender_detect import support
from defender_detect.doctor import Case
from tests.detect.test_doctor import Site

SECRET = "T01/B02/wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLE"


@pytest.fixture
def site(tmp_path: Path):
    site = Site(tmp_path)
    yield site
    site.end()


def contents(bundle: Path) -> dict[str, str]:
    with tarfile.open(bundle) as tar:
        return {each.name.partition("/")[2]: tar.extractfile(each).read().decode() for each in tar}


def test_it_holds_all_that_was_found_and_lists_it(site, tmp_path):
    site.run(waiting={"the webhook at https://h": 3})
    site.report("rpi-0001", 30)
    said = list(support.write(tmp_path / "s.tar.gz", Case(site.directory.config, {})))
    found = contents(tmp_path / "s.tar.gz")
    assert set(found) == set(support.FILES) == {line.split()[-1] for line in said if line.endswith((".txt", ".json"))}
    assert stat.S_IMODE((tmp_path / "s.tar.gz").stat().st_mode) == 0o600
    assert json.loads(found["config.json"])["detect"]["metrics_days"] == 14  # with its defaults
    assert json.loads(found["profiles.json"])[0]["securityProfileName"] == "network-metrics"
    assert json.loads(found["health.json"])["last_report"]["thing"] == "rpi-0001"
    assert json.loads(found["status.json"])["waiting"] == {"the webhook at https://h": 3}
    assert "package: paho-mqtt " in found["platform.txt"]
    assert "running" in found["doctor.txt"]


def test_no_secret_of_the_configuration_and_no_key_is_in_it(site, tmp_path):
    site.run()
    url = f"https://hooks.slack.com/services/{SECRET}"
    private = {"type": "webhook", "url": "https://ntfy.home/attic-door", "headers": {"X-Who": "me and nobody else"}}
    command, ntfy = {"type": "command", "command": ["x", SECRET]}, {"type": "ntfy", "topic": "cellar-hatch-7"}
    site.change("detect", alerts=[{"type": "webhook", "url": url}, command, private, ntfy])
    status = site.directory.path / "state" / "status.json"
    key = site.directory.key.read_text()
    status.write_text(
        json.dumps({"last_error": {"text": f"{url} {key} https://ntfy.home/attic-door me and nobody else"}})
    )
    list(support.write(tmp_path / "s.tar", Case(site.directory.config, {})))
    everything = (tmp_path / "s.tar").read_text()
    assert SECRET not in everything
    assert "attic-door" not in everything
    assert "cellar-hatch" not in everything
    assert "nobody else" not in everything
    assert "hooks.slack.com" in everything  # so that it was there to be removed
    assert not [line for line in key_lines(key) if line in everything]


def test_a_configuration_that_cannot_be_read_leaves_gaps_that_say_why(site, tmp_path):
    site.directory.config.write_text("{")
    list(support.write(tmp_path / "s.tar", Case(site.directory.config, {})))
    found = contents(tmp_path / "s.tar")
    assert "unreadable" in found["config.json"]
    assert "not available" in found["profiles.json"]
    assert found["doctor.txt"].startswith("FAIL  config")
    site.directory.config.write_text('{"detect": {"alerts": [7, {"url": "https://h:port/x", "headers": 5}]}}')
    list(support.write(tmp_path / "s.tar", Case(site.directory.config, {})))
    assert "port/x" not in contents(tmp_path / "s.tar")["config.json"]


def test_a_place_where_it_cannot_be_written_is_a_sentence(site, tmp_path):
    with pytest.raises(BundleError, match="is a directory; name a file in it"):
        list(support.write(tmp_path, Case(site.directory.config, {})))
