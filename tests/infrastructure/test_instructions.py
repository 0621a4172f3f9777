from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "cryptography", "rich")

from infrastructure.handover import Handover  # noqa: E402
from infrastructure.instructions import commands, show_handover  # noqa: E402
from tests.fakes.fake_account import make_screen  # noqa: E402


def shown(handover: Handover, *rotated: str) -> list[str]:
    screen, printed = make_screen()
    show_handover(screen, handover, rotated)
    return printed.getvalue().splitlines()


def test_each_device_has_its_commands_and_what_is_cut_off_is_said_last() -> None:
    lines = shown(Handover((Path("fleet/a.tar"), Path("fleet/b.tar")), ("c",)), "b")
    assert "no bundle 1: c (their keys are on another machine; --rotate makes new ones here)" == lines[0]
    assert "  scp fleet/a.tar a:" in lines
    install = "cd amazon-defender-publisher-* && sudo installers/install-rpi.bash --bundle ~/"
    assert f"  ssh -t a '{install}a.tar && rm ~/a.tar'" in lines
    assert f"  ssh -t b '{install}b.tar --replace && rm ~/b.tar'" in lines  # or its old key would be kept
    assert "Cut off until this is done: b" == lines[-1]


def test_without_bundles_nothing_is_to_be_installed() -> None:
    assert [] == shown(Handover((), ()))


def test_a_large_fleet_is_not_a_page_of_commands() -> None:
    lines = shown(Handover(tuple(Path(f"fleet/t{number}.tar") for number in range(12)), ()))
    assert 10 == sum(line.startswith("  scp ") for line in lines)
    assert "and so on for 2 more in fleet." in lines


@pytest.mark.parametrize("thing", ["rack:1", "_x"])
def test_a_name_that_is_no_hosts_is_not_taken_for_one(thing: str) -> None:
    scp, ssh = commands(Path("fleet", f"{thing}.tar"), ())
    assert f"scp fleet/{thing}.tar DEVICE:" == scp
    assert ssh.startswith("ssh -t DEVICE ")


def test_the_commands_do_what_they_say_in_a_shell(tmp_path: Path) -> None:
    """Run them with an scp and an ssh that reach a directory instead of a device, and an installer that echoes."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    device, bundle = tmp_path / "device", tmp_path / "my fleet" / "rpi-0001.tar"
    installer = device / "amazon-defender-publisher-0.1.0" / "installers" / "install-rpi.bash"
    programs = {
        tmp_path / "bin" / "scp": f'cp "$1" {shlex.quote(str(device))}/',
        tmp_path / "bin" / "ssh": 'cd && test "$1 $2" = "-t rpi-0001" && exec bash -c "$3"',
        tmp_path / "bin" / "sudo": 'exec "$@"',
        installer: 'echo "$@"; cat "$2"',
    }
    for path, text in programs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    bundle.parent.mkdir()
    bundle.write_text("the bundle\n")
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(device)}
    script = "\n".join(commands(bundle, ["rpi-0001"]))
    done = subprocess.run(["bash", "-ec", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"--bundle {device}/rpi-0001.tar --replace\nthe bundle\n" == done.stdout
    assert not (device / "rpi-0001.tar").exists()
