"""A scene: the daemon as a process in a network of its own, Device Defender at the other end, and the accounts of both.

Only the test sends over `traffic0`, the one interface that the daemon reports on. So the kernel's counters are known at
every quiet moment, and whatever reports say can be held against them.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender_publisher.snapshot import Counters
from demo.authority import Authority
from tests.chaos.network import CLOUD_ADDRESS, TRAFFIC, Network
from tests.chaos.process import LOOK_AGAIN, Line, Program
from tests.chaos.service import PORT, ROOT, Report, ScriptedService, Service

PUBLISHER = ROOT / "amazon-defender-publisher"
THING = "rpi-chaos"
ACCEPTED = r"report (\d+) accepted"  # what the daemon logs of a report that was accepted
COUNTED_AGAIN = (  # and of one whose stretch a later report counts again
    r"counts the traffic of report (\d+) again",
    r"report (\d+) was accepted, but that came too late",
)
GIVEN_UP = "what this report holds is given up"  # and of one that Device Defender never takes
STARTED_WITHIN = 20.0  # seconds for the first report of a daemon, on a busy machine
NAME_FILES = """\
for each in resolv.conf; do mount --bind "$0/$each" "/etc/$each" || exit 1; done; exec "$@"
"""


class Scene:
    """A daemon, its network and Device Defender; `close` ends whatever of it is left.

    `service` is of the class given: the scripted broker, or mosquitto with amazon-defender-detect.
    """

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        service: type[Service] = ScriptedService,
        interval: int = 2,
        endpoint: str = CLOUD_ADDRESS,
        custom_metrics: Mapping[str, object] | None = None,
        wrapper: Sequence[object] = (),
        env: Mapping[str, str] | None = None,
        **agent: object,
    ) -> None:
        """Make the network; nothing runs yet. `wrapper` is what the daemon's command line begins with."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.interval = directory, interval
        self.authority = authority
        self.daemon: Program | None = None
        self.config = directory / "config.json"
        self.state_directory = directory / "state"
        self._wrapper, self._env = list(wrapper), env
        self._flow = contextlib.ExitStack()
        self._earlier: list[Line] = []  # of daemons that have ended
        self._baseline: Counters | None = None  # the kernel's counters when the accounts were opened,
        self._opened_after = 0  # and how many accepted reports come before
        self._write_config(endpoint, custom_metrics, agent)
        self.network = Network()  # the last thing that can fail, for it has to be closed
        self.service = service(self.network, authority, directory)  # type: ignore[call-arg]

    def close(self) -> None:
        """End the daemon and the service, and let go of the network."""
        with contextlib.ExitStack() as stack:
            for close in (self.network.close, self.service.stop, self.stop_daemon, self._flow.close):
                stack.callback(close)

    # -- what runs

    def begin(self) -> None:
        """Start the service and the daemon, wait for the first report to be accepted, and open the accounts with it."""
        self.service.start()
        self.start_daemon()
        self.open_accounts(STARTED_WITHIN)

    def start_daemon(self, *arguments: object) -> Program:
        """Start the daemon."""
        resolv = self.directory / "resolv.conf"
        resolv.write_text(f"nameserver {CLOUD_ADDRESS}\n")
        command = ["unshare", "--mount", "sh", "-c", NAME_FILES, self.directory, *self._wrapper]
        command += [sys.executable, "-B", PUBLISHER, self.config, *arguments]
        self.daemon = Program(self.network.device, command, self._env, self.directory)
        return self.daemon

    def stop_daemon(self, kill: bool = False) -> int | None:
        """End the daemon and return its exit status; None if there is none."""
        if self.daemon is None:
            return None
        status = self.daemon.kill() if kill else self.daemon.stop()
        self._earlier += self.daemon.lines
        self.daemon = None
        return status

    def start_broker(self) -> None:
        """Let the service be there again."""
        self.service.start()

    def stop_broker(self) -> None:
        """Kill the service."""
        self.service.stop()

    # -- what is said

    @property
    def lines(self) -> list[Line]:
        """Every line of this scene's daemons."""
        return [*self._earlier, *(self.daemon.lines if self.daemon else [])]

    def find(self, pattern: str, since: float = 0.0) -> list[Line]:
        """Return the lines of all daemons since a moment that hold `pattern`."""
        return [line for line in self.lines if line.moment >= since and re.search(pattern, line.text)]

    def wait_for_line(self, pattern: str, within: float, since: float = 0.0) -> Line:
        """Return the first line since a moment that holds `pattern`; fails when none comes within so many seconds."""
        assert self.daemon is not None
        return self.daemon.wait_for_line(pattern, within, since)

    # -- what is counted

    @property
    def accepted(self) -> list[Report]:
        """The reports that Device Defender took so far, whether or not the daemon heard of it."""
        return [report for report in self.service.reports if report.taken]

    def kernel(self) -> Counters:
        """Return what the kernel has counted on `traffic0` since it exists."""
        return self.network.kernel()

    def traffic(self, count: int, received: int | None = None) -> None:
        """Send `count` bytes over `traffic0`, and let it receive `received` (default: half as many)."""
        self.network.send(count)
        self.network.send(count // 2 if received is None else received, "traffic1")

    def drip(self) -> None:
        """Let a little traffic flow all the time, until `settle`."""
        self._flow.enter_context(self.network.drip())

    def open_accounts(self, within: float) -> None:
        """Let the accounts begin with the next report that is accepted; there must be no traffic until then."""
        before, self._baseline = self.kernel(), None
        self._opened_after = len(self.accepted)
        self.wait_for_accepted(within)
        self._opened_after += 1
        self._baseline = self.kernel()
        assert before == self._baseline, "no traffic while accounts are opened"

    def wait_for_accepted(self, within: float, since: float | None = None, count: int = 1) -> Line:
        """Return the line in which the daemon says that a report was accepted, the `count`th since a moment or now."""
        since = time.monotonic() if since is None else since
        deadline = time.monotonic() + within
        while True:
            heard = self.find(ACCEPTED, since)
            if len(heard) >= count:
                return heard[count - 1]
            assert time.monotonic() < deadline, f"{len(heard)} of {count} reports in {within:g} s:\n{self._said()}"
            time.sleep(LOOK_AGAIN)

    def resumed_within(self, seconds: float, since: float | None = None) -> float:
        """Wait for a report that is accepted after the cure (`since`, or now); return how many seconds that took."""
        cure = time.monotonic() if since is None else since
        line = self.wait_for_accepted(cure + seconds - time.monotonic(), cure)
        return line.moment - cure

    def settle(self, within: float | None = None, reports: int = 2) -> None:
        """Stop the traffic, and wait for reports that hold all of it: the first may have been under way."""
        self._flow.close()
        self.wait_for_accepted((within or 2.5 * self.interval + 10) * reports / 2, count=reports)

    def assert_accounted(self, twice: int | None = 0) -> str:
        """Hold the reports against the kernel, byte by byte; return how they compare.

        `twice` is how many stretches were counted again (None: as many as it happened to be). Those are the reports
        that Device Defender took, whose verdict did not arrive, and of which the log says so.
        """
        assert self._baseline is not None
        grown = _subtract(self.kernel(), self._baseline)
        taken = self.accepted[self._opened_after :]
        again = {int(number) for line in self.lines for said in COUNTED_AGAIN for number in re.findall(said, line.text)}
        repeated = [each for each in taken if each.report_id in again]
        reported, doubled, given_up = _sum(taken), _sum(repeated), self._given_up()
        story = f"reports {_told(taken)}, counted again {_told(repeated)}, kernel {tuple(grown)}\n{self._said()}"
        assert grown == _add(_subtract(reported, doubled), given_up), story
        assert twice in (None, len(repeated)), story
        twice_told = f" - {_volume(doubled):,} twice" if repeated else ""
        in_the_log = f" + {_volume(given_up):,} given up" if _volume(given_up) else ""
        return f"{_volume(reported):,}{twice_told}{in_the_log} = {_volume(grown):,} bytes"

    def _given_up(self) -> Counters:
        """Return the growth in reports that Device Defender never takes, which the log holds whole."""
        reports = [json.loads(line.text[line.text.index("{") :]) for line in self.find(GIVEN_UP)]
        return _add(*(Counters(**report["metrics"]["network_stats"]) for report in reports))

    def _said(self) -> str:
        return "\n".join(line.text for line in self.lines[-60:])

    def _write_config(
        self, endpoint: str, custom_metrics: Mapping[str, object] | None, agent: Mapping[str, object]
    ) -> None:
        files = self.authority.issue(THING)
        authentication = {
            "endpoint": endpoint,
            "port": PORT,
            "root_ca": str(self.authority.certificate),
            "certificate": str(files.certificate),
            "private_key": str(files.private_key),
        }
        own = {
            "thing_name": THING,
            "authentication": authentication,
            "publish_interval": self.interval,
            "allow_short_interval": True,
            "state_directory": str(self.state_directory),
        }
        content = {
            "agent": {**own, **agent},
            "metrics": {"network_stats": {"interfaces": [TRAFFIC]}},
            "custom_metrics": {"load_average": {}} if custom_metrics is None else custom_metrics,
        }
        self.config.write_text(json.dumps(content, indent=1))


def _subtract(later: Counters, earlier: Counters) -> Counters:
    return Counters(*(after - before for before, after in zip(earlier, later)))


def _add(*counters: Counters) -> Counters:
    return Counters(*map(sum, zip(Counters(0, 0, 0, 0), *counters)))


def _sum(reports: Sequence[Report]) -> Counters:
    return _add(*(report.growth for report in reports if report.growth))


def _volume(counters: Counters) -> int:
    return counters.bytes_in + counters.bytes_out


def _told(reports: Sequence[Report]) -> str:
    return ", ".join(f"{each.report_id}: {tuple(each.growth) if each.growth else None}" for each in reports) or "none"
