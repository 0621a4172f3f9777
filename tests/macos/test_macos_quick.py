"""The macOS installer, as far as `make test` goes: a dry run in each shell, one life of a service, the plist."""

from __future__ import annotations

import plistlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.macos.mac import ACCOUNT, LABEL, NAME, ROOT, Mac

INSTALLERS = ROOT / "installers"
PROGRAM = f"/opt/aws/{NAME}"
MADE = {"opt", "Library", "Library/LaunchDaemons", "etc", "etc/newsyslog.d"}  # a Mac has all but the first
STEPS = ["platform", "python", "identity", "program", "configuration", "keys", "user", "service", "start", "verdict"]


def steps_of(output: str) -> list[str]:
    """Return the steps that were told of, by the numbers they were told with."""
    return re.findall(r"^ *\d+/10  (\S+)", output, re.MULTILINE)


def test_the_plist_says_what_launchd_is_to_do() -> None:
    assert {
        "Label": LABEL,
        "ProgramArguments": [
            "/bin/bash",
            f"{PROGRAM}/current/installers/start-osx.bash",
            f"{PROGRAM}/etc/{NAME}.json",
        ],
        "WorkingDirectory": "/",
        "UserName": ACCOUNT,
        "GroupName": ACCOUNT,
        "Umask": 0o077,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 30,
        "ExitTimeOut": 20,
        "StandardErrorPath": f"{PROGRAM}/stderr.log",
        "StandardOutPath": "/dev/null",
    } == plistlib.loads((INSTALLERS / f"{LABEL}.plist").read_bytes())


def test_newsyslog_knows_the_file_and_the_account_of_the_plist() -> None:
    job = plistlib.loads((INSTALLERS / f"{LABEL}.plist").read_bytes())
    lines = (INSTALLERS / f"{LABEL}.conf").read_text().splitlines()
    (line,) = [line.split() for line in lines if not line.startswith("#")]
    owner = f"{job['UserName']}:{job['GroupName']}"
    assert [job["StandardErrorPath"], owner, "600", "2", "100", "*", "N"] == line


def test_a_dry_run_tells_of_every_step_and_changes_nothing(mac: Mac, each_shell: str, tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(name)
    before = mac.tree()
    done = mac.install(
        "--dry-run", "--endpoint", "e.example.com", "--thing-name", "osx-1",
        "--certificate", tmp_path / "certificate", "--private-key", tmp_path / "key",
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    assert STEPS == steps_of(done.stdout)
    assert before == mac.tree()
    assert set() == {call.split()[1] for call in mac.calls("dscl")} - {"-list", "-read"}
    assert {"print"} == {call.split()[0] for call in mac.calls("launchctl")}
    assert not (mac.state / "owners").exists()


def test_a_service_is_installed_runs_and_is_removed_with_all_it_had(mac: Mac, bundle: Path) -> None:
    before = mac.tree()
    done = mac.install("--bundle", bundle)
    assert (0, "") == (done.returncode, done.stderr)
    assert re.search(r" report \d+ accepted by localhost$", done.stdout.splitlines()[-1])
    assert mac.account() is not None
    assert mac.job() is not None
    done = mac.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert (None, None, None) == (mac.account(), mac.account("Groups"), mac.job())
    assert set(before) == {*mac.tree()} - MADE


@pytest.mark.skipif(sys.platform == "darwin", reason="this is a Mac")
def test_on_another_system_the_other_installer_is_named(tmp_path: Path) -> None:
    """Without a prefix, so that nothing of this system may be changed: a dry run."""
    (tmp_path / "uname").write_text(
        "#!/bin/sh\necho Darwin # says somebody who put himself before the system's tools\n"
    )
    (tmp_path / "uname").chmod(0o755)
    command = ["bash", str(INSTALLERS / "install-osx.bash"), "--dry-run"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (1, "platform: this is for macOS; on Linux there is install-rpi.bash\n") == (done.returncode, done.stderr)


def test_the_second_job_differs_from_the_first_only_in_what_it_runs_and_where_its_errors_go() -> None:
    first, second = (
        plistlib.loads((INSTALLERS / f"com.amazonaws.amazon-defender-{each}.plist").read_bytes())
        for each in ("publisher", "cloudwatch")
    )
    changed = {key for key in {*first, *second} if first.get(key) != second.get(key)}
    assert {"Label", "ProgramArguments", "StandardErrorPath"} == changed
    bash, start, config = first["ProgramArguments"]
    assert [bash, start, "--program", "amazon-defender-cloudwatch", config] == second["ProgramArguments"]
    lines = (INSTALLERS / "com.amazonaws.amazon-defender-cloudwatch.conf").read_text().splitlines()
    (line,) = [line.split() for line in lines if not line.startswith("#")]
    assert second["StandardErrorPath"] == line[0]
