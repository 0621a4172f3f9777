from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "cryptography", "rich")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.sources import read_wanted  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = ROOT / "configs"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where deploy.py is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def configs(directory: Path) -> Path:
    return Path(shutil.copytree(CONFIGS, directory / "configs"))


def test_what_came_with_the_software_is_read_where_there_is_nothing_else(directory: Path, configs: Path) -> None:
    Path("things.txt").write_text("a\n")
    wanted = read_wanted(None, configs)
    assert (Path("things.txt"), ("a",)) == (wanted.source, wanted.things)
    assert ["cpu-usage", "network-metrics", "silence"] == [profile.name for profile in wanted.profiles]
    assert 300 == wanted.device_config["agent"]["publish_interval"]


def test_ones_own_files_win(directory: Path, configs: Path) -> None:
    shutil.copy(ROOT / "things.txt", directory)
    Path("things.local.txt").write_text("b\n")
    (configs / "security-profiles.local").mkdir()
    (configs / "security-profiles.local" / "p.json").write_text('{"securityProfileName": "mine"}')
    own = {"agent": {"publish_interval": 600}, "custom_metrics": {"load": {"source": "load_average"}}}
    (configs / "amazon-defender-publisher-fleet.local.json").write_text(json.dumps(own))
    wanted = read_wanted(None, configs)
    assert (Path("things.local.txt"), ("b",)) == (wanted.source, wanted.things)
    assert ["mine"] == [profile.name for profile in wanted.profiles]
    assert own == wanted.device_config


def test_a_list_that_was_asked_for_wins_over_both(directory: Path, configs: Path) -> None:
    for name in ("things.txt", "things.local.txt", "other.txt"):
        Path(name).write_text(f"{name[0]}\n")
    assert ("o",) == read_wanted(Path("other.txt"), configs).things


def test_names_in_both_lists_are_refused_since_those_in_one_would_be_deleted(directory: Path, configs: Path) -> None:
    Path("things.txt").write_text("a\n")
    Path("things.local.txt").write_text("b\n")
    expected = (
        "things.txt names a, but things.local.txt is there as well and would be read instead: move all names into one "
        "of them"
    )
    with pytest.raises(DeployError) as raised:
        read_wanted(None, configs)
    assert expected == str(raised.value)


def test_without_detect_no_profile_is_read(directory: Path, configs: Path) -> None:
    Path("things.txt").write_text("a\n")
    (configs / "security-profiles" / "bad.json").write_text("{")
    wanted = read_wanted(None, configs, detect=False)
    assert ((), {"cpu_usage": "number"}) == (wanted.profiles, wanted.metrics)


def test_pulling_is_never_in_conflict_with_what_is_ones_own(tmp_path: Path) -> None:
    """Somebody follows the documentation; then whatever came with the software changes, and is pulled."""
    shipped = ("things.txt", "configs/amazon-defender-publisher-fleet.json", "configs/security-profiles/cpu-usage.json")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for name in (".gitignore", *shipped):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, theirs / name)
    git(theirs, "init", "-q", "-b", "main")
    commit(theirs)
    git(tmp_path, "clone", "-q", str(theirs), str(ours))
    (ours / "things.local.txt").write_text("rpi-0001\n")
    (ours / "configs" / "security-profiles.local").mkdir()
    (ours / "configs" / "security-profiles.local" / "mine.json").write_text("{}")
    shutil.copy(ours / shipped[1], ours / "configs" / "amazon-defender-publisher-fleet.local.json")
    assert "" == git(ours, "status", "--porcelain")
    for name in shipped:
        with (theirs / name).open("a") as file:
            file.write("\n")
    commit(theirs)
    git(ours, "pull", "-q", "--ff-only")
    assert "rpi-0001\n" == (ours / "things.local.txt").read_text()
    assert all((ours / name).read_text() == (theirs / name).read_text() for name in shipped)


def commit(directory: Path) -> None:
    git(directory, "add", "-A")
    git(directory, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "-m", "x")


def git(directory: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done.stdout
