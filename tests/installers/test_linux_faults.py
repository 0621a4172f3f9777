"""The Linux installer and its service when things go wrong: killed, interrupted, tampered with, misconfigured."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.installers.releases import BROKEN, HANGS, new_release
from tests.installers.site import (
    BUNDLE,
    BUNDLED,
    COMMAND,
    CONFIG,
    ETC,
    PROGRAM,
    STEPS,
    UNIT,
    WITHIN,
    NewSite,
    Run,
    Site,
    verdict_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]


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


def test_a_program_that_was_tampered_with_is_replaced(site: Site) -> None:
    path = PROGRAM / "current" / "defender_publisher" / "report.py"
    site.write(path, site.read(path) + "\n# not ours\n")
    assert " accepted by " in verdict_of(site.install())
    assert "not ours" not in site.read(path)


def test_a_new_version_that_cannot_use_the_configuration_is_not_begun_with(site: Site) -> None:
    old, pid = site.version(), site.pid()
    new_release(
        site, "/later", "import sys\nif '--check-config' in sys.argv: sys.exit('agent.frobnicate is missing')\n"
    )
    done = site.install(source="/later")
    assert 1 == done.returncode
    assert "agent.frobnicate is missing" in done.stderr
    assert (old, pid) == (site.version(), site.pid())


def test_a_configuration_that_only_root_can_use_is_taken_back(site: Site) -> None:
    before = site.read(CONFIG)
    config = json.loads(before)
    del config["agent"]["thing_name"]
    config["agent"]["instance"] = {"prefix": "rpi", "command": "cat /root/serial"}
    site.write("/root/serial", "0001")
    site.write(ETC / "mine.json", json.dumps(config))
    done = site.install("--config", ETC / "mine.json", "--replace")
    assert 1 == done.returncode
    assert "does not start; restored the earlier configuration, which is running" in done.stderr
    assert before == site.read(CONFIG)
    site.wait_for_report()


def test_a_password_in_the_configuration_is_for_the_service_only(site: Site) -> None:
    config = json.loads(site.read(CONFIG))
    config["agent"]["proxy"] = {"host": "10.9.0.2", "port": 8883, "username": "u", "password": "p"}
    site.write(CONFIG, json.dumps(config))
    site.install()
    assert "640 root amazon-defender-publisher" == site.machine.run("stat", "-c", "%a %U %G", CONFIG).stdout.strip()
    assert "active" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()


def test_an_installer_that_is_killed_at_every_step_in_turn_is_repaired_by_the_next(
    new_site: NewSite, first_run: tuple[list[Path], Run]
) -> None:
    site = new_site(*first_run[0]).open()
    assert 0 == site.uninstall("--purge").returncode
    site.stop_broker()  # so that there is no verdict, however late somebody looks
    for step in STEPS[:-1]:
        site.begin_install(*BUNDLED)
        site.wait_for_step(step)
        said = site.end_install("KILL")
        assert "accepted" not in said
    site.start_broker()
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
    assert f"restored {old}, which is running" in done.stderr
    site.wait_for_report()


def test_an_upgrade_that_is_interrupted_while_it_starts_leaves_the_old_version_running(site: Site) -> None:
    old = site.version()
    new_release(site, "/later", HANGS)
    site.begin_install(source="/later")
    site.wait_for_step("service")
    time.sleep(1.0)
    assert f"was interrupted; restored {old}, which is running" in site.end_install("INT")
    assert old == site.version()
    site.wait_for_report()


def test_a_daemon_that_is_killed_is_started_again(site: Site) -> None:
    site.kill("KILL", site.pid())
    site.wait_for_report()


def test_a_configuration_that_cannot_be_used_is_not_tried_again_and_again(site: Site) -> None:
    site.write(CONFIG, "{}")
    site.machine.run("systemctl", "restart", UNIT)
    time.sleep(1.0)
    assert "failed" == site.machine.run("systemctl", "is-active", UNIT).stdout.strip()
    assert "78" == site.machine.run("systemctl", "show", "-P", "ExecMainStatus", UNIT).stdout.strip()


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
