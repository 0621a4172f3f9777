"""The zip of the Flink application: what it must hold, and what a deployment adds."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from infrastructure.application import Rules, make_rules, newest_rules, read_application
from infrastructure.errors import DeployError
from infrastructure.profiles import Profile

GOOD = {"main.py": "from defender_detect.flink.job import main; main()", "lib/flink-connector-5.0.jar": "jar"}


def build(directory: Path, files: dict[str, str]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "application.zip", "w") as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(name), content)
    return directory


def test_an_application_is_known_by_its_content(tmp_path: Path) -> None:
    one, same = (read_application(build(tmp_path / name, GOOD)) for name in ("one", "same"))
    other = read_application(build(tmp_path / "other", {**GOOD, "main.py": ""}))
    assert (one.key, "lib/flink-connector-5.0.jar") == (same.key, one.jar)
    assert one.key != other.key
    assert one.key.startswith("code/")


def test_the_zip_that_is_uploaded_has_the_rules_and_all_that_was_built(tmp_path: Path) -> None:
    application = read_application(build(tmp_path, GOOD))
    with zipfile.ZipFile(io.BytesIO(application.with_rules(Rules(b"{}\n")))) as packed:
        assert {**GOOD, "rules.json": "{}\n"} == {name: packed.read(name).decode() for name in packed.namelist()}
    assert application == read_application(tmp_path), "what was built is left alone"


@pytest.mark.parametrize(
    "files",
    [
        {"main.py": ""},
        {"lib/a.jar": ""},
        {**GOOD, "lib/another.jar": ""},
        {**GOOD, "rules.json": "{}"},
    ],
)
def test_a_zip_that_can_be_none_is_refused_with_what_to_run(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(DeployError, match="must have main.py, one jar in lib/, and no rules.json: build it"):
        read_application(build(tmp_path, files))


def test_what_is_no_zip_or_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="there is no .*: build it with `make flink-application"):
        read_application(tmp_path)
    (tmp_path / "application.zip").write_text("no zip")
    with pytest.raises(DeployError, match="cannot be read .*: build it with"):
        read_application(tmp_path)


def test_rules_are_profiles_for_all_things_in_one_line() -> None:
    document = {"securityProfileName": "Büro", "behaviors": []}
    rules = make_rules([Profile("Büro", Path("x.json"), document)])
    assert {"attachments": [{"profile": document, "targets": ["all"]}], "groups": {}} == json.loads(rules.content)
    assert 1 == rules.content.count(b"\n")


def test_the_newest_rules_are_those_of_the_latest_time() -> None:
    old, new = Rules(b"old"), Rules(b"new")
    keys = [new.key_at(2_000_000_000), old.key_at(999_999_999), "rules/readme.txt", "code/x.zip"]
    assert (new.digest, "") == (newest_rules(keys), newest_rules(["rules/"]))
