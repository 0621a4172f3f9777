from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.infrastructure.deployer import issue, skip_without

skip_without("cryptography")

from infrastructure.bundles import CLAIM_KEYS, read_device_config, unreported, write_bundle, write_claim  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from infrastructure.names import Names  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
FLEET = ROOT / "configs" / "amazon-defender-publisher-fleet.json"
ROOTS = ROOT / "defender_publisher" / "roots" / "amazon-root-ca.pem"
ENDPOINT = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"
THING = "rpi-0001"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "fleet")
    settle(store, THING)
    return store


def settle(store: KeyStore, thing: str) -> None:
    request = store.request(thing)
    assert store.settle(thing, issue(request).pem, request)


def write(store: KeyStore, thing: str = THING, endpoint: str = ENDPOINT, **config: Any) -> Path | None:
    return write_bundle(store, thing, endpoint, config or read_device_config(FLEET), ROOTS)


def config_of(bundle: Path | None) -> dict[str, Any]:
    assert bundle is not None
    with tarfile.open(bundle) as tar:
        file = tar.extractfile("amazon-defender-publisher.json")
        assert file is not None
        config: dict[str, Any] = json.load(file)
    return config


def test_a_bundle_holds_configuration_certificate_key_and_roots(store: KeyStore) -> None:
    bundle = write(store)
    assert store.directory / f"{THING}.tar" == bundle
    assert 0o600 == bundle.stat().st_mode & 0o777
    with tarfile.open(bundle) as tar:
        members = {member.name: (member.mode, member.type, member.uid, member.gid) for member in tar}
        contents = {name: file.read() for name in tar.getnames() if (file := tar.extractfile(name))}
    assert {
        "amazon-defender-publisher.json": (0o644, tarfile.REGTYPE, 0, 0),
        "certificate.pem": (0o644, tarfile.REGTYPE, 0, 0),
        "private.key": (0o600, tarfile.REGTYPE, 0, 0),
        "roots.pem": (0o644, tarfile.REGTYPE, 0, 0),
    } == members
    assert store.certificate(THING).read_bytes() == contents["certificate.pem"]
    assert store.private_key(THING).read_bytes() == contents["private.key"]
    assert ROOTS.read_bytes() == contents["roots.pem"]


def test_the_configuration_is_the_fleets_with_the_things_identity(store: KeyStore) -> None:
    expected = json.loads(FLEET.read_text())
    del expected["$schema"]
    expected["agent"] |= {
        "thing_name": THING,
        "authentication": {
            "endpoint": ENDPOINT,
            "certificate": "certificate.pem",
            "private_key": "private.key",
            "root_ca": "roots.pem",
        },
    }
    assert expected == config_of(write(store))


def test_what_the_fleet_says_of_the_connection_stays(store: KeyStore) -> None:
    bundle = write(store, agent={"authentication": {"port": 443, "certificate": "elsewhere.pem"}})
    authentication = config_of(bundle)["agent"]["authentication"]
    assert (443, "certificate.pem") == (authentication["port"], authentication["certificate"])


def test_the_fleets_configuration_is_not_changed_by_a_things(store: KeyStore) -> None:
    config = read_device_config(FLEET)
    write_bundle(store, THING, ENDPOINT, config, ROOTS)
    assert read_device_config(FLEET) == config


def test_the_installers_take_a_bundle_as_it_is(store: KeyStore, tmp_path: Path) -> None:
    bundle = write(store)
    template = ROOT / "configs" / "amazon-defender-publisher-rpi.json"
    places = ["--into", tmp_path / "stage", "--etc", tmp_path / "etc", "--template", template]
    command = [sys.executable, "-I", "-B", ROOT / "installers" / "device", "stage-files", "--bundle", bundle, *places]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"{THING} at " in done.stdout
    assert store.private_key(THING).read_bytes() == (tmp_path / "stage" / "private.key").read_bytes()
    assert store.certificate(THING).read_bytes() == (tmp_path / "stage" / "certificate.pem").read_bytes()


