"""What the Linux installer leaves in a machine: who may do what, who sees the key, and what the service still sees."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.chaos.network import CLOUD_ADDRESS
from tests.installers.site import COMMAND, CONFIG, KEY, PROGRAM, UNIT, USER, WITHIN, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]


def test_the_service_has_no_privilege(site: Site) -> None:
    status = dict(line.split(":\t", 1) for line in site.read(f"/proc/{site.pid()}/status").splitlines())
    user = site.machine.run("id", "-u", USER, check=True).stdout.strip()
    assert {user} == set(status["Uid"].split())
    assert ["1", "2"] == [status["NoNewPrivs"], status["Seccomp"]]
    assert {"0" * 16} == {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def test_the_services_user_cannot_log_in_and_is_in_no_other_group(site: Site) -> None:
    account = site.machine.run("getent", "passwd", USER, check=True).stdout.strip().split(":")
    assert ["/nonexistent", "/usr/sbin/nologin"] == account[5:]
    assert USER == site.machine.run("id", "-Gn", USER, check=True).stdout.strip()
    assert site.machine.run("getent", "shadow", USER).stdout.split(":")[1].startswith(("!", "*"))


def test_the_services_user_can_write_its_log_and_nothing_else_there_and_cannot_read_the_key(site: Site) -> None:
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    writable = site.machine.run(*as_user, "find", PROGRAM, "-writable", "-not", "-type", "l").stdout.split()
    assert [str(PROGRAM / "logs")] == writable
    assert 0 != site.machine.run(*as_user, "cat", KEY).returncode
    assert "600 root root" == site.machine.run("stat", "-c", "%a %U %G", KEY).stdout.strip()
    owners = site.machine.run("find", PROGRAM, "-not", "-user", "root").stdout.split()
    assert [str(PROGRAM / "logs")] == owners


def test_the_packages_of_the_system_that_were_installed_are_for_everybody(site: Site) -> None:
    hidden = site.machine.run("sh", "-c", "find /usr/lib/python3* /var/lib/python* -not -perm -o=r -not -type l").stdout
    assert "" == hidden
    assert "/usr/lib/python3" in site.machine.run("find", "/usr/lib", "-name", "*.pyc").stdout


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
    assert set(inside["custom_metrics"]) == set(outside["custom_metrics"])
    assert set(custom) - set(inside["custom_metrics"]) <= {"logged_in_users"}, "Debian 13 keeps no utmp"
    for report in (inside, outside):  # the reports were waited for by journalctl
        names = report["custom_metrics"]["process_names"][0]
        names["string_list"] = [name for name in names["string_list"] if name != "journalctl"]
    for name in ("interface_addresses", "process_names", "logged_in_users", "command"):
        assert outside["custom_metrics"].get(name) == inside["custom_metrics"].get(name)
    for name, near in {"home": 1.0, "process_count": 3, "memory_usage": 5.0, "uptime": 10}.items():
        pair = [each["custom_metrics"][name][0]["number"] for each in (outside, inside)]
        assert pair[0] == pytest.approx(pair[1], abs=near), name
    for block in ("listening_tcp_ports", "listening_udp_ports"):
        assert outside["metrics"][block] == inside["metrics"][block]
    assert connections_of(outside) == connections_of(inside)
    assert f"{CLOUD_ADDRESS}:8883" in {each["remote_addr"] for each in connections_of(inside)}


def connections_of(report: dict[str, dict[str, dict[str, dict[str, list[dict[str, str]]]]]]) -> list[dict[str, str]]:
    return report["metrics"]["tcp_connections"]["established_connections"]["connections"]
