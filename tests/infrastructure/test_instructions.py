from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "cryptography", "rich")

from infrastructure.handover import Handover  # noqa: E402
from infrastructure.instructions import CHECKOUT, KIT_BUILDER, bundle_commands, kit_commands, show_handover  # noqa: E402
from tests.fakes.fake_account import make_screen  # noqa: E402


def shown(handover: Handover, *rotated: str, kits: bool = False) -> list[str]:
    screen, printed = make_screen()
    show_handover(screen, handover, rotated, kits)
    return printed.getvalue().splitlines()


def test_each_device_has_its_commands_and_what_is_cut_off_is_said_last() -> None:
    lines = shown(Handover((Path("fleet/a.tar"), Path("fleet/b.tar")), ("c",)), "b")
    assert "no bundle 1: c (their keys are on another machine; --rotate makes new ones here)" == lines[0]
    assert "  scp fleet/a.tar a:" in lines
    install = "cd amazon-defender-publisher-* && sudo installers/install-rpi.bash --bundle ~/"
    assert f"  ssh -t a '{install}a.tar && rm ~/a.tar'" in lines
    assert f"  ssh -t b '{install}b.tar && rm ~/b.tar'" in lines  # the installer takes a newer certificate over
    assert "Cut off until this is done: b" == lines[-1]


def test_without_bundles_nothing_is_to_be_installed() -> None:
    assert [] == shown(Handover((), ()))


def test_a_large_fleet_is_not_a_page_of_commands() -> None:
    lines = shown(Handover(tuple(Path(f"fleet/t{number}.tar") for number in range(12)), ()))
    assert 10 == sum(line.startswith("  scp ") for line in lines)
    assert "and so on for 2 more in fleet." in lines


@pytest.mark.parametrize("thing", ["rack:1", "_x"])
def test_a_name_that_is_no_hosts_is_not_taken_for_one(thing: str) -> None:
    scp, ssh = bundle_commands(Path("fleet", f"{thing}.tar"))
    assert f"scp fleet/{thing}.tar DEVICE:" == scp
    assert ssh.startswith("ssh -t DEVICE ")


def test_the_commands_do_what_they_say_in_a_shell(tmp_path: Path) -> None:
    """Run them with an scp and an ssh that reach a directory instead of a device, and an installer that echoes."""
    device, bundle = tmp_path / "device", tmp_path / "my fleet" / "rpi-0001.tar"
    installer = device / "amazon-defender-publisher-0.1.0" / "installers" / "install-rpi.bash"
    lay_out_tools(tmp_path, device)
    write_program(installer, 'echo "$@"; cat "$2"')
    bundle.parent.mkdir()
    bundle.write_text("the bundle\n")
    done = run_in_bash(tmp_path, device, bundle_commands(bundle))
    assert (0, "") == (done.returncode, done.stderr)
    assert f"--bundle {device}/rpi-0001.tar\nthe bundle\n" == done.stdout
    assert not (device / "rpi-0001.tar").exists()


def test_a_kit_is_made_brought_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    device, bundle = tmp_path / "device", tmp_path / "fleet" / "rpi-0001.tar"
    lay_out_tools(tmp_path, device)
    kit = bundle.with_name("install-rpi-0001.bash")
    bundle.parent.mkdir()
    write_program(tmp_path / "bin" / "make", f"""test "$1 $2" = "kit BUNDLES={bundle}" && echo 'echo ran' >{kit}""")
    done = run_in_bash(tmp_path, device, kit_commands(bundle))
    assert (0, "", "ran\n") == (done.returncode, done.stderr, done.stdout)
    assert [] == list(device.iterdir())
    assert "make kit" in "\n".join(shown(Handover((bundle,), ()), kits=True))


def test_outside_of_the_checkout_make_is_told_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert "make kit BUNDLES=fleet/a.tar" == kit_commands(Path("fleet/a.tar"))[0]
    monkeypatch.chdir(tmp_path)
    make, scp, _ = kit_commands(Path("fleet/a.tar"))
    assert f"make -C {CHECKOUT} kit BUNDLES={tmp_path}/fleet/a.tar" == make
    assert "scp fleet/install-a.bash a:" == scp


def test_a_kit_is_where_its_builder_puts_it(tmp_path: Path) -> None:
    builder = pytest.importorskip(KIT_BUILDER)
    bundle, wheels = tmp_path / "rpi-0001.tar", tmp_path / "wheels"
    wheels.mkdir()
    with tarfile.open(bundle, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(__file__, "private.key")
    kit = builder.write_kit(bundle, wheels)
    assert f"scp {kit} rpi-0001:" in kit_commands(bundle)


def lay_out_tools(directory: Path, device: Path) -> None:
    """Write an scp and an ssh that reach a directory instead of a device, and a sudo."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    device.mkdir()
    write_program(directory / "bin" / "scp", f'cp "$1" {shlex.quote(str(device))}/')
    write_program(directory / "bin" / "ssh", 'cd && test "$1 $2" = "-t rpi-0001" && exec bash -c "$3"')
    write_program(directory / "bin" / "sudo", 'exec "$@"')


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def run_in_bash(directory: Path, home: Path, commands: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{directory / 'bin'}:{os.environ['PATH']}", "HOME": str(home)}
    script = "\n".join(commands)
    return subprocess.run(["bash", "-ec", script], env=environment, capture_output=True, text=True, timeout=60)
