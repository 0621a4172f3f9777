"""The definitions, the schema for editors and the generated pages of docs/reference say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender_publisher.settings import read_settings
from device_defender.metrics import BUILT_INS
from reference import tables, write

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "configs").glob("amazon-defender-publisher-*.json"))


@pytest.mark.parametrize("path", [path for path, _ in write.generated(ROOT)], ids=lambda path: path.name)
def test_every_generated_file_is_as_make_docs_writes_it(path: Path) -> None:
    assert dict(write.generated(ROOT))[path] == path.read_text(encoding="utf-8"), "run `make docs`"


def test_a_page_gets_its_tables_between_their_marks_and_keeps_the_rest() -> None:
    page = "# Page\n<!-- begin built-ins -->\nold\n<!-- end built-ins -->\nmore\n"
    expected = f"# Page\n<!-- begin built-ins -->\n{tables.built_ins()}<!-- end built-ins -->\nmore\n"
    assert expected == tables.with_tables(page)


def test_every_built_in_is_in_the_schema() -> None:
    metric = json.loads(tables.json_schema())["$defs"]["CustomMetric"]["properties"]["source"]
    (name,) = (each for each in metric["anyOf"] if each != {"type": "null"})
    assert list(BUILT_INS) == name["examples"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_configurations_are_valid_and_name_the_schema(path: Path) -> None:
    raw = json.loads(path.read_text())
    assert "schema.json" == raw["$schema"]
    read_settings(path, {"agent": {"dry_run": True, "thing_name": "t"}})


def test_there_is_an_example_for_each_platform() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"amazon-defender-publisher-rpi.json", "amazon-defender-publisher-osx.json"} <= names
