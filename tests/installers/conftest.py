"""What the tests of the Linux installer share: machines of each distribution, as they come and with the service."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from demo.authority import Authority
from release import archive, lock, wheelhouse
from tests import namespaces
from tests.installers import roots
from tests.installers.machine import Machine
from tests.installers.site import BUNDLE, ROOT, SOURCE, WHEELS, NewSite, Run, Site, write_bundle

WANTED = os.environ.get("DISTRIBUTIONS", "").replace(",", " ").split()  # names of distributions; none: all of them
TOOLS = ("systemd-nspawn", "debootstrap", "nsenter", "ip", "setpriv", "unshare")
TIME = 1_795_000_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that has a distribution on each of them, one after the other."""
    if "distribution" in metafunc.fixturenames:
        chosen = [each for each in roots.DISTRIBUTIONS if not WANTED or each.name in WANTED]
        metafunc.parametrize("distribution", chosen, ids=str, scope="session")


@pytest.fixture(scope="session")
def minimal_root(distribution: roots.Distribution, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system of a minimal image, without Python."""
    if namespaces.refusal() is not None or os.geteuid() != 0:
        pytest.skip("machines need root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"machines need {', '.join(missing)}")
    try:
        root = roots.root_of(distribution)
        refusal = Machine([root], tmp_path_factory.mktemp("probe"), None, {}).refusal()
    except (roots.RootError, OSError) as error:
        refusal = str(error)
    if refusal is not None:
        pytest.skip(f"there can be no machine with {distribution} here: {refusal.splitlines()[0]}")
    return root


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is released of this work tree, as `tar -xf` leaves it."""
    directory = tmp_path_factory.mktemp("source")
    with tarfile.open(fileobj=BytesIO(archive.pack("release", archive.read_tracked(ROOT), TIME))) as release:
        release.extractall(directory)
    (unpacked,) = directory.iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The wheelhouse of this release; it is kept until the locks change."""
    locks = lock.LOCKS
    content = b"".join(path.read_bytes() for path in (lock.PACKAGES, lock.RETAGGED))
    kept = roots.CACHE / "wheelhouses" / hashlib.sha256(content).hexdigest()[:12]
    with roots.locked(kept):
        if kept.exists():
            return kept
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.mkdir(parents=True)
        try:
            wheelhouse.build_own(locks, part)
        except wheelhouse.WheelError as error:
            pytest.skip(f"no wheels can be had here: {error}")
        lost = list(wheelhouse.fetch_others(locks, part))
        if any("x86-64" in line for line in lost):
            pytest.skip(f"no wheels can be had here: {'; '.join(lost)}")
        part.rename(kept)
    return kept


@pytest.fixture(scope="session")
def detect_wheels() -> Path:
    """What Detect and its console need, for the Pythons of the distributions; it is kept until the locks change."""
    content = b"".join(path.read_bytes() for path in (lock.DETECT, lock.CONSOLE))
    kept = roots.CACHE / "wheelhouses" / f"detect-{hashlib.sha256(content).hexdigest()[:12]}"
    with roots.locked(kept):
        if kept.exists():
            return kept
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.mkdir(parents=True)
        for python in ("3.11", "3.12", "3.13"):
            options = ("--require-hashes", "--requirement", str(lock.DETECT), "--requirement", str(lock.CONSOLE))
            done = wheelhouse.fetch(part, *options, platform="Linux on x86-64", python=python)
            if done.returncode:
                pytest.skip(f"no wheels can be had here: {done.stderr.strip()}")
        part.rename(kept)
    return kept


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    """The bundles of two things."""
    directory = tmp_path_factory.mktemp("bundles")
    write_bundle(directory / "rpi-0001.tar", authority)
    write_bundle(directory / "rpi-0002.tar", authority, "rpi-0002")
    return directory


@pytest.fixture(scope="session")
def shared(source: Path, wheels: Path, bundles: Path) -> dict[Path, str]:
    """What machines see of the host."""
    return {source: SOURCE, wheels: WHEELS, bundles: BUNDLE}


@pytest.fixture
def new_site(tmp_path: Path, authority: Authority, shared: dict[Path, str]) -> Iterator[NewSite]:
    """Make a site of a machine with these layers; it is gone after the test."""
    made: list[Site] = []

    def new_site(*layers: Path, **options: object) -> Site:
        made.append(Site(tmp_path / f"site{len(made)}", layers, authority, shared, **options))  # type: ignore[arg-type]
        return made[-1]

    yield new_site
    for site in made:
        site.close()


@pytest.fixture(scope="session")
def first_run(
    minimal_root: Path, tmp_path_factory: pytest.TempPathFactory, authority: Authority, shared: dict[Path, str]
) -> tuple[list[Path], Run]:
    """The layers of a machine that was installed from a bundle and then switched off, and what the installer said."""
    site = Site(tmp_path_factory.mktemp("first-run"), [minimal_root], authority, shared)
    try:
        done = site.open().install("--bundle", f"{BUNDLE}/rpi-0001.tar")
        site.machine.switch_off()
        return site.machine.layers, done
    finally:
        site.close()


@pytest.fixture
def site(new_site: NewSite, first_run: tuple[list[Path], Run]) -> Site:
    """A machine on which the service is installed and runs, and whose first report was accepted."""
    layers, done = first_run
    assert 0 == done.returncode, done.stdout + done.stderr
    site = new_site(*layers).open()
    site.wait_for_report(0.0)
    return site
