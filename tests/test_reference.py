"""The definitions, the schema for editors and the generated pages of docs/reference say the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from defender_detect import arguments
from defender_detect.alerts.targets import TARGETS, type_of
from defender_detect.config import Config as DetectConfig
from defender_detect.config_file import read_config
from defender_publisher.settings import read_settings
from device_defender.metrics import BUILT_INS
from reference import tables, write

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "configs").glob("amazon-defender-publisher-*.json"))


@pytest.mark.parametrize("path", [path for path, _ in write.generated(ROOT)], ids=lambda path: path.name)
def test_every_generated_file_is_as_make_docs_writes_it(path: Path) -> None:
    if sys.version_info < (3, 10) and path.suffix == ".json":
        pytest.skip("the last msgspec for this Python writes another JSON schema")
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


def test_the_example_of_detect_is_valid_and_names_its_schema() -> None:
    path = ROOT / "configs" / "amazon-defender-detect.json"
    assert "detect-schema.json" == read_config(path, {}).schema


def test_every_alert_target_is_in_the_schema_and_in_the_table_of_detect() -> None:
    schema, table = tables.json_schema(DetectConfig), tables.alert_targets()
    types = [type_of(target) for target in TARGETS]
    assert ["log", "topic", "webhook", "command", "sns"] == types[:5]
    assert ["email", "ntfy", "apprise", "alertmanager", "home_assistant"] == types[5:]
    assert all(f'"const": "{each}"' in schema or f'"enum": [\n            "{each}"' in schema for each in types)
    assert all(f"| `{each}` | | | |" in table for each in types)


def test_the_options_in_detects_table_set_the_keys_that_they_are_beside() -> None:
    table = tables.detect_keys()
    for key, option in arguments.OPTIONS.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{key}` |")]
        assert f"| `{option}` |" in row
        given = [option] if key.endswith(("debug", "broker")) else [option, "1"]
        assert getattr(arguments.read_arguments(given), key.rpartition(".")[2]) is not None
