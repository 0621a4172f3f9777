"""Installing on a Mac: the job, its files, and what keeps it from starting."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.scripted_broker import ScriptedBroker, reject
from tests.macos.mac import ACCOUNT, LABEL, NAME, ROOT, Mac
from tests.macos.test_macos_quick import STEPS, steps_of

pytestmark = pytest.mark.slow
TARGET = f"system/{LABEL}"
OWN = f"{ACCOUNT}:{ACCOUNT}"
Bundles = Callable[..., Path]


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_the_last_line_is_the_verdict_and_each_step_is_one_line(mac: Mac, each_shell: str, bundle: Path) -> None:
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert STEPS == steps_of(done.stdout)
    assert len(STEPS) == len(lines)
    assert re.fullmatch(r"10/10  verdict +report \d+ accepted by localhost", lines[-1])


def test_the_job_is_launchds_and_runs(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    assert (ROOT / "installers" / mac.plist.name).read_bytes() == mac.plist.read_bytes()
    assert ("-rw-r--r--", "root:wheel") == (mode(mac.plist), mac.owner(mac.plist))
    assert ("-rw-r--r--", "root:wheel") == (mode(mac.rotation), mac.owner(mac.rotation))
    assert [f"enable {TARGET}", f"bootstrap system {mac.plist}", f"kickstart -k {TARGET}"] == [
        call for call in mac.calls("launchctl") if not call.startswith("print")
    ]
    assert "print" == mac.calls("launchctl")[-1].split()[0]
    assert mac.runs()


def test_only_log_state_and_key_are_the_accounts_and_nobody_else_can_write(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    own = {"logs", "state", "stderr.log", "etc/private.key"}
    whole = [
        path for path in mac.program.rglob("*") if not {mac.program / "state", mac.program / "logs"} & {*path.parents}
    ]
    assert own == {str(path.relative_to(mac.program)) for path in whole if mac.owner(path) != "root"}
    assert {OWN} == {mac.owner(mac.program / name).replace(f"{ACCOUNT}$", OWN) for name in own - {"logs"}}
    assert [] == [path for path in whole if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert ("-rw-------", "drwx------") == (mode(mac.etc / "private.key"), mode(mac.program / "state"))
    assert "-rw-------" == mode(mac.program / "stderr.log")


def test_the_account_can_read_all_that_it_runs(mac: Mac, bundle: Path) -> None:
    """The umask of the installer is 077, which is not what the program's files get."""
    mac.install("--bundle", bundle)
    program = mac.program / "versions" / mac.version()
    files = [path for path in program.rglob("*") if not path.is_symlink()]
    assert ["complete"] == [path.name for path in files if not path.stat().st_mode & 0o004]
    for path in (mac.program, mac.etc, program, *(path for path in program.rglob("*") if path.is_dir())):
        assert path.stat().st_mode & 0o005 == 0o005
    assert "-rw-r--r--" == mode(mac.etc / f"{NAME}.json")


def test_the_daemons_log_is_where_a_mac_has_it_also_when_the_bundle_names_none(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    log = mac.program / "logs" / f"{NAME}.log"
    agent = json.loads((mac.etc / f"{NAME}.json").read_text())["agent"]
    assert (str(log), str(mac.program / "state")) == (agent["logfile"], agent["state_directory"])
    assert "accepted" in log.read_text()
    assert "" == (mac.program / "stderr.log").read_text()


@pytest.mark.parametrize(("failures", "status"), [(19, 0), (20, 1)])
def test_a_bootstrap_that_fails_is_tried_for_twenty_seconds(mac: Mac, bundle: Path, failures: int, status: int) -> None:
    for number in range(failures):
        (mac.state / f"bootstrap-fails-{number}").touch()
    done = mac.install("--bundle", bundle)
    assert status == done.returncode
    assert 20 == len([call for call in mac.calls("launchctl") if call.startswith("bootstrap")])
    assert ("does not start" in done.stderr) == bool(status)


def test_a_start_that_launchd_puts_off_is_waited_for(mac: Mac, each_shell: str, bundle: Path) -> None:
    done = mac.install("--bundle", bundle, MAC_THROTTLED="30")
    assert (0, "") == (done.returncode, done.stderr)
    assert mac.runs()


def test_a_configuration_with_a_password_is_for_the_account_only(mac: Mac, new_bundle: Bundles) -> None:
    bundle = new_bundle(proxy={"host": "localhost", "port": 1, "username": "u", "password": "p"})
    mac.install("--bundle", bundle)
    config = mac.etc / f"{NAME}.json"
    assert ("-rw-r-----", [f"{ACCOUNT} {config}"]) == (mode(config), mac.lines("groups"))


def test_a_job_that_somebody_disabled_is_enabled(mac: Mac, bundle: Path) -> None:
    (mac.state / "launchd.json").write_text(json.dumps({"jobs": {}, "disabled": [LABEL]}))
    assert 0 == mac.install("--bundle", bundle).returncode
    assert mac.runs()


def test_a_report_that_is_rejected_is_the_one_thing_to_fix(mac: Mac, bundle: Path, broker: ScriptedBroker) -> None:
    broker.script.answer = reject("InvalidPayload")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "InvalidPayload" in done.stderr
    assert mac.runs()


def test_nothing_is_asked_for_where_there_is_no_terminal(mac: Mac, each_shell: str) -> None:
    done = mac.install()
    assert 2 == done.returncode
    assert "missing: --endpoint HOST" in done.stderr
    assert mac.job() is None
    assert mac.account() is None


def test_the_example_is_completed_with_the_macs_serial_number(mac: Mac, new_bundle: Bundles, tmp_path: Path) -> None:
    ioreg = mac.root / "bin" / "ioreg"
    ioreg.write_text("""#!/bin/sh\necho '  "IOPlatformSerialNumber" = "C02ABC"'\n""")
    ioreg.chmod(0o755)
    for directory in ioreg.parents:
        if directory.stat().st_mode & 0o777 == 0o700:  # pytest's own, in which nobody runs the example's command
            directory.chmod(0o711)
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("")
    done = mac.install(
        "--dry-run", "--endpoint", "e.example.com", "--certificate", tmp_path / "certificate",
        "--private-key", tmp_path / "key",
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    assert "osx-" in done.stdout


def test_packages_come_from_the_wheelhouse_alone(mac: Mac, bundle: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "my wheels"
    wheels.mkdir()
    assert 0 == mac.install("--bundle", bundle, "--wheelhouse", wheels).returncode
    (call,) = [call for call in mac.calls("python3") if " -m pip install " in call]
    assert f"--no-index --find-links {wheels}" in call


def test_packages_that_cannot_be_had_end_it_before_anything_is_changed(mac: Mac, each_shell: str, bundle: Path) -> None:
    (mac.state / "no-packages").touch()
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "program: the Python packages cannot be installed" in done.stderr
    assert (None, None, False) == (mac.job(), mac.account(), (mac.etc / "private.key").exists())
    (mac.state / "no-packages").unlink()
    assert 0 == mac.install("--bundle", bundle).returncode
