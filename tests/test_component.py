"""The component's zips and recipe: what Greengrass takes, and what a core can install from."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from release import archive, component
from release.archive import Member
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.greengrass_recipe import Permission, Recipe

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    "cbor2-5.9.0-py3-none-any.whl",
    "msgspec-0.20.0-cp39-cp39-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "msgspec-0.23.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "msgspec-0.23.0-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
    "msgspec-0.23.0-cp311-cp311-macosx_11_0_arm64.whl",
    "psutil-7.2.2-cp36-abi3-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    "timeloop-1.0.2-py3-none-any.whl",
    "awsiotpythonsdk-1.6.2-py2.py3-none-any.whl",
)
AMD64, AARCH64, ARM = component.ARCHITECTURES


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"wheel")
    return tmp_path


def names_of(members: list[Member]) -> set[str]:
    return {member.name.partition("/")[2] for member in members}


def test_an_architecture_gets_its_wheels_and_no_others(wheels: Path) -> None:
    names = names_of(list(component.wheels_for(AMD64, wheels)))
    assert {"requirements.txt", "complete", *NAMES[:3], *NAMES[5:7]} == names
    assert {"requirements.txt", NAMES[0], NAMES[6]} == names_of(list(component.wheels_for(ARM, wheels)))


def test_each_python_gets_the_version_that_is_locked_for_it(wheels: Path) -> None:
    expected = [
        "cbor2==5.9.0\n",
        'msgspec==0.20.0 ; python_version < "3.10"\n',
        'msgspec==0.23.0 ; python_version >= "3.10"\n',
        "psutil==7.2.2\n",
        "timeloop==1.0.2\n",
    ]
    assert expected == list(component.requirements(wheels))


def test_the_recipe_is_one_that_greengrass_takes() -> None:
    text = component.recipe("1.2.3")
    assert len(text) < component.LARGEST_RECIPE
    recipe = yaml.safe_load(text)
    assert ("2020-01-25", component.NAME, "1.2.3") == tuple(
        recipe[key] for key in ("RecipeFormatVersion", "ComponentName", "ComponentVersion")
    )
    configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    (policy,) = configuration["accessControl"]["aws.greengrass.ipc.mqttproxy"].values()
    assert ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"] == policy["operations"]
    assert ["$aws/things/+/defender/metrics/#"] == policy["resources"]
    for manifest, architecture in zip(recipe["Manifests"], component.ARCHITECTURES):
        assert {"os": "linux", "architecture": architecture.name, "runtime": "*"} == manifest["Platform"]
        assert {"install", "run"} == set(manifest["Lifecycle"]), "nucleus lite knows no others"
        (artifact,) = manifest["Artifacts"]
        assert f"s3://BUCKET_NAME/{component.NAME}/1.2.3/{architecture.zip}.zip" == artifact["Uri"]
        assert "ZIP" == artifact["Unarchive"]
        assert "RequiresPrivilege" not in json.dumps(manifest)


def test_the_recipe_keeps_the_rules_of_the_gdk_and_of_nucleus_lite() -> None:
    recipe = msgspec.convert(yaml.safe_load(component.recipe(archive.read_version(ROOT))), Recipe)
    assert [each.name for each in component.ARCHITECTURES] == [
        each.platform["architecture"] for each in recipe.manifests
    ]
    for manifest in recipe.manifests:
        assert Permission() == manifest.artifacts[0].permission, "owner reads, nobody runs"
        for step in (manifest.lifecycle.install, manifest.lifecycle.run):
            assert step.script.startswith(("sh ", "exec ")), "so what came with the artifact is run by a program"
            assert not step.requires_privilege


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ComponentName:", "Componentname:", "unknown field `Componentname`"),
        ('ComponentVersion: "1.2.3"', "", "missing required field `ComponentVersion`"),
        ('ComponentVersion: "1.2.3"', 'ComponentVersion: "v1.2"', "ComponentVersion"),
        ('"2020-01-25"', '"2020-01-26"', "RecipeFormatVersion"),
        (f'ComponentName: "{component.NAME}"', 'ComponentName: "of two words"', "ComponentName"),
        ("Uri:", "URI:", "unknown field `URI`"),
        ("Timeout: 300", "Timeout: soon", "Expected `int`, got `str` - at `$.Manifests"),
        ("Unarchive: ZIP", "Unarchive: TAR", "Invalid enum value 'TAR'"),
        (
            "Unarchive: ZIP",
            "Unarchive: ZIP\n        Permission: {Execute: EVERYBODY}",
            "Invalid enum value 'EVERYBODY'",
        ),
        ("run:", "startup:", "unknown field `startup`"),
        ("Manifests:", "Manifests: []\nOthers:", "Expected `array` of length >= 1|unknown field `Others`"),
    ],
)
def test_a_recipe_that_breaks_a_rule_is_seen(old: str, new: str, expected: str) -> None:
    text = component.recipe("1.2.3")
    assert old in text
    with pytest.raises(msgspec.ValidationError, match=expected.replace("$", r"\$").replace("[", r"\[")):
        msgspec.convert(yaml.safe_load(text.replace(old, new)), Recipe)


def test_what_the_recipe_offers_is_what_the_parameters_are() -> None:
    from defender_publisher.greengrass.parameters import read_parameters

    given = yaml.safe_load(component.recipe("1.2.3"))["ComponentConfiguration"]["DefaultConfiguration"]
    assert 300 == read_parameters(given, short_names=True)["agent"]["publish_interval"]


def test_a_zip_is_the_same_for_the_same_members_and_keeps_what_can_be_run() -> None:
    members = [Member("amazon-defender-publisher", b"#!", True), Member("a/b.py", b"pass")]
    packed = component.pack(members)
    assert packed == component.pack(members)
    with zipfile.ZipFile(io.BytesIO(packed)) as content:
        modes = {entry.filename: entry.external_attr >> 16 for entry in content.infolist()}
    assert {"amazon-defender-publisher": 0o100755, "a/b.py": 0o100644} == modes


@pytest.mark.slow
def test_a_core_installs_the_component_and_its_report_is_accepted(tmp_path: Path) -> None:
    """The whole way: zips from the locked wheels, the recipe's two scripts, and a report through the nucleus."""
    assert 0 == component.main(tmp_path / "dist")
    unpacked, work = tmp_path / "artifacts" / AMD64.zip, tmp_path / "work"
    with zipfile.ZipFile(tmp_path / "dist" / f"{AMD64.zip}.zip") as content:
        content.extractall(unpacked)
    work.mkdir()
    subprocess.run(["sh", str(unpacked / "installers" / "greengrass" / "install.sh"), str(work)], check=True)
    nucleus = Nucleus(tmp_path / "ipc.socket")
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_IOT_THING_NAME": "core-1",
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": nucleus.path,
        "SVCUID": TOKEN,
        "STATE_DIRECTORY": str(work / "state"),
    }
    command = [
        str(work / "venv" / "bin" / "python"),
        str(unpacked / "amazon-defender-publisher"),
        "--greengrass",
        "--once",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=work)
    assert 0 == done.returncode, done.stderr
    assert "accepted after" in done.stdout
    nucleus.stop()


def test_the_install_step_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    script = ROOT / "installers" / "greengrass" / "install.sh"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", str(script), str(tmp_path)], capture_output=True, text=True, env=environment)
    assert (1, "amazon-defender-publisher needs Python 3.9 or later as python3 on this core\n") == (
        done.returncode,
        done.stderr,
    )
    assert sys.version_info >= (3, 9)
