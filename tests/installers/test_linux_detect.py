"""Detect as a service, in machines with a real systemd: from what `init` makes to a report, and to nothing left."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from demo.authority import Authority
from tests.installers.releases import BROKEN, BROKEN_LATER, HANGS, new_release
from tests.installers.roots import Distribution
from tests.installers.site import (
    BUNDLE,
    INSTALL_WITHIN,
    SOURCE,
    WHEELS,
    WITHIN,
    NewSite,
    Run,
    Site,
    verdict_of,
    write_bundle,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]

NAME, UNIT = "amazon-defender-detect", "amazon-defender-detect.service"
DIRECTORY, PROGRAM, STATE = f"/etc/{NAME}", f"/opt/aws/{NAME}", f"/var/lib/{NAME}"
COMMAND, CONFIG = f"{PROGRAM}/bin/{NAME}", f"{DIRECTORY}/{NAME}.json"
DETECT_WHEELS, ADDRESS, PORT = "/detect-wheelhouse", "127.0.0.1", 8883
STEPS = ["platform", "python", "directory", "program", "user", "configuration", "service", "start", "verdict"]
CONSOLE, CONSOLE_PORT = "amazon-defender-detect-console.service", 8790
CONSOLE_ADDRESS = "/run/amazon-defender-detect-console/address"
TOKEN = "of-those-who-run-the-tests"
MOST_EXPOSED = 1.5  # by systemd-analyze, of 10
AS_USER = (f"--reuid={NAME}", f"--regid={NAME}", "--clear-groups")
PROFILE = {
    "securityProfileName": "home",
    "behaviors": [
        {
            "name": "ports",
            "metric": "aws:num-listening-tcp-ports",
            "criteria": {"comparisonOperator": "less-than", "value": {"count": 1000}},
        }
    ],
}


@pytest.fixture(scope="session")
def minimal_root(minimal_root: Path, distribution: Distribution) -> Path:
    """A minimal image whose Python is new enough."""
    if distribution.name == "debian-11":
        pytest.skip("Debian 11 has Python 3.9")
    return minimal_root


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    """The bundle of a thing that reports to Detect on the same machine."""
    directory = tmp_path_factory.mktemp("bundles")
    files = {"certificate": "certificate.pem", "private_key": "private.key", "root_ca": "roots.pem"}
    write_bundle(directory / "rpi-0001.tar", authority, authentication={"endpoint": ADDRESS, "port": PORT, **files})
    return directory


@pytest.fixture(scope="session")
def shared(source: Path, wheels: Path, detect_wheels: Path, bundles: Path) -> dict[Path, str]:
    """What machines see of the host."""
    return {source: SOURCE, wheels: WHEELS, detect_wheels: DETECT_WHEELS, bundles: BUNDLE}


def write_directory(site: Site, directory: str = DIRECTORY, **agent: object) -> None:
    """Make what `amazon-defender-detect init` makes."""
    issued = site.authority.issue("amazon-defender-detect", ["localhost", ADDRESS])
    names = {"root_ca": "authority/authority.pem", "certificate": "detect.pem", "private_key": "detect.key"}
    authentication = {"endpoint": ADDRESS, "port": PORT, **names, "revoked": "revoked.txt"}
    config = {
        "agent": {"embedded_broker": True, "minimum_interval": 1, "authentication": authentication, **agent},
        "detect": {"profiles": ["profiles"], "thing_groups": "thing-groups.json"},
    }
    site.machine.run("mkdir", "-p", f"{directory}/authority", f"{directory}/profiles", check=True)
    for name, text in {
        f"{NAME}.json": json.dumps(config, indent=2),
        "authority/authority.pem": site.authority.certificate.read_text(),
        "authority/authority.key": "the authority's key",
        "detect.pem": issued.certificate.read_text(),
        "detect.key": issued.private_key.read_text(),
        "profiles/home.json": json.dumps(PROFILE),
        "thing-groups.json": "{}",
        "revoked.txt": "",
    }.items():
        site.write(f"{directory}/{name}", text)
    site.machine.run("chmod", "600", f"{directory}/authority/authority.key", f"{directory}/detect.key", check=True)


def install(site: Site, *options: object, source: str = SOURCE) -> Run:
    """Run the installer as an operator does who has wheels and no network."""
    command = ["bash", f"{source}/installers/install-detect.bash", "--wheelhouse", DETECT_WHEELS, *options]
    return site.machine.run(*command, within=INSTALL_WITHIN)


def uninstall(site: Site, *options: object) -> Run:
    """Run the uninstaller."""
    return site.machine.run("bash", f"{SOURCE}/installers/uninstall-detect.bash", *options)


def property_of(site: Site, name: str) -> str:
    """Return what systemd knows of the service."""
    return site.machine.run("systemctl", "show", "-P", name, UNIT, check=True).stdout.strip()


def version_of(site: Site) -> str:
    """Return the version that is in force."""
    return site.machine.run("readlink", f"{PROGRAM}/current", check=True).stdout.strip().rpartition("/")[2]


def wait_for_thing(site: Site) -> None:
    """Wait until Detect knows a thing, and can say so."""
    deadline = time.monotonic() + 60
    while "things known: 1" not in property_of(site, "StatusText"):
        assert time.monotonic() < deadline, site.machine.run("journalctl", "-u", UNIT).stdout
        time.sleep(0.5)


@pytest.fixture(scope="session")
def first_detect(
    minimal_root: Path, tmp_path_factory: pytest.TempPathFactory, authority: Authority, shared: dict[Path, str]
) -> tuple[list[Path], Run]:
    """The layers of a machine on which Detect was installed, and what the installer said."""
    site = Site(tmp_path_factory.mktemp("first-detect"), [minimal_root], authority, shared)
    try:
        site.machine.boot()
        write_directory(site)
        done = install(site)
        site.machine.switch_off()
        return site.machine.layers, done
    finally:
        site.close()


@pytest.fixture
def detect(new_site: NewSite, first_detect: tuple[list[Path], Run]) -> Site:
    """A machine on which Detect runs."""
    layers, done = first_detect
    assert 0 == done.returncode, done.stdout + done.stderr
    site = new_site(*layers)
    site.machine.boot()
    return site


def test_what_init_made_becomes_a_service_that_accepts_the_report_of_a_device(
    detect: Site, first_detect: tuple[list[Path], Run]
) -> None:
    said = first_detect[1].stdout
    assert STEPS == re.findall(r"^ ?\d+/9  (\S+)", said, re.MULTILINE), said
    assert f"ready on the built-in broker on {ADDRESS}:{PORT}" in said.splitlines()[-1]
    done = detect.install("--bundle", f"{BUNDLE}/rpi-0001.tar")
    assert f" accepted by {ADDRESS}" in verdict_of(done)
    wait_for_thing(detect)
    assert "rpi-0001" in detect.machine.run(COMMAND, "things", CONFIG, check=True).stdout


def test_five_commands_lead_from_nothing_to_a_device_that_reports(new_site: NewSite, minimal_root: Path) -> None:
    """The first of them, `make install-detect`, is a virtual environment from the wheelhouse here."""
    site = new_site(minimal_root)
    site.machine.boot()
    packages = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", "--no-install-recommends")
    site.machine.run(*packages, "python3-venv", check=True, within=110)
    pip = ("-m", "pip", "install", "-q", "--no-index", "--find-links", DETECT_WHEELS)
    site.machine.run("python3", "-m", "venv", "/root/venv", check=True)
    site.machine.run("/root/venv/bin/python", *pip, "-r", f"{SOURCE}/defender_detect/requirements.txt", check=True)
    made = site.machine.run("/root/venv/bin/python", f"{SOURCE}/{NAME}", "init", DIRECTORY, "--listen", "localhost")
    assert (0, True) == (made.returncode, "installers/install-detect.bash" in made.stdout), made.stderr
    assert "the doctor finds nothing wrong" in verdict_of(install(site))
    added = site.machine.run(COMMAND, "add", "rpi-0001", "--output", "/root/rpi-0001.tar")
    assert 0 == added.returncode, added.stderr
    assert " accepted by localhost" in verdict_of(site.install("--bundle", "/root/rpi-0001.tar"))
    wait_for_thing(site)
    refused = site.machine.run("setpriv", *AS_USER, "cat", f"{DIRECTORY}/authority/authority.key")
    assert (1, True) == (refused.returncode, "Permission denied" in refused.stderr)
    modes = site.machine.run("stat", "-c", "%a", f"{DIRECTORY}/authority", f"{DIRECTORY}/detect.key", check=True)
    assert "700 600" == " ".join(modes.stdout.split()), "nothing of the authority was opened"
    doctor = site.machine.run(COMMAND, "--doctor", CONFIG)
    assert 0 == doctor.returncode, doctor.stdout


def test_the_unit_is_verified_without_a_word_and_hardly_exposed(detect: Site) -> None:
    check_exposure(detect, UNIT)


def check_exposure(site: Site, unit: str, running: str = "") -> None:
    """Let systemd judge a unit, of a template one that runs."""
    verified = site.machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{unit}")
    assert (0, "") == (verified.returncode, verified.stderr)
    exposure = site.machine.run("systemd-analyze", "security", "--no-pager", running or unit).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", exposure)
    assert found is not None, exposure
    assert float(found[1]) <= MOST_EXPOSED, exposure


def test_the_service_can_read_neither_key_and_listens_on_one_port(detect: Site) -> None:
    for name in ("detect.key", "authority/authority.key"):
        refused = detect.machine.run("setpriv", *AS_USER, "cat", f"{DIRECTORY}/{name}")
        assert (1, True) == (refused.returncode, "Permission denied" in refused.stderr)
    assert {f"0100007F:{PORT:04X}"} == listening(detect)
    assert "0" == property_of(detect, "NRestarts")


def listening(site: Site) -> set[str]:
    """Return where programs of the machine listen, as Linux writes it."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in site.read(f"/proc/net/{name}").splitlines()]
    return {line[1] for line in lines if line[3] == "0A"}


