"""The evidence is written whole or not at all, without secrets, and what cannot be had leaves a gap that says why."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from defender_daemon import evidence
from defender_daemon.evidence import BundleError, end_of_log, make_files, write

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(("name", "mode"), [("a.tar.gz", "r:gz"), ("a.tgz", "r:gz"), ("a.tar", "r:"), ("a", "r:")])
def test_a_bundle_is_a_tar_for_its_owner_compressed_by_its_name(tmp_path: Path, name: str, mode: str) -> None:
    said = list(write(tmp_path / name, "service", lambda: {"a.txt": b"12345", "b.json": b"{}"}))
    assert ["        5 bytes  a.txt", "        2 bytes  b.json"] == said[2:4]
    assert 0o600 == stat.S_IMODE((tmp_path / name).stat().st_mode)
    with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
        assert {"service/a.txt": 5, "service/b.json": 2} == {each.name: each.size for each in tar}


def test_a_bundle_that_is_interrupted_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    def interrupt() -> dict[str, bytes]:
        raise KeyboardInterrupt

    (tmp_path / "a.tar").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        list(write(tmp_path / "a.tar", "service", interrupt))
    assert [("a.tar", b"old")] == [(each.name, each.read_bytes()) for each in tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is a directory; name a file in it"):
        list(write(tmp_path, "service", dict))
    with pytest.raises(BundleError, match=r"cannot be written: No such file or directory; choose another place"):
        list(write(tmp_path / "none" / "a.tar", "service", dict))


def test_a_file_that_breaks_says_why_and_no_file_holds_a_secret() -> None:
    def broken(findings: str) -> str:
        raise OSError("no /proc")

    table = {
        "a.txt": lambda findings: f"{findings} {KEY}",
        "b.json": lambda findings: {"said": findings},
        "c.txt": broken,
        "d.json": broken,
    }
    made = make_files(table, "the word is sesame", ["sesame"])
    assert b"the word is (removed) (removed)" == made["a.txt"]
    assert b'{\n  "said": "the word is (removed)"\n}\n' == made["b.json"]
    assert b"not available: OSError: no /proc\n" == made["c.txt"]
    assert b'{\n  "not available": "OSError: no /proc"\n}\n' == made["d.json"]


def test_of_a_log_the_last_lines_are_kept_and_a_key_that_is_cut_is_none_of_them() -> None:
    text = f"{KEY}\n" + "".join(f"line {number}\n" for number in range(evidence.LOG_LINES - 1))
    found = end_of_log(text).splitlines()
    assert (evidence.LOG_LINES, "(removed)", "line 0") == (len(found), found[0], found[1])
    assert "MIGH" not in end_of_log("\n".join(text.splitlines()[1:]))


def test_a_journal_that_is_not_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "" == evidence.journal_of("service")
    (tmp_path / "journalctl").write_text('#!/bin/sh\nprintf "%s of %s \\344\\n" "$5" "$4"\n')
    (tmp_path / "journalctl").chmod(0o755)
    assert "--lines of service \N{REPLACEMENT CHARACTER}\n" == evidence.journal_of("service")
