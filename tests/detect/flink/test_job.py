"""The job in outline: what is wrong is said before Flink is asked for anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender_detect.flink.job import EXIT_CONFIG, EXIT_OK, main
from demo.flink.reports import make_document, make_profile
from demo.flink.scene import Scene


def test_properties_and_rules_can_be_checked_without_flink(tmp_path: Path) -> None:
    scene = Scene(tmp_path, make_document(make_profile()))
    assert EXIT_OK == main(["--properties", str(scene.properties(is_watched=True)), "--check"])


@pytest.mark.parametrize(
    ("document", "sentence"),
    [("{}", "attachments is missing"), ("not JSON", "must be JSON"), ("\ud800", "cannot be read")],
)
def test_rules_that_do_not_compile_end_it_with_a_sentence(
    document: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path, "")
    (tmp_path / "rules.json").write_bytes(document.encode(errors="surrogatepass"))
    assert EXIT_CONFIG == main(["--properties", str(scene.properties()), "--check"])
    said = capsys.readouterr().err
    assert sentence in said
    assert "rules.json" in said


def test_rules_that_are_not_there_end_it_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(tmp_path, make_document(make_profile()))
    path = scene.properties(rules="absent.json")
    assert EXIT_CONFIG == main(["--properties", str(path), "--check"])
    assert "detect: rules: absent.json cannot be read: " in capsys.readouterr().err
    path.write_text(json.dumps([]))
    assert EXIT_CONFIG == main(["--properties", str(path)])
    assert "the group detect is missing" in capsys.readouterr().err