def test_a_frozen_detect_is_started_again_by_the_watchdog(detect: Site) -> None:
    detect.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    detect.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", "[Service]\nWatchdogSec=3\nRestartSec=1\n")
    detect.machine.run("systemctl", "daemon-reload", check=True)
    detect.machine.run("systemctl", "restart", UNIT, check=True)
    pid = property_of(detect, "MainPID")
    time.sleep(4)
    assert pid == property_of(detect, "MainPID"), "one that is well is left alone"
    detect.kill("STOP", int(pid))
    deadline = time.monotonic() + 60
    while property_of(detect, "MainPID") in ("0", pid) or property_of(detect, "ActiveState") != "active":
        assert time.monotonic() < deadline, detect.machine.run("journalctl", "-u", UNIT).stdout
        time.sleep(0.2)


def test_an_upgrade_keeps_what_is_known_and_one_that_does_not_start_is_taken_back(detect: Site) -> None:
    verdict_of(detect.install("--bundle", f"{BUNDLE}/rpi-0001.tar"))
    wait_for_thing(detect)
    old, kept = version_of(detect), detect.read(CONFIG)
    detect.write(f"{DIRECTORY}/profiles/home.json", json.dumps({**PROFILE, "securityProfileName": "mine"}))
    assert "ready on" in verdict_of(install(detect, source=new_release(detect, "/later", program="detect")))
    new = version_of(detect)
    assert (True, kept) == (new.startswith("9.") and new != old, detect.read(CONFIG))
    wait_for_thing(detect)
    for path, program in {"/broken": BROKEN, "/broken-later": BROKEN_LATER}.items():
        done = install(detect, source=new_release(detect, path, program, program="detect"))
        assert 1 == done.returncode, done.stdout
        assert f"does not start; restored {new}, which is running" in done.stderr
        assert "I am broken" in done.stderr
    assert ([new], new) == (detect.machine.run("ls", f"{PROGRAM}/versions").stdout.split(), version_of(detect))
    assert "active" == property_of(detect, "ActiveState")