@pytest.mark.parametrize("thing", [THING, "x" * 128, "lab:A_1"])
def test_the_publisher_takes_a_bundle_as_it_is(
    store: KeyStore, tmp_path: Path, run: Callable[..., CompletedProcess[str]], thing: str
) -> None:
    settle(store, thing)
    bundle = write(store, thing)
    assert bundle is not None
    with tarfile.open(bundle) as tar:
        tar.extractall(tmp_path / "device")
    done = run("--check-config", tmp_path / "device" / "amazon-defender-publisher.json")
    assert (0, True, True) == (done.returncode, thing in done.stdout, ENDPOINT in done.stdout), done


def test_a_bundle_that_is_there_is_not_written_again(store: KeyStore) -> None:
    bundle = write(store)
    assert bundle is not None
    before = bundle.read_bytes(), bundle.stat().st_ino
    assert write(store) is None
    assert before == (bundle.read_bytes(), bundle.stat().st_ino)


def test_the_same_content_is_the_same_bundle(store: KeyStore) -> None:
    bundle = write(store)
    assert bundle is not None
    before = bundle.read_bytes()
    bundle.unlink()
    store.private_key(THING).touch()
    write(store)
    assert before == bundle.read_bytes()


def test_a_bundle_whose_content_changed_is_written_again(store: KeyStore) -> None:
    assert write(store) is not None
    assert write(store, endpoint="other") is not None
    assert write(store, custom_metrics={}) is not None
    settle(store, THING)
    assert write(store, custom_metrics={}) is not None
    (store.directory / f"{THING}.tar").write_bytes(b"")
    assert write(store, custom_metrics={}) is not None


@pytest.mark.parametrize("name", ["certificate.pem", "private.key"])
def test_no_bundle_is_made_of_half(store: KeyStore, name: str) -> None:
    (store.directory / THING / name).unlink()
    with pytest.raises(DeployError, match=f"there is no .*/{THING}/{name}, and so no bundle"):
        write(store)
    assert not (store.directory / f"{THING}.tar").exists()


def test_missing_roots_are_told(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="nothing.pem cannot be read: No such file"):
        write_bundle(store, THING, ENDPOINT, {}, tmp_path / "nothing.pem")


def test_a_symbolic_link_in_a_bundles_place_is_refused(store: KeyStore, tmp_path: Path) -> None:
    (store.directory / f"{THING}.tar").symlink_to(tmp_path / "target")
    with pytest.raises(DeployError, match=f"{THING}.tar is a symbolic link"):
        write(store)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON in UTF-8"),
        ("[]", "must be an object"),
        ('{"agent": []}', "must be an object, with objects as agent and custom_metrics"),
        ('{"custom_metrics": 1}', "must be an object, with objects as agent and custom_metrics"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_fleet_configuration_that_is_none_is_told(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "fleet.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DeployError, match=f"fleet.json {message}"):
        read_device_config(path)


def test_metrics_that_no_device_reports_are_found() -> None:
    config = {"custom_metrics": {"cpu_usage": {}}}
    assert ("failed_logins",) == unreported(["cpu_usage", "failed_logins"], config)
    assert ("cpu_usage",) == unreported({"cpu_usage": "number"}, {})
    assert () == unreported(["cpu_usage"], read_device_config(FLEET))


def test_a_claim_names_no_thing_and_keeps_what_is_configured_of_provisioning(store: KeyStore) -> None:
    settle(store, CLAIM_KEYS)
    config = {"agent": {"provisioning": {"rotate_after_days": 365, "template": "another"}, "publish_interval": 600}}
    claim = write_claim(store, Names("lab"), ENDPOINT, config, ROOTS)
    agent = config_of(claim)["agent"]
    assert (600, 365, "lab", "lab-rotate") == (
        agent["publish_interval"],
        *(agent["provisioning"][key] for key in ("rotate_after_days", "template", "rotation_template")),
    )
    assert "thing_name" not in agent
    assert claim is not None
    with tarfile.open(claim) as tar:
        expected = {"claim-private.key": 0o600, "claim-certificate.pem": 0o644, "roots.pem": 0o644}
        assert {**expected, "amazon-defender-publisher.json": 0o644} == {each.name: each.mode for each in tar}
    assert None is write_claim(store, Names("lab"), ENDPOINT, config, ROOTS)


def test_a_bundle_has_nothing_of_provisioning(store: KeyStore) -> None:
    agent = config_of(write(store, agent={"provisioning": {"rotate_after_days": 365}, "publish_interval": 600}))[
        "agent"
    ]
    assert (600, False) == (agent["publish_interval"], "provisioning" in agent)
