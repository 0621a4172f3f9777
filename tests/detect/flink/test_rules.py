"""Rules documents: checked before anybody goes by them, and what holds after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender_detect.__main__ import main
from defender_detect.errors import ProfileError
from defender_detect.flink.rules import begin, dump, in_force, only_ranked, parse_rules, start_with, succeed, update
from demo.flink.reports import make_document, make_percentile_profile, make_profile

FIRST, SECOND = make_document(make_profile()), make_document(make_profile(7))
NOW = 1_790_000_000.0
OTHER = json.dumps(
    {
        "attachments": [{"profile": make_percentile_profile(), "targets": ["mills"]}],
        "groups": {"mills": ["mill-1"]},
    }
)


def attached(**profile: Any) -> str:
    return json.dumps({"attachments": [{"profile": {"securityProfileName": "fleet", **profile}}]})


def test_a_document_is_compiled_with_whom_each_profile_is_for() -> None:
    rules, since = parse_rules(OTHER)
    assert (("percentile/packets-in",), ()) == (rules.of("mill-1").names, rules.of("lathe-7").names)
    assert 0.0 == since
    assert 10 == len(parse_rules(FIRST)[0].of("lathe-7").names)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("", "the rules document must be JSON in one line"),
        ("[]", "the rules document must be an object"),
        ("{}", "attachments is missing"),
        (attached(behaviors=[{}]), "attachments[0].profile.behaviors[0].name is missing"),
        (attached(behaviours=[]), 'behaviours is not a known key; did you mean "behaviors"?'),
        (make_document(make_profile(), make_profile()), 'must be unique, but 2 profiles have "fleet"'),
        (OTHER.replace('["mills"]', '["mill"]'), 'the target "mill" is neither "all" nor one of groups'),
        (
            make_document(*({"securityProfileName": f"profile-{number}"} for number in range(6))),
            '"all" must have at most 5 profiles, got 6',
        ),
    ],
)
def test_a_document_that_does_not_compile_says_where_and_why(document: str, sentence: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_rules(document)
    assert sentence in str(caught.value)


def test_what_the_job_was_started_with_holds_until_a_document_comes_and_over_a_restart() -> None:
    start = start_with(FIRST, NOW)
    assert start.rules == dump(in_force(None, start)) == dump(in_force(begin(start), start))
    kept = succeed(begin(start), start, SECOND, NOW + 5)
    again = start_with(FIRST, NOW + 100)
    assert 7 == limit_of(in_force(kept, again))


def test_a_job_that_is_started_with_another_document_goes_by_that_one() -> None:
    start, other = start_with(FIRST, NOW), start_with(OTHER, NOW + 100)
    rules = in_force(succeed(begin(start), start, SECOND, NOW + 5), other)
    assert ("percentile/packets-in",) == rules.of("mill-1").names
    assert NOW + 100 == rules.since
    assert "fleet/tcp-ports" in rules.retired  # so that its alarms end by what it said of them


def test_a_document_may_say_when_it_comes_into_force() -> None:
    start = start_with(FIRST, NOW)
    later = json.dumps({**json.loads(SECOND), "since": NOW + 60})
    assert NOW + 60 == in_force(succeed(begin(start), start, later, NOW), start).since
    assert NOW + 5 == in_force(succeed(begin(start), start, SECOND, NOW + 5), start).since


def test_an_invalid_document_changes_nothing() -> None:
    start = start_with(FIRST, NOW)
    with pytest.raises(ProfileError):
        update(begin(start), start, attached(behaviors=[{}]), NOW)
    assert start.rules == dump(in_force(begin(start), start))


def test_an_empty_line_brings_the_first_rules_in_and_after_a_restart_nothing() -> None:
    start = start_with(FIRST, NOW)
    kept = update(None, start, "", NOW)
    assert begin(start) == kept
    assert update(kept, start, " \n", NOW) is None
    assert succeed(kept, start, SECOND, NOW) == update(kept, start, SECOND, NOW)


def test_datapoints_are_found_by_the_behaviors_with_a_percentile_only() -> None:
    rules = only_ranked(parse_rules(make_document(make_profile(), make_percentile_profile()))[0])
    assert ("percentile/packets-in",) == rules.of("lathe-7").names


def test_the_rules_of_a_configuration_are_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.json").write_text(json.dumps(make_profile(), indent=2))
    (tmp_path / "groups.json").write_text(json.dumps({"mills": ["mill-1"]}))
    profiles = [{"path": "fleet.json", "targets": ["mills"]}]
    config = {"agent": {}, "detect": {"profiles": profiles, "thing_groups": "groups.json"}}
    (tmp_path / "detect.json").write_text(json.dumps(config))
    assert 0 == main(["rules", str(tmp_path / "detect.json")])
    (line,) = capsys.readouterr().out.splitlines()
    rules, _ = parse_rules(line)
    assert (10, 0) == (len(rules.of("mill-1").names), len(rules.of("lathe-7").names))


def limit_of(rules: Any) -> Any:
    behaviors = rules.attachments[0].profile.behaviors
    return next(each.criteria.value for each in behaviors if each.name == "bytes-out-hour")