def test_an_installer_that_is_killed_at_every_step_in_turn_is_repaired_by_the_next(detect: Site) -> None:
    assert 0 == uninstall(detect).returncode
    for step in STEPS[:-1]:
        detect.begin_install(script="install-detect.bash", wheels=DETECT_WHEELS)
        detect.wait_for_step(step)
        detect.end_install("KILL")
    assert "ready on" in verdict_of(install(detect))
    left = detect.machine.run("ls", PROGRAM).stdout.split()
    assert ["bin", "current", "etc", "install.log", "versions"] == left
    assert [version_of(detect)] == detect.machine.run("ls", f"{PROGRAM}/versions").stdout.split()


def test_an_upgrade_that_is_interrupted_leaves_what_ran(detect: Site) -> None:
    old = version_of(detect)
    later = new_release(detect, "/later", HANGS, program="detect")
    detect.begin_install(source=later, script="install-detect.bash", wheels=DETECT_WHEELS)
    detect.wait_for_step("service")
    said = detect.end_install("TERM")
    assert f"was interrupted; restored {old}, which is running" in said or "interrupted; run this again" in said
    assert (old, "active") == (version_of(detect), property_of(detect, "ActiveState"))


def test_a_broken_environment_is_repaired(detect: Site) -> None:
    detect.machine.run("sh", "-c", f"rm -rf {PROGRAM}/current/venv/lib/*/site-packages/amqtt", check=True)
    assert "ready on" in verdict_of(install(detect))


