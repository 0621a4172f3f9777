"""A kit: one file that makes a device one thing; damaged it does nothing, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from release import kit
from tests.installers.test_claim import claim

ROOT = Path(__file__).resolve().parent.parent
LEFT = Path("/var/tmp")
FILES = ("amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="a kit is made from a git checkout"
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A thing's bundle."""
    path = tmp_path / "rpi-0001.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in FILES:
            member = tarfile.TarInfo(name)
            content = CONFIG if name.endswith(".json") else b"secret"
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path


CONFIG = b"""{"agent": {"thing_name": "rpi-0001", "authentication":
    {"endpoint": "e", "certificate": "certificate.pem", "private_key": "private.key"}}}"""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A wheelhouse, in which nothing is looked at here."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    (directory / "thing-1.0-py3-none-any.whl").write_bytes(b"wheel")
    return directory


@pytest.fixture
def made(bundle: Path, wheels: Path) -> Path:
    """A kit."""
    return kit.write_kit(bundle, wheels)


@contextlib.contextmanager
def nothing_stays() -> Iterator[None]:
    before = set(LEFT.glob("defender-kit.*"))
    yield
    assert before == set(LEFT.glob("defender-kit.*"))


def run(path: Path, *options: object, directory: Path | str = "/") -> subprocess.CompletedProcess[str]:
    words = ["bash", str(path), *map(str, options)]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=directory, stdin=subprocess.DEVNULL, timeout=60
    )


def test_a_kit_is_beside_the_bundle_and_only_its_owner_can_read_it(made: Path, bundle: Path) -> None:
    assert bundle.with_name("install-rpi-0001.bash") == made
    assert 0o600 == stat.S_IMODE(made.stat().st_mode)
    assert "sudo bash install-rpi-0001.bash" in kit.how_to_use(made)


def test_a_kit_installs_its_bundle_with_its_packages(made: Path, tmp_path: Path) -> None:
    (tmp_path / "prefix").mkdir()
    with nothing_stays():
        done = run(made.name, "--dry-run", "--prefix", "prefix", directory=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert "rpi-0001 at e, from " in done.stdout
    assert ("/kit/wheelhouse --requirement" in done.stdout) == (os.uname().machine in ("x86_64", "aarch64"))
    assert f" {tmp_path}/prefix/opt/aws/" in done.stdout


def test_one_kit_of_a_claim_is_for_all_devices_of_a_fleet(wheels: Path, tmp_path: Path) -> None:
    made = kit.write_kit(claim(tmp_path / "claim.tar"), wheels)
    assert "# Makes a device a thing of its fleet: " in made.read_bytes()[:200].decode()
    (tmp_path / "prefix").mkdir()
    for thing in ("pump-1", "pump-2"):
        done = run(made.name, "--dry-run", "--prefix", "prefix", "--thing-name", thing, directory=tmp_path)
        assert (0, "") == (done.returncode, done.stderr)
        assert f"{thing} at e, from " in done.stdout
        assert " --provision " in done.stdout


def test_a_bundle_below_a_directory_with_a_blank_is_one_word_to_make_too(
    tmp_path: Path, bundle: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kit, "ensure_wheels", lambda: wheels)
    (tmp_path / "my fleet").mkdir()
    bundle.rename(tmp_path / "my fleet" / bundle.name)
    assert 0 == kit.main(f"{tmp_path}/my fleet/{bundle.name}".split())
    assert f"{tmp_path}/my fleet/install-rpi-0001.bash: 1." in capsys.readouterr().out
    assert 1 == kit.main([str(tmp_path / "my"), "fleet"])


def test_a_kit_ends_with_the_installers_exit_status(made: Path) -> None:
    with nothing_stays():
        done = run(made, "--frobnicate")
    assert (2, "there is no option --frobnicate") == (done.returncode, done.stderr.splitlines()[0])


@pytest.mark.parametrize("at", [-2000, -1])
def test_a_kit_that_was_damaged_on_its_way_is_not_unpacked(made: Path, at: int) -> None:
    content = bytearray(made.read_bytes())
    content[at] ^= 1
    made.write_bytes(content)
    with nothing_stays():
        done = run(made, "--dry-run")
    assert (1, "", f"{made} is damaged: copy it again\n") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("length", [300, 1500, 4000])
def test_a_kit_that_was_cut_off_does_nothing(made: Path, length: int) -> None:
    made.write_bytes(made.read_bytes()[:length])
    with nothing_stays():
        done = run(made, "--dry-run")
    assert 0 != done.returncode or "" == done.stdout + done.stderr


def test_a_kit_that_is_piped_into_a_shell_says_what_to_do(made: Path) -> None:
    done = subprocess.run(["bash"], stdin=made.open("rb"), capture_output=True, text=True, check=False, cwd="/")
    assert (1, True) == (done.returncode, "copy it to the device" in done.stderr)


def test_another_shell_ends_in_a_sentence(made: Path) -> None:
    if shutil.which("dash") is None:
        pytest.skip("dash is not installed")
    done = subprocess.run(["dash", str(made)], capture_output=True, text=True, check=False)
    assert (2, "", f"this needs bash: sudo bash {made}\n") == (done.returncode, done.stdout, done.stderr)


def test_what_is_in_a_kit_is_all_that_a_device_needs_and_no_more(made: Path, wheels: Path) -> None:
    content = made.read_bytes()
    length = int(content.split(b"length=")[1].split()[0])
    with tarfile.open(fileobj=BytesIO(content[-length:])) as tar:
        members = tar.getmembers()
        assert CONFIG in tar.extractfile("kit/bundle.tar").read()  # type: ignore[union-attr]
    assert {True} == {member.isfile() for member in members}
    tops = {"/".join(member.name.split("/")[1:3]) for member in members}
    assert {"bundle.tar", "wheelhouse/thing-1.0-py3-none-any.whl", "source/installers"} < tops
    assert set() == {f"source/{name}" for name in ("docs", "tests", "infrastructure", "defender_detect", "demo")} & tops


def test_the_same_bundle_is_the_same_kit_again(bundle: Path, wheels: Path, tmp_path: Path) -> None:
    one, other = (kit.write_kit(bundle, wheels, tmp_path / name).read_bytes() for name in ("one", "other"))
    assert one == other


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rpi-0001.tar", b"no tar", "is no bundle"),
        ("rpi-0001.tar", b"\0" * 5_000_000, "is no bundle"),
        ("rpi 1'; reboot; '.tar", b"", "must have the name of a thing"),
        ("rpi-0001.zip", b"", "must have the name of a thing and end in .tar"),
    ],
)
def test_what_is_no_bundle_of_a_thing_makes_no_kit(
    tmp_path: Path, wheels: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kit.KitError, match=says):
        kit.write_kit(tmp_path / name, wheels)


def test_a_kit_has_the_parts_that_the_installer_copies() -> None:
    from tests.installers.test_device import load

    assert load()["product"].PUBLISHER.parts == kit.PARTS
    assert set(kit.PARTS) <= {path.name for path in ROOT.iterdir()}
