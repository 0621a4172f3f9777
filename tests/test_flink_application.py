"""The zip for Managed Service for Apache Flink: what is in it, and what is no jar of a connector."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from release import archive, flink, lock, wheelhouse
from release.component import pack

ROOT = Path(__file__).resolve().parent.parent
JAR = "flink-sql-connector-aws-kinesis-streams-5.1.0.jar"


def make_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, name)
    return path


def test_the_source_is_the_job_and_what_it_imports() -> None:
    try:
        members = {member.name: member.content for member in flink.read_source(ROOT)}
    except archive.ReleaseError as error:
        pytest.skip(str(error))
    assert {"LICENSE", "defender_daemon", "defender_detect", "device_defender"} == {
        name.removeprefix("packages/").partition("/")[0] for name in members
    }
    assert "packages/defender_detect/flink/job.py" in members
    assert not [name for name in members if "/console/" in name]


def test_what_aws_starts_finds_packages_and_rules_from_any_directory(tmp_path: Path) -> None:
    job = "import os, sys\ndef main(arguments):\n    print(os.path.exists('rules.json'), arguments)\n    return 78\n"
    there = tmp_path / "packages" / "defender_detect" / "flink"
    there.mkdir(parents=True)
    for path, content in {there / "job.py": job, tmp_path / "rules.json": "{}"}.items():
        path.write_text(content)
    (tmp_path / "main.py").write_bytes(flink.MAIN)
    command = [sys.executable, "-I", str(tmp_path / "main.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert (78, "True []\n") == (done.returncode, done.stdout), done.stderr


def test_wheels_are_unpacked_at_the_root_and_the_same_parts_make_the_same_zip(tmp_path: Path) -> None:
    wheels = [make_zip(tmp_path / f"{name}.whl", f"{name}/__init__.py", f"{name}.dist-info/METADATA") for name in "ab"]
    first, second = (pack(flink.unpack(wheels)) for _ in range(2))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as packed:
        inside = ["a/__init__.py", "a.dist-info/METADATA", "b/__init__.py", "b.dist-info/METADATA"]
        assert [f"packages/{name}" for name in inside] == packed.namelist()


def test_a_connectors_jar_is_in_lib(tmp_path: Path) -> None:
    member = flink.read_jar(make_zip(tmp_path / JAR, flink.JAR_CONTENT))
    assert (f"lib/{JAR}", (tmp_path / JAR).read_bytes()) == (member.name, member.content)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (JAR, None, "No such file"),
        (JAR, "other", "is none"),
        ("flink-sql-connector-kafka-5.0.jar", flink.JAR_CONTENT, "JAR must be flink-sql-connector-aws-kinesis-str"),
        ("kinesis.zip", flink.JAR_CONTENT, "JAR must be flink-sql-connector-aws-kinesis-streams"),
    ],
)
def test_what_is_no_jar_of_the_connector_is_refused(
    tmp_path: Path, name: str, content: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        make_zip(tmp_path / name, content)
    assert 1 == flink.main([str(tmp_path / name)], tmp_path / "dist")
    assert says in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_without_a_jar_it_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == flink.main([])
    assert "make flink-application JAR=FILE" in capsys.readouterr().err


def test_the_lock_has_a_hash_of_all_that_the_job_needs() -> None:
    locked = wheelhouse.read_lock(lock.FLINK)
    assert {*lock.FLINK_NEEDS, "boto3"} <= locked.keys()
    assert all("--hash=sha256:" in entry for entry in locked.values())
    assert "apache-flink" not in locked, "AWS has it"


def test_what_pip_cannot_fetch_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(wheelhouse, "fetch", lambda *_, **__: failed)
    with pytest.raises(wheelhouse.WheelError, match="ERROR: no network"):
        flink.fetch_packages(tmp_path)
