"""The attachments: which profiles are for which things, and every problem of all of them at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")

from defender_detect.attachments import read_rules
from defender_detect.config import Config, Detect, Source
from defender_detect.errors import ConfigError


def body(name: str, **behavior: Any) -> dict[str, Any]:
    """Return a security profile that calls more than 50 listening ports an alarm."""
    criteria = {"comparisonOperator": "less-than", "value": {"count": 50}}
    ports = {"name": "few-ports", "metric": "aws:num-listening-tcp-ports", "criteria": criteria}
    return {"securityProfileName": name, "behaviors": [{**ports, **behavior}]}


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def source(directory: Path, name: str, *targets: str) -> Source:
    path = write(directory / f"{name}.json", body(name))
    return Source(path=str(path), targets=list(targets)) if targets else Source(path=str(path))


def config(profiles: Sequence[Source], groups: Path | None = None) -> Config:
    return Config(detect=Detect(profiles=list(profiles), thing_groups=None if groups is None else str(groups)))


def problems_of(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_rules(config)
    return raised.value.problems


def test_a_profile_is_for_all_things_or_for_those_of_its_groups(tmp_path: Path) -> None:
    groups = write(tmp_path / "groups.json", {"cameras": ["cam-1", "cam-2"], "doors": ["door-1", "cam-2"]})
    profiles = (
        source(tmp_path, "every"),
        source(tmp_path, "seeing", "cameras"),
        source(tmp_path, "both", "cameras", "doors"),
        source(tmp_path, "closing", "doors"),
    )
    rules = read_rules(config(profiles, groups))
    names = {
        thing: [rule.profile for rule in rules.of(thing).rules] for thing in ("cam-1", "cam-2", "door-1", "stranger")
    }
    assert names == {
        "cam-1": ["both", "every", "seeing"],
        "cam-2": ["both", "closing", "every", "seeing"],
        "door-1": ["both", "closing", "every"],
        "stranger": ["every"],
    }


def test_a_directory_is_all_profiles_in_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "profiles" / f"{name}.json", body(name))
    (tmp_path / "profiles" / "README.md").write_text("no profile")
    rules = read_rules(config((Source(path=str(tmp_path / "profiles"), targets=["all"]),)))
    assert [each.profile.name for each in rules.attachments] == ["a", "b"]


def test_a_target_that_is_no_group_is_said(tmp_path: Path) -> None:
    groups = write(tmp_path / "groups.json", {"cameras": []})
    configured = config((source(tmp_path, "x", "camera", "cameras"),), groups)
    assert problems_of(configured) == [
        'detect.profiles: the target "camera" is neither "all" nor a group of detect.thing_groups'
    ]


def test_a_target_without_any_groups_is_said(tmp_path: Path) -> None:
    (problem,) = problems_of(config((source(tmp_path, "x", "cameras"),)))
    assert 'the target "cameras" is neither "all" nor' in problem


def test_a_target_has_five_profiles_as_at_aws(tmp_path: Path) -> None:
    groups = write(tmp_path / "groups.json", {"g": ["x"]})
    five = tuple(source(tmp_path, f"p{number}", "g") for number in range(5))
    for_all = tuple(source(tmp_path, f"a{number}") for number in range(5))
    assert len(read_rules(config(five + for_all, groups)).of("x").rules) == 10
    six = (*five, source(tmp_path, "p5", "g"), *for_all, source(tmp_path, "a5"))
    assert problems_of(config(six, groups)) == [
        'detect.profiles: "all" must have at most 5 profiles, got 6',
        'detect.profiles: "g" must have at most 5 profiles, got 6',
    ]


def test_two_profiles_of_one_name_are_said(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.json", body("x")), write(tmp_path / "b.json", body("x"))
    (problem,) = problems_of(config((Source(path=str(first)), Source(path=str(second)))))
    assert '"x"' in problem


def test_every_problem_of_all_files_is_said(tmp_path: Path) -> None:
    wrong = write(tmp_path / "wrong.json", body("x", metric="aws:num-listening-tcp-port"))
    groups = write(tmp_path / "groups.json", {"g": 1})
    missing = Source(path=str(tmp_path / "missing.json"), targets=["g"])
    problems = problems_of(config((Source(path=str(wrong)), missing), groups))
    assert problems[0] == f"{groups}: g must be an array of strings, got 1"
    assert any(each.startswith(f"{wrong}: behaviors[0].metric") for each in problems)
    assert f"{tmp_path / 'missing.json'}: cannot be read: No such file or directory" in problems


def test_a_group_cannot_be_called_all(tmp_path: Path) -> None:
    groups = write(tmp_path / "groups.json", {"all": ["cam-1"]})
    (problem,) = problems_of(config((source(tmp_path, "every"),), groups))
    assert problem.endswith("groups.json: all must have another name, because this one means every thing")


def test_groups_that_cannot_be_read_are_the_only_problem(tmp_path: Path) -> None:
    configured = config((source(tmp_path, "seeing", "cameras"),), tmp_path / "gone.json")
    (problem,) = problems_of(configured)
    assert problem.endswith("gone.json: cannot be read: No such file or directory")


@pytest.mark.parametrize("target", ["all/things", "all/registered-things", "thinggroup/cameras"])
def test_a_target_is_taken_as_aws_names_it(target: str, tmp_path: Path) -> None:
    groups = write(tmp_path / "groups.json", {"cameras": ["cam-1"]})
    profiles = (source(tmp_path, "p", f"arn:aws:iot:eu-west-1:123456789012:{target}"),)
    rules = read_rules(config(profiles, groups))
    names = {thing: [rule.profile for rule in rules.of(thing).rules] for thing in ("cam-1", "stranger")}
    assert {"cam-1": ["p"], "stranger": [] if target == "thinggroup/cameras" else ["p"]} == names


def test_a_profile_for_unregistered_things_is_for_nobody_here(tmp_path: Path) -> None:
    profiles = (source(tmp_path, "p", "arn:aws:iot:eu-west-1:123456789012:all/unregistered-things"),)
    assert () == read_rules(config(profiles)).of("cam-1").names


@pytest.mark.parametrize("target", ["thing/cam-1", "thinggroup/doors"])
def test_a_target_of_awss_that_nobody_here_is_is_a_problem(target: str, tmp_path: Path) -> None:
    profiles = (source(tmp_path, "p", f"arn:aws:iot:eu-west-1:123456789012:{target}"),)
    (problem,) = problems_of(config(profiles))
    assert problem.startswith("detect.profiles: the target ")


def test_what_only_aws_evaluates_is_warned_of_with_the_profile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = body("p") | {"additionalMetricsToRetain": ["aws:num-disconnects"]}
    rules = read_rules(config((Source(path=str(write(tmp_path / "p.json", document))),)))
    assert ["few-ports"] == [behavior.name for behavior in rules.attachments[0].profile.behaviors]
    assert caplog.messages == [
        "security profile p: additionalMetricsToRetain[0] is not kept here: aws:num-disconnects is a "
        "cloud-side metric, which only AWS IoT measures"
    ]
