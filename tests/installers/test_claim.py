"""An installation by a fleet's claim: what is put in place, which name the thing gets, what the program's words become.

Without a machine: the stage in this process, the story below a prefix with a program of a few lines.
"""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infrastructure import bundles
from tests.installers.test_device import CERTIFICATE, CONFIG, KEY, ROOTS, bundle, load, member, run

CLAIM_CERTIFICATE, CLAIM_KEY = "claim-certificate.pem", "claim-private.key"
PROVISIONING = {"template": "fleet", "rotation_template": "fleet-rotate"}
AUTHENTICATION = {"endpoint": "e", "certificate": CERTIFICATE, "private_key": KEY, "root_ca": ROOTS}
AGENT = {"thing_name": "pump-7", "authentication": AUTHENTICATION, "provisioning": PROVISIONING}
PAIR = {CERTIFICATE: b"its own certificate", KEY: b"its own key"}
COMMAND = {"prefix": "pump", "command": "echo 00AB"}

Stage = Callable[..., "subprocess.CompletedProcess[str]"]


def claim(path: Path, leave_out: str = "", **agent: object) -> Path:
    """Write a fleet's claim, as deploy.py makes it; keywords go into its agent section, None takes a key out."""
    found = {key: value for key, value in {**AGENT, **agent}.items() if value is not None}
    contents = {
        CONFIG: json.dumps({"agent": found}).encode(), CLAIM_CERTIFICATE: b"of all", CLAIM_KEY: b"secret of all",
        ROOTS: b"roots",
    }  # fmt: skip
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            if name != leave_out:
                info, _ = member(name, content)
                tar.addfile(info, io.BytesIO(content))
    return path