def test_what_only_root_can_read_is_given_to_the_service_and_what_it_cannot_use_is_said_before_the_start(
    detect: Site,
) -> None:
    detect.machine.run("chmod", "-R", "go-rwx", DIRECTORY, check=True)
    assert "ready on" in verdict_of(install(detect))
    assert "640" == detect.machine.run("stat", "-c", "%a", CONFIG, check=True).stdout.strip()
    before = property_of(detect, "MainPID")
    detect.write(f"{DIRECTORY}/profiles/wrong.json", '{"behaviors": 3}')
    done = install(detect)
    assert (1, True) == (done.returncode, "configuration: it cannot be used" in done.stderr)
    assert "behaviors must be" in done.stderr
    assert before == property_of(detect, "MainPID"), "what runs is left alone"


def test_a_directory_elsewhere_is_remembered(new_site: NewSite, minimal_root: Path) -> None:
    site = new_site(minimal_root)
    site.machine.boot()
    refused = install(site)
    assert f"there is no directory {DIRECTORY}; make it first: {SOURCE}/{NAME} init {DIRECTORY}" in refused.stderr
    write_directory(site, "/srv/guard")
    assert "ready on" in verdict_of(install(site, "--directory", "/srv/guard"))
    again = install(site)
    assert "/srv/guard, for " in again.stdout, again.stderr


