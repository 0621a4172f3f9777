"""Text that is no UTF-8 costs itself alone, wherever the daemon meets it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import not_utf8
from tests.fakes.not_utf8 import CUT, CUT_SHOWN, LOCALES, make_directory
from tests.namespaces import child
from tests.quick import CHECKS, ONCE, quick
from tests.waiting import until_well, wait_until

PR_SET_NAME = 15  # linux/prctl.h


def in_locales(*quick: str) -> list[object]:
    """Return all locales as parameters, of which `make test` takes some."""
    return [pytest.param(each, marks=() if each in quick else pytest.mark.slow) for each in LOCALES]


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")


def publisher(*arguments: object, locale: str = "UTF-8") -> subprocess.CompletedProcess[str]:
    """Run the publisher in a locale, and return its exit status and what it printed."""
    constants = {"--dry-run": ONCE, "--doctor": CHECKS}.get(str(arguments[0]), {})
    command = quick(*arguments, constants=constants)
    environment = not_utf8.environment(locale)
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=60, env=environment
    )


def write(directory: Path, **config: object) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps(config), "utf-8")
    return path


def named_cut(ready: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, CUT, 0, 0, 0)
    os.write(ready, b".")
    time.sleep(120)


@needs_linux
@pytest.mark.parametrize(
    ("encoding", "locale"),
    [
        ("json", "ASCII"),
        ("cbor", "Latin-1 terminal"),
        *[pytest.param("json", each, marks=pytest.mark.slow) for each in LOCALES if each != "ASCII"],
        *[pytest.param("cbor", each, marks=pytest.mark.slow) for each in LOCALES if each != "Latin-1 terminal"],
    ],
)
def test_a_program_whose_name_ends_inside_a_letter_is_reported_and_so_is_the_rest(
    tmp_path: Path, encoding: str, locale: str
) -> None:
    agent = {"thing_name": "pi-1", "dry_run": True, "format": encoding}
    config = write(tmp_path, agent=agent, custom_metrics={"process_names": {}})
    with child(named_cut):
        done = publisher("--dry-run", config, locale=locale)
    assert (0, "") == (done.returncode, done.stderr)
    report = json.loads(done.stdout)
    assert {"listening_tcp_ports", "listening_udp_ports", "tcp_connections", "network_stats"} == set(report["metrics"])
    assert CUT_SHOWN in report["custom_metrics"]["process_names"][0]["string_list"]


def test_half_a_surrogate_from_a_command_is_reported_as_a_mark(tmp_path: Path) -> None:
    metric = {"type": "string-list", "command": ["printf", r'["half \\ud83d", "whole"]']}
    config = write(tmp_path, agent={"thing_name": "pi-1", "dry_run": True}, custom_metrics={"said": metric})
    done = publisher("--dry-run", config)
    assert (0, "") == (done.returncode, done.stderr)
    assert ["half \ufffd", "whole"] == json.loads(done.stdout)["custom_metrics"]["said"][0]["string_list"]


@needs_linux
@pytest.mark.parametrize("locale", in_locales("ASCII"))
def test_configuration_proc_state_and_log_can_be_where_no_path_is_utf8(
    tmp_path: Path, write_config, broker, locale: str
) -> None:
    directory = make_directory(tmp_path)
    (directory / "proc").symlink_to("/proc")
    given = json.loads(
        write_config(broker.port, state_directory="state", logfile="log", procfs_path="proc").read_text()
    )
    config = write(directory, **given)
    for question in ("--check-config", "--dry-run", "--doctor", "--status"):
        done = publisher(question, config, locale=locale)
        assert "Traceback" not in done.stdout + done.stderr
        assert (3 if question == "--status" else 0) == done.returncode, (question, done)
    with subprocess.Popen(quick(config), stderr=subprocess.PIPE, env=not_utf8.environment(locale)) as daemon:
        before = len(broker.seen.publishes)
        try:
            assert wait_until(lambda: len(broker.seen.publishes) >= before + 2)
            done = until_well(lambda: publisher("--status", config, locale=locale))
            assert (0, "") == (done.returncode, done.stderr), done
        finally:
            daemon.send_signal(signal.SIGTERM)
            said = daemon.communicate(timeout=60)[1]
    assert (0, b"") == (daemon.returncode, said)
    assert {"state.json", "lock", "status.json"} == {path.name for path in (directory / "state").iterdir()}
    log = (directory / "log").read_text("utf-8")
    assert "Traceback" not in log
    assert "accepted" in log


@needs_linux
@pytest.mark.parametrize("locale", in_locales("ASCII", "Latin-1 terminal"))
def test_what_is_wrong_where_no_path_is_utf8_is_said(tmp_path: Path, locale: str) -> None:
    directory = make_directory(tmp_path)
    done = publisher("--check-config", directory / "none.json", locale=locale)
    assert 78 == done.returncode
    assert "there is no such configuration file" in done.stderr
    agent = {"thing_name": "pi-1", "procfs_path": "none", "state_directory": "none"}
    done = publisher("--dry-run", write(directory, agent=agent), locale=locale)
    assert 1 == done.returncode
    assert "listening_tcp_ports" in done.stderr
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
