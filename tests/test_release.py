"""The release tar: an operator's files as git has them, the same byte by byte whoever builds it, and able to run."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release import archive, build, lock, wheelhouse

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="a release is built from a git checkout"
)


@pytest.fixture(scope="module")
def release() -> bytes:
    return build.build_archive(ROOT, "1.2.3")


@pytest.fixture
def members(release: bytes) -> Iterator[list[tarfile.TarInfo]]:
    with tarfile.open(fileobj=io.BytesIO(release)) as content:
        yield content.getmembers()


@pytest.fixture
def unpacked(release: bytes, tmp_path: Path) -> Path:
    """The release as `tar xf` leaves it."""
    (tmp_path / "release.tar.gz").write_bytes(release)
    subprocess.run(["tar", "-xf", "release.tar.gz"], cwd=tmp_path, check=True)
    return tmp_path / "amazon-defender-publisher-1.2.3"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed file of a release and one of none."""
    root = tmp_path / "repository"
    (root / "tests").mkdir(parents=True)
    (root / "README.md").write_text("read me\n")
    (root / "tests" / "test_it.py").write_text("pass\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "-m", "m")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False)


def test_a_release_is_below_one_directory_that_has_the_version(members: list[tarfile.TarInfo]) -> None:
    assert {"amazon-defender-publisher-1.2.3"} == {member.name.split("/")[0] for member in members}


def test_everything_in_a_release_is_roots_and_others_cannot_write_it(members: list[tarfile.TarInfo]) -> None:
    expected = {(0, 0, archive.commit_time(ROOT))}
    assert expected == {(each.uid, each.gid, each.mtime) for each in members}
    assert {(True, 0o644), (True, 0o755), (False, 0o755)} == {(each.isfile(), each.mode) for each in members}
    assert [] == [each.name for each in members if not (each.isfile() or each.isdir())]


def test_the_programs_and_the_installers_in_a_release_can_be_run_and_nothing_else(unpacked: Path) -> None:
    executable = {path.name for path in unpacked.rglob("*") if path.is_file() and os.access(path, os.X_OK)}
    installers = {f"{what}install-{platform}.bash" for what in ("", "un") for platform in ("rpi", "osx", "detect")}
    assert {
        "amazon-defender-publisher",
        "amazon-defender-cloudwatch",
        "amazon-defender-detect",
    } | installers == executable


def test_an_unpacked_release_reports(unpacked: Path) -> None:
    done = run(unpacked / "amazon-defender-publisher", "--dry-run")
    assert (0, "") == (done.returncode, done.stderr)
    assert '"metrics"' in done.stdout


def test_an_unpacked_release_has_detect_and_everything_that_it_imports(unpacked: Path) -> None:
    profiles = unpacked / "configs" / "security-profiles"
    done = run(unpacked / "amazon-defender-detect", "--check-config", "--profiles", str(profiles))
    assert (0, "") == (done.returncode, done.stderr)


def test_a_release_has_no_tests_and_nothing_of_the_deployers(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir()}
    assert set() == names & {"tests", "demo", "Makefile", ".git", "deploy.py", "infrastructure", "release"}


def test_two_builds_are_the_same_byte_by_byte(release: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)  # another day
    assert release == build.build_archive(ROOT, "1.2.3")


def test_modes_and_times_of_the_files_on_disk_do_not_matter(repository: Path) -> None:
    before = build.build_archive(repository, "1")
    (repository / "README.md").chmod(0o600)
    os.utime(repository / "README.md", (1, 1))
    assert before == build.build_archive(repository, "1")


def test_only_what_git_tracks_is_in_a_release(repository: Path) -> None:
    (repository / "configs").mkdir()
    (repository / "configs" / "private.key").write_text("secret")
    assert ["README.md"] == [member.name for member in archive.read_tracked(repository)]


def test_a_file_that_is_not_as_it_was_committed_is_named(repository: Path) -> None:
    assert [] == archive.changed_files(repository)
    (repository / "README.md").write_text("another\n")
    assert ["README.md"] == archive.changed_files(repository)


def test_a_symbolic_link_is_refused(repository: Path) -> None:
    (repository / "LICENSE").symlink_to("/etc/passwd")
    git(repository, "add", "LICENSE")
    with pytest.raises(archive.ReleaseError, match="LICENSE is a symbolic link"):
        archive.read_tracked(repository)


def test_without_a_git_checkout_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(archive.ReleaseError, match="a release is built from a git checkout"):
        archive.read_tracked(tmp_path)


def test_the_version_is_the_programs() -> None:
    assert f"amazon-defender-publisher {archive.read_version(ROOT)}" == run(
        ROOT / "amazon-defender-publisher", "--version"
    ).stdout.strip()  # fmt: skip


def test_the_checksums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    build.write(tmp_path, {"a.tar": b"one", "b.tar": b"two"})
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, check=False)
    assert (0, b"a.tar: OK\nb.tar: OK\n") == (done.returncode, done.stdout)