def test_removed_it_comes_back_with_all_it_knew_and_a_purge_leaves_nothing(
    new_site: NewSite, minimal_root: Path
) -> None:
    site = new_site(minimal_root)
    site.machine.boot()
    packages = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", "--no-install-recommends")
    site.machine.run(*packages, "python3-venv", check=True, within=110)
    accounts = [f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")]
    before = site.every_file(), [site.read(path) for path in accounts]
    write_directory(site)
    assert "ready on" in verdict_of(install(site))
    done = uninstall(site)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"kept (--purge removes it): {DIRECTORY} {STATE}" in done.stdout
    assert 0 != site.machine.run("systemctl", "cat", UNIT).returncode
    assert "ready on" in verdict_of(install(site))
    site.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d", check=True)
    done = uninstall(site, "--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert (before[0], before[1]) == (site.every_file(), [site.read(path) for path in accounts])
    assert "" == site.machine.run("systemctl", "list-unit-files", "--no-legend", "amazon*").stdout
    again = uninstall(site, "--purge")
    assert (0, "") == (again.returncode, again.stderr)


# Shards


def shard_units(*shards: int) -> list[str]:
    return [f"{NAME}@{shard}.service" for shard in shards]


def test_each_shard_is_a_service_with_its_own_state_and_their_number_can_change(detect: Site) -> None:
    """There is no broker in the machine, which each of them waits for: what they are is seen without one."""
    write_directory(detect, embedded_broker=False, topic="reports/{shard:3}/{thing_name}")
    done = install(detect)
    assert "shard 2: Detect has not heard its broker" in done.stderr or "Connection refused" in done.stderr, done.stderr
    assert ["active"] * 3 == [state_of(detect, unit) for unit in shard_units(0, 1, 2)]
    assert "active" != state_of(detect, UNIT)
    assert 0 != detect.machine.run("systemctl", "cat", UNIT).returncode, "the single one is gone"
    check_exposure(detect, f"{NAME}@.service", shard_units(0)[0])
    for shard in range(3):
        owner = detect.machine.run("stat", "-c", "%U %a", f"{STATE}/{shard}", check=True).stdout.strip()
        assert f"{NAME} 700" == owner
        assert 0 == detect.machine.run("test", "-f", f"{STATE}/{shard}/detect.db").returncode
    told = detect.machine.run(COMMAND, "status", CONFIG)
    assert ["shard 0:", "shard 1:", "shard 2:"] == [line for line in told.stdout.splitlines() if line[:6] == "shard "]
    asked = detect.machine.run(COMMAND, "things", CONFIG)
    assert (0, "no thing has reported yet\n", "") == (asked.returncode, asked.stdout, asked.stderr)
    write_directory(detect, embedded_broker=False, topic="reports/{shard:2}/{thing_name}")
    install(detect)
    assert ["active", "active", "inactive"] == [state_of(detect, unit) for unit in shard_units(0, 1, 2)]
    enabled = detect.machine.run("systemctl", "is-enabled", *shard_units(0, 1, 2)).stdout.split()
    assert ["enabled", "enabled", "disabled"] == enabled
    done = uninstall(detect, "--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert "" == detect.machine.run("systemctl", "list-unit-files", "--no-legend", f"{NAME}*").stdout
    left = detect.machine.run("sh", "-c", f"ls -d {PROGRAM} {DIRECTORY} {STATE} /etc/systemd/system/*/{NAME}*")
    assert "" == left.stdout


# The console


class Browser:
    """Somebody on the machine who opens the console at the address that root reads."""

    def __init__(self, site: Site, token: str = "") -> None:
        self.site, self.cookie = site, ""
        self.address = site.read(CONSOLE_ADDRESS).strip() + token
        answer, _ = self.ask("GET", self.address.partition(str(CONSOLE_PORT))[2])
        self.cookie = str(answer.getheader("set-cookie")).partition(";")[0]

    def read(self, path: str) -> str:
        """Return a page."""
        answer, text = self.ask("GET", path)
        assert 200 == answer.status, text
        return text

    def ask(self, method: str, path: str, **form: str) -> tuple[http.client.HTTPResponse, str]:
        """Send a request as the console's own pages do."""
        headers = {"Cookie": self.cookie, "Origin": f"http://{ADDRESS}:{CONSOLE_PORT}"}
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        connection = http.client.HTTPConnection(ADDRESS, CONSOLE_PORT, timeout=60)
        with self.site.network.device.entered(), closing(connection):
            connection.request(method, path, urlencode(form) or None, {**headers, **kind})
            answer = connection.getresponse()
            return answer, answer.read().decode()


def state_of(site: Site, unit: str) -> str:
    """Return whether a unit runs."""
    return site.machine.run("systemctl", "is-active", unit).stdout.strip()


def test_a_console_that_is_asked_for_shows_what_detect_found_until_it_is_refused_and_a_purge_leaves_nothing(
    detect: Site,
) -> None:
    never_normal = {**PROFILE["behaviors"][0], "criteria": {"comparisonOperator": "less-than", "value": {"count": 0}}}  # type: ignore[dict-item]
    detect.write(f"{DIRECTORY}/profiles/home.json", json.dumps({**PROFILE, "behaviors": [never_normal]}))
    assert f"the console's address: sudo cat {CONSOLE_ADDRESS}" in verdict_of(install(detect, "--console"))
    check_exposure(detect, CONSOLE)
    assert {f"0100007F:{port:04X}" for port in (PORT, CONSOLE_PORT)} == listening(detect)
    refused = detect.machine.run("setpriv", "--reuid=nobody", "--clear-groups", "cat", CONSOLE_ADDRESS)
    assert (1, True) == (refused.returncode, "Permission denied" in refused.stderr)
    verdict_of(detect.install("--bundle", f"{BUNDLE}/rpi-0001.tar"))
    wait_for_thing(detect)
    browser = Browser(detect)
    assert "token=" in browser.address
    assert browser.address not in detect.machine.run("journalctl", "--no-pager", "-o", "cat").stdout
    assert "rpi-0001" in browser.read("/things")
    (judged, *_) = re.findall(r'action="(/verdicts/[^"]+)"', browser.read("/alarms"))
    answer, said = browser.ask("POST", judged, state="BENIGN_POSITIVE", description="known here")
    assert 303 == answer.status, said
    assert "known here" in browser.read("/alarms")

    config = json.loads(detect.read(CONFIG))
    detect.write(CONFIG, json.dumps({**config, "detect": {**config["detect"], "console": {"token_file": "its.token"}}}))
    detect.write(f"{DIRECTORY}/its.token", TOKEN)
    detect.machine.run("chmod", "600", f"{DIRECTORY}/its.token", check=True)
    assert "ready on" in verdict_of(install(detect, source=new_release(detect, "/later", program="detect")))
    assert f"http://{ADDRESS}:{CONSOLE_PORT}/" == detect.read(CONSOLE_ADDRESS).strip()
    assert "rpi-0001" in Browser(detect, f"?token={TOKEN}").read("/things")
    new = version_of(detect)
    assert (True, "active") == (new.startswith("9."), state_of(detect, CONSOLE)), "an upgrade keeps it"
    new_release(detect, "/broken", program="detect")
    detect.write("/broken/defender_detect/showing.py", "raise SystemExit('I am broken')\n")
    done = install(detect, source="/broken")
    assert (1, True) == (done.returncode, f"does not start; restored {new}, which is running" in done.stderr)
    assert "I am broken" in done.stderr
    assert (new, "active") == (version_of(detect), state_of(detect, CONSOLE))
    detect.machine.run("systemctl", "stop", UNIT, check=True)
    assert "known here" in Browser(detect, f"?token={TOKEN}").read("/alarms"), "while Detect does not run, too"

    assert "console" not in verdict_of(install(detect, "--no-console", source="/later"))
    assert ("active", False) == (state_of(detect, UNIT), "active" == state_of(detect, CONSOLE))
    assert 0 != detect.machine.run("systemctl", "cat", CONSOLE).returncode
    done = install(detect, "--console", source="/broken")
    assert f"does not start; restored {new}, which is running" in done.stderr
    assert ("active", False) == (state_of(detect, UNIT), "active" == state_of(detect, CONSOLE)), "it was not there"
    assert "console" in verdict_of(install(detect, "--console", source="/later"))
    done = uninstall(detect, "--purge")
    assert (0, "") == (done.returncode, done.stderr)
    assert "" == detect.machine.run("systemctl", "list-unit-files", "--no-legend", f"{NAME}*").stdout
    left = detect.machine.run(
        "sh", "-c", f"ls -d {PROGRAM} {DIRECTORY} {STATE} /etc/systemd/system/{NAME}* /run/{NAME}*"
    )
    assert "" == left.stdout