def example(tmp_path: Path, command: str = "echo 00cd") -> Path:
    """Write the example of a platform, whose command prints a serial number or not."""
    path = tmp_path / "example.json"
    path.write_text(json.dumps({"agent": {"instance": {"prefix": "rpi", "command": command}}}))
    return path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Gather what the options say for tmp_path/etc, and put it in place if all is well."""

    def stage(*options: object, command: str = "echo 00cd") -> subprocess.CompletedProcess[str]:
        (tmp_path / "etc").mkdir(exist_ok=True)
        directories = [
            "--into",
            tmp_path / "stage",
            "--etc",
            tmp_path / "etc",
            "--template",
            example(tmp_path, command),
        ]
        done = run("stage-files", *directories, "--state-directory", "/var/lib/x", *options)
        if done.returncode == 0:
            placed = run("place-files", tmp_path / "stage", tmp_path / "etc")
            assert (0, "") == (placed.returncode, placed.stderr)
        return done

    return stage


def give_pair(etc: Path) -> None:
    """Leave a pair where --provision leaves it: in identities, with links to it."""
    (etc / "identities" / "a").mkdir(parents=True)
    (etc / "identity").symlink_to("identities/a")
    for name, content in PAIR.items():
        (etc / "identities" / "a" / name).write_bytes(content)
        (etc / "identities" / "a" / name).chmod(0o600 if name == KEY else 0o644)
        (etc / name).symlink_to(f"identity/{name}")


def tree(directory: Path) -> dict[str, tuple[object, int, int]]:
    """Return all below a directory: contents or where a link leads, modes, and when files were written."""
    return {
        str(path.relative_to(directory)): (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            stat.S_IMODE(path.lstat().st_mode),
            0 if path.is_dir() else path.lstat().st_mtime_ns,
        )
        for path in sorted(directory.rglob("*"))
    }


def agent_of(etc: Path) -> dict[str, Any]:
    """Return the agent section of the configuration in force."""
    return dict(json.loads((etc / CONFIG).read_text())["agent"])


# What is put in place


def test_a_claim_becomes_its_pair_and_a_configuration_and_only_root_reads_its_key(tmp_path: Path, stage: Stage) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar"))
    assert (0, "", f"pump-7 at e, from {tmp_path}/claim.tar\n") == (done.returncode, done.stderr, done.stdout)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "etc").iterdir()}
    assert {CONFIG: 0o644, CLAIM_CERTIFICATE: 0o644, CLAIM_KEY: 0o600, ROOTS: 0o644} == modes
    agent = agent_of(tmp_path / "etc")
    assert AUTHENTICATION == agent["authentication"]
    named = {"claim_certificate": CLAIM_CERTIFICATE, "claim_private_key": CLAIM_KEY}
    assert {**PROVISIONING, **named} == agent["provisioning"]
    assert "instance" not in agent


def test_a_claim_holds_the_files_that_the_deployer_writes() -> None:
    written = {bundles.CONFIG, bundles.CLAIM_CERTIFICATE, bundles.CLAIM_PRIVATE_KEY, bundles.ROOTS}
    assert {*load()["bundle"].FILES["claim"]} == written


@pytest.mark.parametrize("name", [CONFIG, CLAIM_CERTIFICATE, CLAIM_KEY, ROOTS])
def test_a_claim_without_one_of_its_files_is_refused(tmp_path: Path, stage: Stage, name: str) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", leave_out=name))
    assert (1, f"{tmp_path}/claim.tar is no claim: {name} is missing in it\n") == (done.returncode, done.stderr)
    assert [] == list((tmp_path / "etc").iterdir())


def test_a_bundle_and_a_claim_that_are_taken_for_each_other_are_told_apart(tmp_path: Path, stage: Stage) -> None:
    said = stage("--claim", bundle(tmp_path / "b.tar")).stderr
    assert "b.tar is no claim: it holds 'certificate.pem'" in said
    assert said.endswith(" (a thing's bundle is for --bundle)\n")
    said = stage("--bundle", claim(tmp_path / "c.tar")).stderr
    assert "c.tar is no bundle: it holds 'claim-certificate.pem'" in said
    assert said.endswith(" (claim-private.key is a claim's, which --claim takes)\n")


def test_a_claim_that_names_no_template_is_refused(tmp_path: Path, stage: Stage) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", provisioning={"rotation_template": "r"}))
    assert 1 == done.returncode
    assert "must name the template to be provisioned by, as agent.provisioning.template" in done.stderr


def test_a_second_run_changes_nothing_byte_for_byte_and_leaves_the_links_of_the_program(
    tmp_path: Path, stage: Stage
) -> None:
    etc, given = tmp_path / "etc", claim(tmp_path / "claim.tar")
    stage("--claim", given)
    give_pair(etc)
    before = tree(etc)
    for options in (["--claim", given], []):
        done = stage(*options)
        assert (0, "") == (done.returncode, done.stderr)
        assert before == {name: found for name, found in tree(etc).items() if not name.endswith(".json.new")}


def test_a_claim_that_was_forgotten_does_not_come_back(tmp_path: Path, stage: Stage) -> None:
    etc, given = tmp_path / "etc", claim(tmp_path / "claim.tar")
    stage("--claim", given)
    give_pair(etc)
    for name in (CLAIM_CERTIFICATE, CLAIM_KEY):
        (etc / name).unlink()
    before = tree(etc)
    for replace in ([], ["--replace"]):
        assert 0 == stage("--claim", given, *replace).returncode
        assert before == tree(etc)


def test_an_installation_that_was_interrupted_goes_on_without_an_option(tmp_path: Path, stage: Stage) -> None:
    stage("--claim", claim(tmp_path / "claim.tar"))
    done = stage()
    assert (0, "") == (done.returncode, done.stderr)
    assert "pump-7 at e, kept\n" == done.stdout
    assert (tmp_path / "etc" / CLAIM_KEY).exists()


def test_another_claim_takes_the_place_of_one_that_made_no_identity_yet(tmp_path: Path, stage: Stage) -> None:
    stage("--claim", claim(tmp_path / "claim.tar"))
    other = claim(tmp_path / "other.tar", thing_name="pump-8", provisioning={"template": "other"})
    assert 0 == stage("--claim", other).returncode
    agent = agent_of(tmp_path / "etc")
    assert ("pump-8", "other") == (agent["thing_name"], agent["provisioning"]["template"])


def test_a_claim_makes_no_other_thing_of_a_device_that_has_a_certificate(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    before = tree(tmp_path / "etc")
    done = stage("--claim", claim(tmp_path / "claim.tar"))
    assert (0, True) == (done.returncode, done.stdout.startswith("rpi-0001 at e, kept"))
    left = {name: found for name, found in tree(tmp_path / "etc").items() if not name.endswith(".new")}
    assert before == left
    assert 0 == stage("--claim", tmp_path / "claim.tar", "--replace").returncode
    assert "rpi-0001" == agent_of(tmp_path / "etc")["thing_name"]
    assert (tmp_path / "etc" / KEY).read_bytes() == b"secret"


def test_a_second_run_leaves_the_name_that_a_template_made(tmp_path: Path, stage: Stage) -> None:
    etc, given = tmp_path / "etc", claim(tmp_path / "claim.tar", thing_name=None, instance=COMMAND)
    stage("--claim", given)
    give_pair(etc)
    config = json.loads((etc / CONFIG).read_text())
    config["agent"]["thing_name"] = "made-by-the-template"
    (etc / CONFIG).write_text(json.dumps(config))
    before = tree(etc)
    done = stage("--claim", given)
    assert (0, "made-by-the-template at e, kept\n") == (done.returncode, done.stdout)
    assert before == tree(etc)


def test_a_device_with_a_bundle_gets_a_claims_configuration_and_keeps_its_key(tmp_path: Path, stage: Stage) -> None:
    stage("--bundle", bundle(tmp_path / "b.tar"))
    given = claim(tmp_path / "claim.tar", thing_name="rpi-0001")
    stage("--claim", given)
    assert "provisioning" not in agent_of(tmp_path / "etc")
    assert 0 == stage("--claim", given, "--replace").returncode
    assert "fleet-rotate" == agent_of(tmp_path / "etc")["provisioning"]["rotation_template"]
    assert b"secret" == (tmp_path / "etc" / KEY).read_bytes()
    assert not (tmp_path / "etc" / CLAIM_KEY).exists()


def test_a_bundle_replaces_the_programs_links_by_its_own_pair(tmp_path: Path, stage: Stage) -> None:
    stage("--claim", claim(tmp_path / "claim.tar", thing_name="rpi-0001"))
    give_pair(tmp_path / "etc")
    assert 0 == stage("--bundle", bundle(tmp_path / "b.tar"), "--replace").returncode
    key = tmp_path / "etc" / KEY
    assert (False, b"secret", 0o600) == (key.is_symlink(), key.read_bytes(), stat.S_IMODE(key.stat().st_mode))
    assert PAIR[KEY] == (tmp_path / "etc" / "identities" / "a" / KEY).read_bytes()


def test_an_upgrade_with_another_default_configuration_keeps_how_certificates_are_rotated(
    tmp_path: Path, stage: Stage
) -> None:
    stage("--claim", claim(tmp_path / "claim.tar"))
    give_pair(tmp_path / "etc")
    assert 0 == stage("--replace").returncode
    assert "fleet-rotate" == agent_of(tmp_path / "etc")["provisioning"]["rotation_template"]


# Which name the thing gets


@pytest.mark.parametrize(
    ("agent", "options", "expected"),
    [
        ({}, [], {"thing_name": "pump-7"}),
        ({}, ["--thing-name", "t"], {"thing_name": "t"}),
        ({"thing_name": None}, [], {"instance": {"prefix": "rpi", "command": "echo 00cd"}}),
        ({"thing_name": None}, ["--thing-name", "t"], {"thing_name": "t"}),
        (
            {"thing_name": None},
            ["--serial", "9"],
            {"instance": {"prefix": "rpi", "command": "echo 00cd", "serial": "9"}},
        ),
        (
            {"thing_name": None, "instance": {"prefix": "pump"}},
            [],
            {"instance": {"prefix": "pump", "command": "echo 00cd"}},
        ),
        ({"thing_name": None, "instance": COMMAND}, [], {"instance": COMMAND}),
        ({"thing_name": None, "instance": COMMAND}, ["--serial", "9"], {"instance": {**COMMAND, "serial": "9"}}),
    ],
)
def test_the_things_name_comes_from_the_options_the_claim_or_the_example(
    tmp_path: Path, stage: Stage, agent: dict[str, Any], options: list[str], expected: dict[str, Any]
) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", **agent), *options)
    assert (0, "") == (done.returncode, done.stderr)
    found = agent_of(tmp_path / "etc")
    assert expected == {key: found[key] for key in ("thing_name", "instance") if key in found}


def test_where_nothing_names_the_thing_the_option_is_named(tmp_path: Path, stage: Stage) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", thing_name=None), command="exit 1")
    assert (2, True) == (done.returncode, done.stderr.startswith("missing: --thing-name NAME"))


def test_no_command_that_a_claim_brings_is_run_by_the_installer(tmp_path: Path, stage: Stage) -> None:
    brought = {"prefix": "pump", "command": f"touch {tmp_path}/ran"}
    assert 0 == stage("--claim", claim(tmp_path / "claim.tar", thing_name=None, instance=brought)).returncode
    assert not (tmp_path / "ran").exists()


# An image


def test_an_image_takes_the_command_of_the_example_although_it_says_nothing_where_the_image_is_made(
    tmp_path: Path, stage: Stage
) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", thing_name=None), "--first-boot", command="exit 1")
    assert (0, "") == (done.returncode, done.stderr)
    assert {"prefix": "rpi", "command": "exit 1"} == agent_of(tmp_path / "etc")["instance"]


@pytest.mark.parametrize("name", ["private.key", "certificate.pem.old", "identities", "identity"])
def test_an_image_that_has_something_of_an_identity_is_refused(tmp_path: Path, stage: Stage, name: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / name).symlink_to("nowhere")
    done = stage("--claim", claim(tmp_path / "claim.tar", thing_name=None), "--first-boot")
    assert 1 == done.returncode
    assert done.stderr.startswith(f"an image must have no identity, but {name} is in {tmp_path}/etc, and ")


@pytest.mark.parametrize(
    ("agent", "key"),
    [({}, "agent.thing_name is pump-7"), ({"thing_name": None, "instance": {"serial": "9"}}, "serial is 9")],
)
def test_an_image_that_has_the_name_of_one_device_is_refused(
    tmp_path: Path, stage: Stage, agent: dict[str, Any], key: str
) -> None:
    done = stage("--claim", claim(tmp_path / "claim.tar", **agent), "--first-boot")
    assert (1, True) == (done.returncode, f"{key}; leave it out" in done.stderr)


def test_an_image_needs_a_claim(stage: Stage) -> None:
    done = stage("--first-boot", "--endpoint", "e")
    assert (2, True) == (done.returncode, done.stderr.startswith("missing: --claim FILE; --first-boot is for an image"))


# The story below a prefix


def story(prefix: Path, *options: str, program: str = "exit 0") -> Any:
    """The story of installing below a prefix, up to the program, which is these lines of shell."""
    modules = load()
    words = ["--prefix", str(prefix), *options]
    product = modules["product"].PUBLISHER
    read = modules["options"].read_options(words, prefix, "", product.options)
    session = modules["session"].Session(product, read, Path(sys.executable), 10)
    told = modules["publisher"].PublisherInstallation(session, modules["linux"].Linux(session))
    told.program = prefix / "program"
    python = told.program / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\necho "$AMAZON_DEFENDER_COMMANDS_AS $*" >>"{prefix}/calls"\n{program}\n')
    python.chmod(0o755)
    told.places.etc.mkdir(parents=True, exist_ok=True)
    return told


@pytest.mark.parametrize(("status", "ends_with"), [(75, 75), (77, 77), (78, 78), (1, 1), (3, 1)])
def test_what_the_program_refuses_with_is_the_last_line_and_the_status(
    tmp_path: Path, status: int, ends_with: int
) -> None:
    said = (
        f'echo "log of it" >&2; echo "the template fleet refused it: AccessDenied; list the serial" >&2; exit {status}'
    )
    told = story(tmp_path, program=said)
    told.commands.transcript = tmp_path / "install.log"
    with pytest.raises(load()["problem"].Problem) as refused:
        told._provision()
    assert str(refused.value).endswith("the template fleet refused it: AccessDenied; list the serial")
    assert (1 if status in (75, 77) else 5) == len(str(refused.value).splitlines())
    assert ends_with == refused.value.status


def test_the_program_is_asked_for_a_certificate_and_runs_the_configurations_command_as_the_services_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story(tmp_path, program='echo "certificate 12ab for pump-7"')
    told._provision()
    words = f"-EsB {tmp_path}/program/amazon-defender-publisher --provision {told.places.config}"
    assert f"amazon-defender-publisher {words}\n" == (tmp_path / "calls").read_text()
    assert capsys.readouterr().out.endswith("provision      certificate 12ab for pump-7\n")


@pytest.mark.parametrize("options", [[], ["--forget-claim"]])
def test_the_claim_is_forgotten_only_where_that_was_asked_for(tmp_path: Path, options: list[str]) -> None:
    told = story(tmp_path, *options)
    for name in (CLAIM_CERTIFICATE, CLAIM_KEY, KEY):
        (told.places.etc / name).write_text("x")
    told._forget_claim()
    left = {path.name for path in told.places.etc.iterdir()}
    assert ({KEY} if options else {KEY, CLAIM_CERTIFICATE, CLAIM_KEY}) == left


def test_an_image_asks_for_nothing_and_its_unit_is_told_to_forget_the_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story(tmp_path, "--claim", str(claim(tmp_path / "c.tar")), "--first-boot", "--forget-claim")
    told._provision()
    told._forget_claim()
    assert ["forget-claim"] == [path.name for path in told.places.etc.iterdir()]
    assert not (tmp_path / "calls").exists()
    assert "11  provision      at the first boot, by amazon-defender-provision.service\n" in capsys.readouterr().out


def test_a_claims_pair_is_checked_in_the_place_of_the_one_that_is_not_there_yet(tmp_path: Path) -> None:
    told = story(tmp_path, "--claim", str(claim(tmp_path / "c.tar")))
    told._gather_identity()
    told._check_configuration()
    staged = tmp_path / "opt" / "aws" / "amazon-defender-publisher" / "etc.new"
    assert f" --check-config {staged}/{CONFIG}.claim\n" in (tmp_path / "calls").read_text()
    checked, meant = (json.loads((staged / f"{CONFIG}{end}").read_text())["agent"] for end in (".claim", ""))
    pair = {"certificate": CLAIM_CERTIFICATE, "private_key": CLAIM_KEY}
    assert {**meant["authentication"], **pair} == checked["authentication"]
    give_pair(told.places.etc)
    (told.places.etc / CONFIG).write_bytes((staged / CONFIG).read_bytes())
    again = story(tmp_path, "--claim", str(tmp_path / "c.tar"))
    again._gather_identity()
    (tmp_path / "calls").unlink()
    again._check_configuration()
    assert (tmp_path / "calls").read_text().endswith(f" --check-config {staged}/{CONFIG}\n")


# Units beside the service


def wanted_units(prefix: Path, *options: str, **agent: object) -> set[str]:
    """Return the units that are put in place below a prefix for a claim."""
    told = story(prefix, "--claim", str(claim(prefix / "c.tar", thing_name=None, instance=COMMAND, **agent)), *options)
    told._gather_identity()
    told.platform.write_service(Path(__file__).resolve().parent.parent.parent)
    return {path.name for path in (prefix / "etc" / "systemd" / "system").iterdir()}


SERVICE = "amazon-defender-publisher.service"
ROTATION = {f"amazon-defender-rotation.{kind}" for kind in ("service", "timer", "path")}
FIRST_BOOT = {f"amazon-defender-provision.{kind}" for kind in ("service", "timer")}


def test_rotation_is_installed_where_the_configuration_names_a_template_for_it(tmp_path: Path) -> None:
    assert {SERVICE, *ROTATION} == wanted_units(tmp_path)
    assert {SERVICE} == wanted_units(tmp_path, provisioning={"template": "fleet"}), (
        "and removed where it no longer does"
    )


def test_an_image_has_the_unit_of_its_first_boot_which_the_next_upgrade_removes(tmp_path: Path) -> None:
    assert {SERVICE, *ROTATION, *FIRST_BOOT} == wanted_units(tmp_path, "--first-boot")
    assert {SERVICE, *ROTATION} == wanted_units(tmp_path)


def test_a_release_from_before_rotation_removes_its_units(tmp_path: Path) -> None:
    wanted_units(tmp_path)
    version = tmp_path / "earlier"
    (version / "installers").mkdir(parents=True)
    (version / "installers" / SERVICE).write_text("[Unit]\n")
    told = story(tmp_path)
    told.platform.write_service(version)
    assert [SERVICE] == [path.name for path in (tmp_path / "etc" / "systemd" / "system").iterdir()]


def test_a_version_that_is_taken_back_has_the_units_that_there_were(tmp_path: Path) -> None:
    wanted_units(tmp_path, provisioning={"template": "fleet"})
    told = story(tmp_path, "--claim", str(claim(tmp_path / "c.tar", thing_name=None, instance=COMMAND)))
    told._gather_identity()
    told._install_keys()
    told.platform.write_service(Path(__file__).resolve().parent.parent.parent)
    units = tmp_path / "etc" / "systemd" / "system"
    assert {SERVICE, *ROTATION} == {path.name for path in units.iterdir()}
    old = told.places.versions / "old"
    (old / "installers").mkdir(parents=True)
    for name in (SERVICE, *ROTATION):
        (old / "installers" / name).write_text("[Unit]\n")
    told.switch._old, told.switch.version = "versions/old", told.places.versions / "new"
    with pytest.raises(load()["problem"].Problem):
        told.switch.restore("does not start")
    assert [SERVICE] == [path.name for path in units.iterdir()]
