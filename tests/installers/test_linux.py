"""The Linux installer in machines with a real systemd: Debian 11, 12 and 13, Ubuntu 24.04.

A machine here has no network but a line to its cloud, and Python packages from the wheelhouse only.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.chaos.network import CLOUD_ADDRESS
from tests.installers.site import (
    BUNDLE,
    COMMAND,
    CONFIG,
    ETC,
    KEY,
    PROGRAM,
    SOURCE,
    STATE,
    UNIT,
    USER,
    NewSite,
    Run,
    Site,
)

pytestmark = pytest.mark.slow

STEPS = ["platform", "python", "identity", "program", "configuration", "keys", "user", "service", "start", "verdict"]
MOST_EXPOSED = 1.5  # by systemd-analyze, of 10
WATCHDOG = 2  # seconds in the test of it, instead of a minute
LOOKED_AT = "import sys, os, socket, time\nif '--version' in sys.argv or '--check-config' in sys.argv: sys.exit(0)\n"
BROKEN = LOOKED_AT + "sys.exit('I am broken')\n"
BROKEN_LATER = LOOKED_AT + (
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
    "time.sleep(1)\nsys.exit('I am broken')\n"
)
HANGS = LOOKED_AT + "time.sleep(99)\n"
BUNDLED = ("--bundle", f"{BUNDLE}/rpi-0001.tar")
MOVED = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"}  # backups of useradd's
CHANGING = ("/var/log", "/var/cache", "/var/lib/systemd", "/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys")


def steps_of(output: str) -> list[str]:
    return re.findall(r"^ ?\d+/10  (\S+)", output, re.MULTILINE)


def verdict_of(done: Run) -> str:
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def files_of(site: Site) -> set[str]:
    """Every file in the machine but those that come and go by themselves."""
    pruned = " -o ".join(f"-path {each}" for each in CHANGING)
    done = site.machine.run("sh", "-c", f"find / \\( {pruned} \\) -prune -o -print")
    return set(done.stdout.splitlines()) - MOVED


def new_release(site: Site, path: str, script: str | None = None) -> str:
    """Copy the source in the machine to a later version, whose program is `script` if one is given."""
    site.machine.run("cp", "-R", SOURCE, path, check=True)
    module = f"{path}/defender_publisher/__init__.py"
    site.write(module, site.read(module).replace('__version__ = "', '__version__ = "9.'))
    if script is not None:
        site.write(f"{path}/amazon-defender-publisher", script)
    return path


# As an operator sees it


def test_a_minimal_image_becomes_a_service_whose_first_report_is_accepted(first_run: tuple[list[Path], Run]) -> None:
    done = first_run[1]
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert STEPS == steps_of(done.stdout), "one line a step"
    assert 10 == len(done.stdout.splitlines())
    assert done.stdout.endswith(" accepted by AWS IoT Device Defender\n")


def test_status_and_doctor_of_root_find_nothing_wrong(site: Site) -> None:
    status, doctor = (site.machine.run(COMMAND, question) for question in ("--status", "--doctor"))
    assert 0 == status.returncode, status.stdout + status.stderr
    assert status.stdout.startswith("healthy: ")
    assert "has changed since" not in status.stdout, "the key that systemd hands over makes no other configuration"
    assert 0 == doctor.returncode, doctor.stdout + doctor.stderr


def test_a_dry_run_by_nobody_changes_nothing(new_site: NewSite, minimal_root: Path) -> None:
    site = new_site(minimal_root).open()
    before = files_of(site)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    identity = ["--endpoint=e", "--thing-name=t", "--certificate=/etc/hostname", "--private-key=/etc/hostname"]
    done = site.machine.run(*as_nobody, "bash", f"{SOURCE}/installers/install-rpi.bash", "--dry-run", *identity)
    assert 0 == done.returncode, done.stderr
    assert STEPS == steps_of(done.stdout)
    assert "apt-get" in done.stdout
    assert before == files_of(site)


# What is installed


def test_the_unit_is_verified_without_a_word_and_hardly_exposed(site: Site) -> None:
    verified = site.machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
    assert (0, "") == (verified.returncode, verified.stderr)
    exposure = site.machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", exposure)
    assert found is not None, exposure
    assert float(found[1]) <= MOST_EXPOSED, exposure


def test_the_service_has_no_privilege(site: Site) -> None:
    status = dict(line.split(":\t", 1) for line in site.read(f"/proc/{site.pid()}/status").splitlines())
    user = site.machine.run("id", "-u", USER, check=True).stdout.strip()
    assert {user} == set(status["Uid"].split())
    assert ["1", "2"] == [status["NoNewPrivs"], status["Seccomp"]]
    assert {"0" * 16} == {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def test_the_services_user_can_not_log_in_and_is_in_no_other_group(site: Site) -> None:
    account = site.machine.run("getent", "passwd", USER, check=True).stdout.strip().split(":")
    assert ["/nonexistent", "/usr/sbin/nologin"] == account[5:]
    assert USER == site.machine.run("id", "-Gn", USER, check=True).stdout.strip()
    assert site.machine.run("getent", "shadow", USER).stdout.split(":")[1].startswith(("!", "*"))


def test_the_services_user_can_write_its_log_and_nothing_else_there_and_can_not_read_the_key(site: Site) -> None:
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    writable = site.machine.run(*as_user, "find", PROGRAM, "-writable", "-not", "-type", "l").stdout.split()
    assert [str(PROGRAM / "logs")] == writable
    assert 0 != site.machine.run(*as_user, "cat", KEY).returncode
    assert "600 root root" == site.machine.run("stat", "-c", "%a %U %G", KEY).stdout.strip()
    owners = site.machine.run("find", PROGRAM, "-not", "-user", "root").stdout.split()
    assert [str(PROGRAM / "logs")] == owners


def test_the_key_is_in_no_other_file_no_log_and_no_command_line(site: Site) -> None:
    secret = site.read(KEY).splitlines()[1]
    tracked = "find / -xdev -type f -size -2M -not -path '/proc/*' -print0 | xargs -0 grep -lF -e \"$SECRET\""
    found = site.machine.run("sh", "-c", tracked, SECRET=secret).stdout.split()
    assert [str(KEY)] == found
    assert secret not in site.journal()
    processes = "cat /proc/[0-9]*/cmdline /proc/$PID/environ | tr '\\0' '\\n'"
    assert secret not in site.machine.run("sh", "-c", processes, PID=str(site.pid())).stdout


def test_the_service_measures_what_root_measures_outside(site: Site) -> None:
    built_ins = ("interface_addresses", "process_names", "logged_in_users", "cpu_usage", "load_average", "uptime")
    custom: dict[str, object] = {name: {} for name in (*built_ins, "memory_usage", "open_file_count", "process_count")}
    custom["home"] = {"source": "disk_usage", "path": "/home"}
    custom["command"] = {"type": "number", "command": ["/bin/sh", "-c", "ls /usr | wc -l"]}
    config = json.loads(site.read(CONFIG))
    site.write(CONFIG, json.dumps({"agent": {**config["agent"], "debug": True}, "custom_metrics": custom}))
    site.machine.run("systemctl", "reload", UNIT, check=True)
    deadline = time.monotonic() + 30
    while len(reports := re.findall(r"report \d+: (\{.*\})", site.journal())) < 2:
        assert time.monotonic() < deadline, site.journal()
        time.sleep(0.2)
    inside = json.loads(reports[1])
    outside = json.loads(site.machine.run(COMMAND, "--dry-run", CONFIG, check=True).stdout)
    assert set(custom) == set(inside["custom_metrics"]) == set(outside["custom_metrics"])
    for name in ("interface_addresses", "process_names", "logged_in_users", "command"):
        assert outside["custom_metrics"][name] == inside["custom_metrics"][name]
    for name, near in {"home": 1.0, "process_count": 3, "memory_usage": 5.0, "uptime": 10}.items():
        pair = [each["custom_metrics"][name][0]["number"] for each in (outside, inside)]
        assert pair[0] == pytest.approx(pair[1], abs=near), name
    for block in ("listening_tcp_ports", "listening_udp_ports"):
        assert outside["metrics"][block] == inside["metrics"][block]
    assert connections_of(outside) == connections_of(inside)
    assert f"{CLOUD_ADDRESS}:8883" in {each["remote_addr"] for each in connections_of(inside)}


def connections_of(report: dict[str, dict[str, dict[str, dict[str, list[dict[str, str]]]]]]) -> list[dict[str, str]]:
    return report["metrics"]["tcp_connections"]["established_connections"]["connections"]


# Again


def test_a_second_run_keeps_configuration_keys_and_program(site: Site) -> None:
    site.write(CONFIG, site.read(CONFIG).replace('"cpu_usage": {}', '"cpu_usage": {}, "uptime": {}'))
    before = {
        name: site.read(ETC / name) for name in ("amazon-defender-publisher.json", "certificate.pem", "private.key")
    }
    version = site.version()
    done = site.install(*BUNDLED)
    assert " accepted by " in verdict_of(done)
    assert before == {name: site.read(ETC / name) for name in before}
    assert version == site.version()
    assert "is there already" in done.stdout
    assert '"uptime"' not in site.read(f"{CONFIG}.new"), "the new default is beside the one that is kept"


def test_a_run_without_any_option_is_an_upgrade(site: Site) -> None:
    new_release(site, "/later")
    assert " accepted by " in verdict_of(site.install(source="/later"))
    assert site.version().startswith("9.")
    assert site.machine.run("ls", PROGRAM / "versions").stdout.split() == [site.version()]
    assert "9." in site.machine.run(COMMAND, "--version").stdout


def test_another_things_bundle_is_refused_unless_it_is_to_replace_this_one(site: Site) -> None:
    other = ("--bundle", f"{BUNDLE}/rpi-0002.tar")
    before = site.pid()
    done = site.install(*other)
    assert (1, before) == (done.returncode, site.pid())
    assert "this device is rpi-0001, and what was given is for rpi-0002" in done.stderr
    assert " accepted by " in verdict_of(site.install(*other, "--replace"))
    site.wait_for_report(thing="rpi-0002")


@pytest.mark.parametrize(
    "damage",
    [
        "rm -rf {venv}/lib/*/site-packages/msgspec",
        "rm {venv}/bin/python",
        "mv {venv}/lib/python3* {venv}/lib/python3.6",
    ],
    ids=["a package is lost", "Python is lost", "the system's Python is another one"],
)
def test_a_broken_environment_is_repaired(site: Site, damage: str) -> None:
    site.machine.run("sh", "-c", damage.format(venv=PROGRAM / "current" / "venv"), check=True)
    assert " accepted by " in verdict_of(site.install())
    site.wait_for_report()


def test_a_program_that_was_tampered_with_is_replaced(site: Site) -> None:
    path = PROGRAM / "current" / "defender_publisher" / "report.py"
    site.write(path, site.read(path) + "\n# not ours\n")
    assert " accepted by " in verdict_of(site.install())
    assert "not ours" not in site.read(path)


@pytest.mark.parametrize("program", [BROKEN, BROKEN_LATER], ids=["at once", "a second after it was ready"])
def test_a_new_version_that_does_not_start_is_taken_back(site: Site, program: str) -> None:
    old, unit = site.version(), site.read(f"/etc/systemd/system/{UNIT}")
    new_release(site, "/later", program)
    site.write(
        "/later/installers/amazon-defender-publisher.service", unit.replace("[Unit]", "[Unit]\n# of the later one")
    )
    done = site.install(source="/later")
    assert 1 == done.returncode, done.stdout
    assert f"does not start; {old} is back and runs" in done.stderr
    assert "I am broken" in done.stderr
    assert (old, unit) == (site.version(), site.read(f"/etc/systemd/system/{UNIT}"))
    assert [old] == site.machine.run("ls", PROGRAM / "versions").stdout.split()
    site.wait_for_report()


def test_a_new_version_that_can_not_use_the_configuration_is_not_begun_with(site: Site) -> None:
    old, pid = site.version(), site.pid()
    new_release(
        site, "/later", "import sys\nif '--check-config' in sys.argv: sys.exit('agent.frobnicate is missing')\n"
    )
    done = site.install(source="/later")
    assert 1 == done.returncode
    assert "agent.frobnicate is missing" in done.stderr
    assert (old, pid) == (site.version(), site.pid())


def test_an_installer_that_is_killed_at_every_step_in_turn_is_mended_by_the_next(
    new_site: NewSite, first_run: tuple[list[Path], Run]
) -> None:
    site = new_site(*first_run[0]).open()
    assert 0 == site.uninstall("--purge").returncode
    for step in STEPS[:-1]:
        site.begin_install(*BUNDLED)
        site.wait_for_step(step)
        said = site.end_install("KILL")
        assert "accepted" not in said
    assert " accepted by " in verdict_of(site.install(*BUNDLED))
    assert ["bin", "current", "etc", "install.log", "logs", "versions"] == site.machine.run(
        "ls", PROGRAM
    ).stdout.split()
    assert (
        sorted(["amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"])
        == site.machine.run("ls", "-A", ETC).stdout.split()
    )


def test_an_upgrade_that_is_killed_while_the_new_version_starts_can_still_be_taken_back(site: Site) -> None:
    old = site.version()
    new_release(site, "/later", HANGS)
    site.begin_install(source="/later")
    site.wait_for_step("service")
    time.sleep(1.0)
    site.end_install("KILL")
    assert site.version().startswith("9.")
    done = site.install(source=new_release(site, "/broken", BROKEN))
    assert 1 == done.returncode
    assert f"{old} is back and runs" in done.stderr
    site.wait_for_report()


def test_an_upgrade_that_is_interrupted_while_it_starts_leaves_the_old_version_running(site: Site) -> None:
    old = site.version()
    new_release(site, "/later", HANGS)
    site.begin_install(source="/later")
    site.wait_for_step("service")
    time.sleep(1.0)
    assert f"was interrupted; {old} is back and runs" in site.end_install("INT")
    assert old == site.version()
    site.wait_for_report()


# While it runs


def test_a_frozen_daemon_is_started_again_by_the_watchdog(site: Site) -> None:
    site.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    site.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", f"[Service]\nWatchdogSec={WATCHDOG}\nRestartSec=1\n")
    site.machine.run("systemctl", "daemon-reload", check=True)
    site.machine.run("systemctl", "restart", UNIT, check=True)
    pid = site.pid()
    site.wait_for_report()
    site.kill("STOP", pid)
    deadline = time.monotonic() + 30
    while site.pid() in (0, pid):
        assert time.monotonic() < deadline, site.journal()
        time.sleep(0.2)
    site.wait_for_report()
    assert "watchdog" in site.journal().lower()


def test_a_daemon_that_is_killed_is_started_again(site: Site) -> None:
    site.kill("KILL", site.pid())
    site.wait_for_report()


def test_reports_go_on_after_the_broker_was_restarted(site: Site) -> None:
    pid = site.pid()
    site.stop_broker()
    time.sleep(3.0)
    site.start_broker()
    site.wait_for_report()
    assert pid == site.pid()


def test_a_configuration_that_can_not_be_used_is_not_tried_again_and_again(site: Site) -> None:
    site.write(CONFIG, "{}")
    site.machine.run("systemctl", "restart", UNIT)
    time.sleep(1.0)
    assert "failed" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()
    assert "78" == site.machine.run("systemctl", "show", "-P", "ExecMainStatus", UNIT).stdout.strip()


def test_after_a_reboot_it_is_there_by_itself_also_when_the_network_comes_later(site: Site) -> None:
    site.machine.switch_off()
    site.network.unplug()
    site.machine.boot()
    assert "active" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()
    assert "not connected" in site.machine.run("systemctl", "show", "-P", "StatusText", UNIT).stdout
    site.network.plug_in()
    site.wait_for_report()


# What is wrong


def test_where_there_is_no_broker_the_last_lines_say_so_and_the_service_goes_on_trying(site: Site) -> None:
    site.stop_broker()
    done = site.install()
    assert 1 == done.returncode
    assert "no report was accepted: TCP: port 8883: " in done.stderr
    assert "active" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()


def test_two_installers_do_not_get_into_each_others_way(site: Site) -> None:
    site.begin_install()
    site.wait_for_step("platform")
    second = site.install()
    site.wait_for_step("verdict")
    assert 1 == second.returncode
    assert "installs or removes it right now" in second.stderr


# Gone


def test_what_is_removed_keeps_its_identity_and_comes_back_with_it(site: Site) -> None:
    before = {
        name: site.read(ETC / name) for name in ("amazon-defender-publisher.json", "certificate.pem", "private.key")
    }
    done = site.uninstall()
    assert 0 == done.returncode, done.stderr
    assert f"kept (--purge removes it): {ETC} {PROGRAM}/logs {STATE}" in done.stdout
    assert "aws iot update-certificate --new-status INACTIVE --certificate-id " in done.stdout
    assert 0 != site.machine.run("systemctl", "cat", UNIT).returncode
    assert ["etc", "logs"] == site.machine.run("ls", PROGRAM).stdout.split()
    assert before == {name: site.read(ETC / name) for name in before}
    again = site.uninstall()
    assert (0, "") == (again.returncode, again.stderr)
    assert " accepted by " in verdict_of(site.install())


def test_a_purge_leaves_nothing(new_site: NewSite, minimal_root: Path, first_run: tuple[list[Path], Run]) -> None:
    site = new_site(minimal_root).open()
    site.machine.run(
        *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", "--no-install-recommends"),
        "python3-venv",
        check=True,
        within=110,
    )
    accounts = [f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")]
    before = files_of(site), [site.read(path) for path in accounts]
    assert " accepted by " in verdict_of(site.install(*BUNDLED))
    site.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    done = site.uninstall("--purge")
    assert (0, "") == (done.returncode, done.stderr)
    after = files_of(site), [site.read(path) for path in accounts]
    assert before[0] == after[0]
    assert before[1] == after[1]
    shown = site.machine.run("systemctl", "show", "--property=LoadState,ActiveState", UNIT).stdout
    assert {"LoadState=not-found", "ActiveState=inactive"} == set(shown.split())
    assert "" == site.machine.run("systemctl", "list-unit-files", "--no-legend", "amazon*").stdout
    again = site.uninstall("--purge")
    assert (0, "") == (again.returncode, again.stderr)
    assert "aws iot" not in again.stdout
