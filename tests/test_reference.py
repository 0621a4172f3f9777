"""The definition of the configuration, the schema for editors and the README say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from defender_publisher import reference
from defender_publisher.settings import read_settings
from device_defender.metrics import BUILT_INS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "configs").glob("amazon-defender-publisher-*.json"))


def test_the_schema_is_made_from_the_definition() -> None:
    assert reference.json_schema() == (ROOT / "configs" / "schema.json").read_text(), "run `make docs`"


@pytest.mark.parametrize(("name", "expected"), [("keys", reference.table()), ("built-ins", reference.built_ins())])
def test_the_readmes_tables_are_made_from_the_definition(name: str, expected: str) -> None:
    text = (ROOT / "README.md").read_text()
    match = re.search(rf"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", text, re.DOTALL)
    assert match is not None
    assert expected == match[1], "run `make docs`"


def test_every_built_in_is_in_the_schema() -> None:
    metric = json.loads(reference.json_schema())["$defs"]["CustomMetric"]["properties"]["source"]
    assert [{"enum": sorted(BUILT_INS)}, {"type": "null"}] == metric["anyOf"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_configurations_are_valid_and_name_the_schema(path: Path) -> None:
    raw = json.loads(path.read_text())
    assert "schema.json" == raw["$schema"]
    read_settings(path, {"agent": {"dry_run": True, "thing_name": "t"}})


def test_there_is_an_example_for_each_platform() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"amazon-defender-publisher-rpi.json", "amazon-defender-publisher-osx.json"} <= names