def test_each_requirement_of_a_device_has_wheels_for_every_platform_or_is_pure() -> None:
    """A package that is added must be thought of: its wheels are fetched by platform, or it is Python throughout."""
    needed = wheelhouse.read_requirements(ROOT / "requirements.txt")
    kinds = (wheelhouse.COMPILED, wheelhouse.BOTH, wheelhouse.PURE, wheelhouse.RETAGGED)
    assert sorted(needed) == sorted(name for kind in kinds for name in kind)
    assert "cbor2>=5.4,<6" == needed["cbor2"]


@pytest.mark.parametrize("python", wheelhouse.PYTHONS)
def test_the_locks_have_one_version_of_each_requirement_for_each_python_and_it_is_in_range(python: str) -> None:
    entries = {**wheelhouse.read_lock(lock.PACKAGES), **wheelhouse.read_lock(lock.RETAGGED)}
    needed = wheelhouse.read_requirements(ROOT / "requirements.txt")
    assert set(needed) == set(entries)
    for name, text in needed.items():
        versions = {each.split(" \\\n")[0] for each in re.split(r"^(?=[a-z])", entries[name], flags=re.MULTILINE)[1:]}
        pins = [Requirement(version) for version in versions]
        chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
        assert 1 == len(chosen), versions
        (version,) = {each.version for each in chosen[0].specifier}
        assert Requirement(text).specifier.contains(version)
        assert "--hash=sha256:" in entries[name]


@pytest.mark.parametrize("python", [each for each in wheelhouse.PYTHONS if each != "3.9"])
def test_the_lock_of_detect_has_a_version_of_each_requirement_that_is_in_range(python: str) -> None:
    check_pins(wheelhouse.read_lock(lock.DETECT), lock.DETECT_NEEDS, python)
    assert "win32" not in lock.DETECT.read_text()
    assert len(wheelhouse.read_lock(lock.DETECT)) > 20, "with what they bring"


@pytest.mark.parametrize("python", [each for each in wheelhouse.PYTHONS if each not in ("3.9", "3.10")])
def test_the_lock_of_the_console_has_what_it_needs_and_nothing_that_detects_has(python: str) -> None:
    entries = wheelhouse.read_lock(lock.CONSOLE)
    check_pins(entries, lock.CONSOLE_NEEDS, python)
    assert {"anyio", "h11", "markupsafe"} <= {*entries}, "with what they bring"
    assert not {*entries} & {*wheelhouse.read_lock(lock.DETECT)}, "pip takes no package from two locks"


def check_pins(entries: dict[str, str], needs: Path, python: str) -> None:
    """See that a lock has one version of each requirement on a Python, and that it is in range."""
    for name, text in wheelhouse.read_requirements(needs).items():
        lines = re.findall(rf"^{name}==.*(?= \\$)", entries[name], flags=re.MULTILINE)
        environment = {"python_version": python, "python_full_version": f"{python}.0"}
        pins = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate(environment)]
        assert 1 == len(pins), lines
        (version,) = {each.version for each in pins[0].specifier}
        assert Requirement(text).specifier.contains(version)


def test_the_entries_for_a_python_are_those_whose_condition_holds_there() -> None:
    conditions = ('a==1 ; python_version < "3.10"', 'a==2 ; python_version >= "3.10"', "b==1")
    text = "".join(f"{each} \\\n    --hash=x\n" for each in conditions)
    chosen = {python: [each.split()[0] for each in wheelhouse.entries_for(text, python)] for python in ("3.9", "3.14")}
    assert {"3.9": ["a==1", "b==1"], "3.14": ["a==2", "b==1"]} == chosen
    assert ["a==1 \\\n    --hash=x\n", "b==1 \\\n    --hash=x\n"] == list(wheelhouse.entries_for(text, "3.9"))


def test_what_builds_wheels_is_locked_for_each_python_too() -> None:
    builders = wheelhouse.read_lock(lock.BUILD)
    assert {requirement.split("==")[0] for requirement in lock.BUILDERS} == set(builders)
    assert all("--hash=sha256:" in text for text in builders.values())


def test_a_condition_says_which_pythons_get_a_version() -> None:
    every = {"3.9", "3.10", "3.11", "3.14"}
    assert "" == lock.marker_of(every, every)
    assert ' ; python_version < "3.10"' == lock.marker_of({"3.9"}, every)
    assert ' ; python_version >= "3.10" and python_version < "3.14"' == lock.marker_of({"3.11", "3.10"}, every)
    assert ' ; python_version >= "3.14"' == lock.marker_of({"3.14"}, every)
