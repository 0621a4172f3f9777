"""A configuration that lets things renew their certificates says why it cannot, where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from defender_detect.authority.certificates import pem_of_key
from defender_detect.authority.initialization import Wish
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import AuthorityError, DetectError
from defender_detect.renewal import CREATE
from defender_detect.renewing import check_renewal, key_path, make_renewal
from tests.detect.authority.asking import issuer_in
from tests.detect.authority.home import make
from tests.detect.authority.test_things import Home

RENEWING = Wish(hosts=["localhost"], port=18883, renewal=True)


class Bench:
    """A home whose things renew their certificates, by a configuration that a test may change."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.directory = self.home.directory
        self.directory.config.unlink()
        make(self.directory.path, RENEWING)

    def config(self, **agent: Any) -> Config:
        document = json.loads(self.directory.config.read_text())
        given = {**document["agent"], **agent}
        document["agent"] = {key: value for key, value in given.items() if value is not None}
        self.directory.config.write_text(json.dumps(document))
        return read_config(self.directory.config, {})

    def encrypt(self) -> None:
        self.directory.authority_key.write_bytes(pem_of_key(issuer_in(self.directory).key, b"secret"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_init_made_answers(bench: Bench) -> None:
    renewal = make_renewal(bench.config())
    assert f"{CREATE}/accepted" in renewal.filters


def test_without_the_option_nothing_is_answered_and_no_key_is_read(bench: Bench) -> None:
    bench.directory.authority_key.unlink()
    assert frozenset() == make_renewal(bench.config(renewal=None)).filters


def test_systemds_copy_of_the_key_goes_before_the_file(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert bench.directory.authority_key == key_path(bench.directory.authority)
    bench.directory.authority_key.rename(tmp_path / "authority.key")
    assert tmp_path / "authority.key" == key_path(bench.directory.authority)
    make_renewal(bench.config())


def test_another_broker_and_no_place_to_keep_things_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with pytest.raises(DetectError, match="would go to everybody who subscribes to them"):
        check_renewal(bench.config(embedded_broker=False))
    with pytest.raises(DetectError, match=r"agent\.renewal needs agent\.state_directory"):
        make_renewal(bench.config(embedded_broker=True, state_directory=None))
    check_renewal(bench.config())  # as an installer has it checked, to whom systemd says no directory


def test_a_key_with_a_pass_phrase_or_none_and_missing_wishes_are_refused(bench: Bench) -> None:
    bench.encrypt()
    with pytest.raises(AuthorityError, match="has a pass phrase, which a service cannot type: renew certificates by"):
        make_renewal(bench.config())
    bench.directory.authority_key.unlink()
    with pytest.raises(AuthorityError, match=r"there is no .*, without which agent\.renewal can issue no certificate"):
        make_renewal(bench.config())


def test_wishes_that_are_missing_are_made_by_init(bench: Bench) -> None:
    bench.directory.over_the_air.unlink()
    with pytest.raises(AuthorityError, match=r"run amazon-defender-detect init --renewal "):
        make_renewal(bench.config())
    make(bench.directory.path, RENEWING)
    make_renewal(bench.config())
