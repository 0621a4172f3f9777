"""Installing and upgrading on a Mac, in each shell that it may have."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.macos.mac import ACCOUNT, LABEL, NAME, ROOT, Mac
from tests.macos.test_macos_quick import STEPS, steps_of
from tests.scripted_broker import ScriptedBroker, reject
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
TARGET = f"system/{LABEL}"
OWN = f"{ACCOUNT}:{ACCOUNT}"
BREAKS = "if len(sys.argv) == 2 and not sys.argv[1].startswith('-'):"  # as a daemon, and only then
Macs = Callable[..., Mac]
Bundles = Callable[..., Path]


def copy_source(directory: Path) -> Path:
    """Return a copy of what is installed, in which a test can change something."""
    directory.mkdir()
    for name in (NAME, "requirements.txt", "LICENSE"):
        shutil.copy2(ROOT / name, directory / name)
    for name in ("defender_publisher", "configs", "installers"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def changed_source(directory: Path, *lines: str) -> Path:
    """Return a copy of what is installed, whose script does something more when it begins."""
    source = copy_source(directory)
    script = source / NAME
    text = script.read_text()
    begins = 'if __name__ == "__main__":\n'
    assert begins in text
    script.write_text(text.replace(begins, begins + "".join(f"    {line}\n" for line in lines)))
    return source


def version_of(mac: Mac) -> str:
    """Return the version that is in force."""
    return (mac.program / "current").readlink().name


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_the_last_line_is_the_verdict_and_each_step_is_one_line(mac: Mac, each_shell: str, bundle: Path) -> None:
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert STEPS == steps_of(done.stdout)
    assert len(STEPS) == len(lines)
    assert re.fullmatch(r"10/10  verdict +report \d+ accepted by AWS IoT Device Defender", lines[-1])


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


def test_the_account_is_hidden_and_can_not_log_in(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    expected = {
        "UniqueID": "400", "PrimaryGroupID": "400", "UserShell": "/usr/bin/false", "NFSHomeDirectory": "/var/empty",
        "IsHidden": "1", "Password": "*", "RealName": "AWS IoT Device Defender",
    }  # fmt: skip
    assert expected == mac.account()
    assert {"PrimaryGroupID": "400", "Password": "*", "RealName": "AWS IoT Device Defender"} == mac.account("Groups")


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
    program = mac.program / "versions" / version_of(mac)
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


def test_an_id_that_an_account_or_a_group_has_is_not_taken(mac: Mac, bundle: Path) -> None:
    mac.add_account("_a", 400)
    mac.add_account("_b", 401)
    shutil.rmtree(mac.state / "dscl" / "Users" / "_b")  # there is only the group
    mac.add_account("_c", 402)
    shutil.rmtree(mac.state / "dscl" / "Groups" / "_c")  # there is only the account
    mac.install("--bundle", bundle)
    assert ("403", "403") == ((mac.account() or {})["UniqueID"], (mac.account("Groups") or {})["PrimaryGroupID"])


def test_when_no_id_is_free_one_sentence_says_so(mac: Mac, bundle: Path) -> None:
    for number in range(400, 500):
        mac.add_account(f"_{number}", number)
    done = mac.install("--bundle", bundle)
    assert (1, f"user: there is no free id from 400 to 499 for {ACCOUNT}\n") == (done.returncode, done.stderr)
    assert mac.job() is None


def test_an_account_that_was_made_only_in_part_is_completed(mac: Mac, bundle: Path) -> None:
    record = mac.state / "dscl" / "Users" / ACCOUNT
    record.mkdir()
    group = mac.state / "dscl" / "Groups" / ACCOUNT
    group.mkdir()
    (group / "PrimaryGroupID").write_text("444\n")
    assert 0 == mac.install("--bundle", bundle).returncode
    account = mac.account() or {}
    assert ("444", "444", "1", "/usr/bin/false") == tuple(
        account[key] for key in ("UniqueID", "PrimaryGroupID", "IsHidden", "UserShell")
    )


@pytest.mark.parametrize(("times", "status"), [(14, 0), (16, 1)])
def test_an_account_that_is_not_known_at_once_is_waited_for(mac: Mac, bundle: Path, times: int, status: int) -> None:
    (mac.state / "unknown").write_text("\n" * times)
    done = mac.install("--bundle", bundle)
    assert status == done.returncode
    assert ("run this again" in done.stderr) == bool(status)


def test_an_account_that_is_an_administrators_is_refused(mac: Mac, bundle: Path) -> None:
    mac.add_account(ACCOUNT, 450)
    (mac.state / "dscl" / "Users" / ACCOUNT / "groups").write_text("admin\n")
    done = mac.install("--bundle", bundle)
    assert (1, f"user: the account {ACCOUNT} must not be an administrator's\n") == (done.returncode, done.stderr)
    assert mac.job() is None


def test_the_next_run_waits_until_launchd_has_let_go(mac: Mac, each_shell: str, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    before = len(mac.calls("launchctl"))
    done = mac.install("--bundle", bundle, MAC_LEAVING="7")
    assert (0, "") == (done.returncode, done.stderr)
    calls = [call.split()[0] for call in mac.calls("launchctl")[before:]]
    expected = ["print", "bootout", *["print"] * 8, "enable", "bootstrap", "kickstart", "print", "print"]
    assert expected == calls


def test_a_job_that_launchd_does_not_let_go_is_told_of(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    done = mac.install("--bundle", bundle, MAC_LEAVING="1000")
    assert (1, "start: the service can not be stopped\n") == (done.returncode, done.stderr)
    assert 2 == len([call for call in mac.calls("launchctl") if call.startswith(("bootout", "bootstrap"))])


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


def test_a_job_that_runs_without_a_plist_is_taken_over(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    mac.plist.unlink()
    assert 0 == mac.install("--bundle", bundle).returncode
    assert mac.plist.exists()
    assert mac.runs()


def test_without_developer_tools_apples_python_is_left_alone(mac: Mac, each_shell: str, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    done = mac.install("--bundle", bundle)  # which would fail if it had opened the window
    expected = (
        "python: Python 3.9 or later is needed: xcode-select --install brings Apple's; another one can be named by"
    )
    assert (1, f"{expected} --python\n") == (done.returncode, done.stderr)
    assert [] == mac.calls("python3")
    assert [] == mac.calls("dscl")


def test_the_dry_run_says_too_that_python_is_missing(mac: Mac, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    done = mac.install("--dry-run", "--bundle", bundle)
    assert 1 == done.returncode
    assert "xcode-select --install" in done.stderr
    assert [] == mac.calls("python3")


@pytest.mark.parametrize(
    "place",
    ["Library/Frameworks/Python.framework/Versions/Current/bin", "opt/homebrew/bin", "usr/local/bin"],
)
def test_without_developer_tools_another_python_is_found(mac: Mac, bundle: Path, place: str) -> None:
    (mac.state / "no-developer-tools").touch()
    (mac.root / place).mkdir(parents=True)
    (mac.root / place / "python3").symlink_to(mac.root / "usr" / "bin" / "python3")
    done = mac.install("--bundle", bundle)
    assert 0 == done.returncode
    assert str(mac.root / place / "python3") in done.stdout


def test_a_python_that_is_too_old_is_passed_over(mac: Mac, bundle: Path) -> None:
    apples, homebrews = mac.root / "usr" / "bin" / "python3", mac.root / "opt" / "homebrew" / "bin" / "python3"
    homebrews.parent.mkdir(parents=True)
    homebrews.symlink_to(apples.readlink())
    apples.unlink()
    apples.write_text("#!/bin/sh\nexit 1 # to whether it is 3.9 or later\n")
    apples.chmod(0o755)
    done = mac.install("--bundle", bundle)
    assert 0 == done.returncode
    assert str(homebrews) in done.stdout


def test_a_python_can_be_named(mac: Mac, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    mine = mac.root / "my python"
    mine.symlink_to((mac.root / "usr" / "bin" / "python3").readlink())
    done = mac.install("--bundle", bundle, "--python", mine)
    assert (0, "") == (done.returncode, done.stderr)
    assert str(mine) in done.stdout


def test_an_upgrade_keeps_configuration_and_key_and_replaces_the_program(
    new_mac: Macs, each_shell: str, bundle: Path, new_bundle: Bundles, tmp_path: Path
) -> None:
    mac = new_mac()
    mac.install("--bundle", bundle)
    old, job = version_of(mac), mac.job()
    kept = {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    mac.source = changed_source(tmp_path / "new", "pass  # a new version")
    done = mac.install("--bundle", new_bundle(format="cbor"))
    assert (0, "") == (done.returncode, done.stderr)
    assert old != version_of(mac)
    assert [version_of(mac)] == [path.name for path in (mac.program / "versions").iterdir()]
    now = {path.name: path.read_bytes() for path in mac.etc.iterdir()}
    assert kept == {name: now[name] for name in kept}
    assert b'"cbor"' in now[f"{NAME}.json.new"]
    assert job != mac.job()
    assert mac.runs()


def test_a_new_version_that_does_not_start_gives_way_to_the_old_one(
    mac: Mac, each_shell: str, bundle: Path, tmp_path: Path
) -> None:
    mac.install("--bundle", bundle)
    old = version_of(mac)
    mac.source = changed_source(tmp_path / "broken", BREAKS, "    sys.exit(1)")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert f"{old} is back and runs" in done.stderr
    assert (old, OWN) == (version_of(mac), mac.owner(mac.etc / "private.key"))
    assert mac.runs()
    assert not (mac.program / "previous").exists()


def test_a_first_version_that_does_not_start_says_where_to_look(mac: Mac, bundle: Path, tmp_path: Path) -> None:
    mac.source = changed_source(tmp_path / "broken", BREAKS, "    sys.exit('it is broken')")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "does not start" in done.stderr
    assert f"{mac.program}/stderr.log" in done.stderr
    assert (mac.program / "stderr.log").read_text().startswith("it is broken\n")


def test_a_report_that_is_rejected_is_the_one_thing_to_fix(mac: Mac, bundle: Path, broker: ScriptedBroker) -> None:
    broker.script.answer = reject("InvalidPayload")
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "InvalidPayload" in done.stderr
    assert mac.runs()


def test_a_damaged_installation_is_mended(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    program = mac.program / "versions" / version_of(mac)
    (program / "venv" / "bin" / "python").unlink()
    shutil.rmtree(mac.program / "bin")
    (program / "defender_publisher" / "errors.py").write_text("")
    mac.plist.write_text("")
    (mac.program / "stderr.log").unlink()
    shutil.rmtree(mac.program / "state")
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    assert (ROOT / "installers" / mac.plist.name).read_bytes() == mac.plist.read_bytes()
    assert mac.runs()


def test_each_program_that_was_started_but_the_last_has_ended(mac: Mac, bundle: Path) -> None:
    for _ in range(3):
        mac.install("--bundle", bundle)
    assert wait_until(lambda: len(mac.running()) == 1)


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


def test_packages_that_can_not_be_had_end_it_before_anything_is_changed(
    mac: Mac, each_shell: str, bundle: Path
) -> None:
    (mac.state / "no-packages").touch()
    done = mac.install("--bundle", bundle)
    assert 1 == done.returncode
    assert "program: the Python packages can not be installed" in done.stderr
    assert (None, None, False) == (mac.job(), mac.account(), (mac.etc / "private.key").exists())
    (mac.state / "no-packages").unlink()
    assert 0 == mac.install("--bundle", bundle).returncode
