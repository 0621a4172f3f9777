"""Files of keys are never read through a link, and are the old ones or the new ones after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.infrastructure.deployer import acting_as, issue, skip_without

skip_without("cryptography")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from tests.infrastructure.test_keys import deploy, files_of, full_disk  # noqa: E402

THING = "rpi-0001"


FILES = ("private.key", "request.csr", "certificate.pem")


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "fleet")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_nobody_else_can_read_anything(store: KeyStore, mask: int) -> None:
    with umask(mask):
        request = store.request(THING)
        deploy(store, request)
        store.renew(THING)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [store.directory, *store.directory.rglob("*")]}
    assert {0o700} == {modes.pop("fleet"), modes.pop(THING)}
    assert dict.fromkeys([*FILES, "private.key.new", "request.csr.new"], 0o600) == modes


def test_a_directory_that_was_there_keeps_its_mode(store: KeyStore) -> None:
    store.directory.mkdir(mode=0o755)
    store.request(THING)
    assert 0o755 == store.directory.stat().st_mode & 0o777
    assert 0o700 == (store.directory / THING).stat().st_mode & 0o777


def test_a_things_directory_that_others_could_read_is_closed_to_them_before_it_is_locked(store: KeyStore) -> None:
    """Who may read a directory may lock it; one comes with such a mode out of a backup, for instance."""
    store.request(THING)
    (store.directory / THING).chmod(0o755)
    with store.locked(THING):
        assert 0o700 == (store.directory / THING).stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["private.key", "private.key.new", "request.csr.new"])
def test_a_symbolic_link_in_a_keys_place_is_refused(store: KeyStore, tmp_path: Path, name: str) -> None:
    directory = store.directory / THING
    directory.mkdir(parents=True)
    (directory / name).symlink_to(tmp_path / "target")
    with pytest.raises(DeployError, match=f"{name} is a symbolic link"):
        store.request(THING)
    assert not (tmp_path / "target").exists()


def test_a_full_disk_is_told_with_the_path_and_costs_no_key(store: KeyStore) -> None:
    old = store.request(THING)
    deploy(store, old)
    before = files_of(store)
    with (
        full_disk(),
        pytest.raises(DeployError, match=rf"{THING}/private.key.new cannot be read or written: File too"),
    ):
        store.renew(THING, old)
    assert before == files_of(store)


def test_a_file_in_the_directorys_place_is_told(store: KeyStore) -> None:
    store.directory.write_text("")
    with pytest.raises(DeployError, match="fleet cannot be read or written: File exists"):
        store.request(THING)


@pytest.fixture
def visible_store() -> Iterator[KeyStore]:
    """A store that others can look at, which they cannot below tmp_path."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield KeyStore(Path(directory))


def test_a_directory_without_permission_is_told(visible_store: KeyStore, unprivileged: int) -> None:
    with acting_as(unprivileged), pytest.raises(DeployError, match=f"{THING} cannot be read or written: Permission"):
        visible_store.request(THING)


def test_files_without_permission_are_not_taken_for_missing(visible_store: KeyStore, unprivileged: int) -> None:
    request = visible_store.request(THING)
    issued = issue(request)
    with acting_as(unprivileged), pytest.raises(DeployError, match=f"{THING} cannot be read or written: Permission"):
        visible_store.settle(THING, issued.pem, request)


def test_a_directory_that_may_not_be_looked_at_is_told(visible_store: KeyStore, unprivileged: int) -> None:
    closed = KeyStore(visible_store.directory / "closed")
    closed.request(THING)
    with acting_as(unprivileged), pytest.raises(DeployError, match=f"{THING} cannot be read or written: Permission"):
        closed.discard_pending(THING)
