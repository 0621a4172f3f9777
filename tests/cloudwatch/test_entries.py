"""Files and the journal as they are sent: names are filled in, and what cannot be sent is said in a sentence each."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest

from defender_cloudwatch.entries import file_entries, journal_entry, journal_of, log_problems
from defender_daemon.collected import Journal, Logs

FILES = "logs.logs_collected.files.collect_list[0]"


def logs(group: str = "/system/{instance_id}", journal: Any = False, retention: Any = None, **entry: Any) -> Logs:
    collected: dict[str, Any] = {"journal": journal}
    if entry:
        collected["files"] = {"collect_list": [{"file_path": "/var/log/a.log", **entry}]}
    given = {"logs_collected": collected, "log_group_name": group, "retention_in_days": retention}
    return msgspec.convert(given, Logs)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (logs(journal=True, retention=8), "logs.retention_in_days must be one of 1, 3, 5, 7, 14"),
        (logs(journal=True, group="/a/{thing}"), "logs.log_group_name must have no braces but {thing_name}"),
        (logs(journal=True, group="/a:b"), "logs.log_group_name must be 1 to 512 characters"),
        (logs(log_stream_name="a*b"), f"{FILES}.log_stream_name must be 1 to 512 characters (any but : and *)"),
        (logs(include_patterns=["("]), f"{FILES}.include_patterns must be regular expressions, but "),
        (logs(exclude_patterns=["(a+)+$"]), "tries for more than a second on a line such as"),
        (logs(multi_line_start_pattern="["), f"{FILES}.multi_line_start_pattern must be regular expressions"),
        (logs(file_path="var/log"), f"{FILES}.file_path must be an absolute path"),
        (logs(file_path="/own.log"), f"{FILES}.file_path must not be this program's own log, /own.log"),
        (logs(file_path="/"), f"{FILES}.file_path must be a regular file, but / is a directory"),
        (logs(file_path="/dev/null"), f"{FILES}.file_path must be a regular file, but /dev/null is a device"),
        (logs(journal={"units": ["-x y"]}), "logs.logs_collected.journal.units must name units"),
        (logs(journal={"exclude_patterns": ["("]}), "logs.logs_collected.journal.exclude_patterns must be regular"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_sentence(given: Logs, says: str) -> None:
    found = list(log_problems(given, "rpi-0001", own="/own.log"))
    assert 1 == len(found), found
    assert says in found[0]


def test_what_can_be_sent_is_no_problem() -> None:
    given = logs(journal={"units": ["sshd.service", "a*"]}, retention=30, include_patterns=["error"])
    assert [] == list(log_problems(given, "rpi-0001", own=None))


def test_a_thing_name_with_a_colon_fits_into_groups_and_streams() -> None:
    (found,) = file_entries(logs(log_stream_name="{thing_name}"), "a:b")
    assert ("/system/a-b", "a-b") == (found.group, found.stream)


def test_a_file_has_the_group_of_all_unless_it_has_its_own() -> None:
    assert [] == file_entries(logs(), "a")
    (found,) = file_entries(logs(log_group_name="/own"), "a")
    assert ("/own", None, False) == (found.group, found.stream, found.from_start)
    (found,) = file_entries(logs(**{"from": "start"}), "a")
    assert ("/system/a", True) == (found.group, found.from_start)


@pytest.mark.parametrize("given", [False, {"collect": False}])
def test_a_journal_that_is_not_wanted_is_not_sent(given: Any) -> None:
    assert journal_of(logs(journal=given).logs_collected) is None
    assert journal_entry(logs(journal=given), "a") is None


def test_the_journal_has_a_stream_of_its_own() -> None:
    assert Journal() == journal_of(logs(journal=True).logs_collected)
    found = journal_entry(logs("/{hostname}", journal={"include_patterns": ["x"]}), "a")
    assert found is not None
    assert (f"/{socket.gethostname()}", "journal") == (found.group, found.stream)
    assert ["x"] == [each.pattern for each in found.choice.include]
