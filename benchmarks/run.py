"""The benchmark: every scene in a network namespace of its own, the tables, and whether each bar is met."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.md"
DETECT = "## Detect"  # here begins what other benchmarks write there, each a section
PEERS = ["limit", "netlink", "filled", "proc", "psutil", "reference", "ss"]
NAMES = {
    "limit": "C program",
    "netlink": "ours, netlink",
    "filled": "ours, 128 KB",
    "proc": "ours, /proc",
    "psutil": "ours, psutil",
    "reference": "AWS's agent",
    "ss": "ss",
}
QUICK_ROUNDS = 9
ROUNDS = {10: 41, 100: 41, 1000: 31, 10_000: 15, 50_000: 9}
SCENES = ("processes", "interfaces", "timewait")

METHOD = """\
Written by `make bench`. CPU time (user and system) of one report; the peers take turns in one network namespace, with
up to ten reports and 50 ms a turn, and ratios are medians of the ratios within a round. Every list is cut to 50
entries, as AWS's agent cuts its own; "ours, 128 KB" is the default without `max_list_size`: as many entries as fit into
a message. The connections are between two sockets of the namespace, both of which are listed."""

Scene = dict[str, dict[str, Any]]  # peer -> what `benchmarks.scene` measured of it


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small populations only, under a minute; writes nothing")
    quick = parser.parse_args().quick
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("the benchmark needs Linux and root, to make network namespaces of its own")
    populations = [each for each in ROUNDS if not quick or each <= 1000]
    with tempfile.TemporaryDirectory() as directory:
        limit = compile_limit(Path(directory))
        scenes = {
            str(each): run_scene(f"connections:{each}", QUICK_ROUNDS if quick else ROUNDS[each], limit)
            for each in populations
        }
        scenes.update({name: run_scene(name, 5, limit) for name in SCENES if not quick})
    daemon = run_json("benchmarks.daemon", *(["--starts", "3", "--idle", "5"] if quick else []))
    text = "\n".join([*describe_machine(), *describe_scenes(scenes), *describe_daemon(daemon)])
    bars = list(judge(scenes, daemon))
    text += "\n\n## Bars\n\n| bar | demanded | measured | |\n|---|---|---|---|\n"
    text += (
        "\n".join(f"| {name} | {demand} | {value:.2f} | {verdict(met)} |" for name, demand, value, met in bars) + "\n"
    )
    print("\n" + text)
    if not quick:
        RESULTS.write_text(text + find_section(RESULTS.read_text(), DETECT))
    return 0 if all(met for *_, met in bars) else 1


def compile_limit(directory: Path) -> Path | None:
    """Compile the C program where there is a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = directory / "limit"
    subprocess.run([compiler, "-O2", "-o", str(program), str(HERE / "limit.c")], check=True)
    return program


def run_scene(name: str, rounds: int, limit: Path | None) -> Scene:
    """Run one scene in a new network namespace."""
    print(f"{name} ...", flush=True)
    peers = [each for each in PEERS if each != "limit" or limit]
    scene: Scene = run_json("benchmarks.scene", name, "--rounds", str(rounds), "--limit", str(limit), "--peers", *peers)
    return scene


def run_json(module: str, *arguments: str) -> Any:
    """Run a module in a new network namespace and return what it printed."""
    command = ["unshare", "--net", sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent)
    return json.loads(done.stdout)


def median(scene: Scene, peer: str) -> float:
    """Return a peer's median CPU seconds for a report."""
    return float(statistics.median(scene[peer]["cpu"]))


def ratio(scene: Scene, above: str, below: str) -> float:
    """Return the median over rounds of how much more CPU `above` took than `below` in the same round."""
    pairs = zip(scene[above]["cpu"], scene[below]["cpu"])
    return float(statistics.median(over / under for over, under in pairs))


def growth_exponent(scenes: dict[str, Scene], peer: str, small: int, large: int) -> float:
    """Return the exponent with which a peer's cost grows from one number of connections to another."""
    return math.log(median(scenes[str(large)], peer) / median(scenes[str(small)], peer)) / math.log(large / small)


def describe_machine() -> Iterator[str]:
    """Say on what and with what this was measured."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ["AWSIoTDeviceDefenderAgentSDK", "AWSIoTPythonSDK", "psutil", "msgspec"]
    yield "# Benchmark results"
    yield ""
    yield METHOD
    yield ""
    yield f"* {model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield "* " + ", ".join(f"{name} {version(name)}" for name in packages)


def describe_scenes(scenes: dict[str, Scene]) -> Iterator[str]:
    """Make the table of CPU times and peak memory."""
    peers = [peer for peer in PEERS if any(peer in scene for scene in scenes.values())]
    for title, key, scale, form in (
        ("CPU ms of one report", "cpu", 1e3, ".2f"),
        ("Peak memory, MiB", "peak_kib", 1 / 1024, ".1f"),
    ):
        yield f"\n## {title}\n"
        yield "| population | " + " | ".join(NAMES[peer] for peer in peers) + " |"
        yield "|---|" + "---:|" * len(peers)
        for name, scene in scenes.items():
            label = f"{int(name):,} connections" if name.isdigit() else LABELS[name]
            cells = [f"{_value(scene[peer][key]) * scale:{form}}" if peer in scene else "" for peer in peers]
            yield f"| {label} | " + " | ".join(cells) + " |"


LABELS = {
    "processes": "100 connections, 300 processes with 64 descriptors",
    "interfaces": "100 connections, 20 more interfaces",
    "timewait": "100 connections, 4,096 sockets in TIME_WAIT",
}


def _value(measured: Any) -> float:
    return statistics.median(measured) if isinstance(measured, list) else float(measured)


def describe_daemon(daemon: dict[str, Any]) -> Iterator[str]:
    """Make the table of the whole daemon."""
    yield "\n## The whole daemon, connected over TLS\n"
    yield "| | ours | AWS's agent |"
    yield "|---|---:|---:|"
    start, memory = daemon["start"], daemon["memory"]
    yield f"| CPU ms from the start to the first report | {1e3 * start['ours']:.0f} | {1e3 * start['reference']:.0f} |"
    for kind in ("rss", "uss"):
        yield f"| {kind.upper()}, MB | {memory['ours'][kind]:.1f} | {memory['reference'][kind]:.1f} |"
    wakeups = daemon["wakeups"]
    yield f"| wake-ups a minute, idle | {wakeups['ours']:.0f} | {wakeups['reference']:.0f} |"
    yield "\nBytes of one report with 50 connections and 50 ports: " + ", ".join(
        f"{size:,} ({encoding})" for encoding, size in daemon["bytes"].items()
    )


def judge(scenes: dict[str, Scene], daemon: dict[str, Any]) -> Iterator[tuple[str, str, float, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""

    def at_most(name: str, demanded: float, value: float) -> tuple[str, str, float, bool]:
        return name, f"<= {demanded:g}", value, value <= demanded

    def at_least(name: str, demanded: float, value: float) -> tuple[str, str, float, bool]:
        return name, f">= {demanded:g}", value, value >= demanded

    for name, scene in scenes.items():
        if name in CPU_OVER_LIMIT and "limit" in scene:
            yield at_most(f"CPU over the C program's, {name}", CPU_OVER_LIMIT[name], ratio(scene, "netlink", "limit"))
    for name, scene in scenes.items():
        yield at_least(f"AWS's agent over ours, {name}", REFERENCE_OVER[name], ratio(scene, "reference", "netlink"))
    for name, scene in scenes.items():
        if name in PSUTIL_OVER:
            yield at_least(f"psutil over ours, {name}", PSUTIL_OVER[name], ratio(scene, "psutil", "netlink"))
    looks = [30 * cost / min(scenes["100"]["reference"]["cpu"]) for cost in scenes["100"]["netlink"]["cpu"]]
    yield at_most("30 reports of ours over one of AWS's agent, 100", 1, statistics.median(looks))
    if "50000" in scenes:
        yield at_most("growth exponent, 10,000 to 50,000", 1.05, growth_exponent(scenes, "netlink", 10_000, 50_000))
        peaks = [scenes[name]["netlink"]["peak_kib"] for name in ("10", "50000")]
        yield at_most("peak memory growth in MB, 10 to 50,000", 0.5, (peaks[1] - peaks[0]) * 1024 / 1e6)
    memory, start = daemon["memory"], daemon["start"]
    yield at_most("daemon's RSS over AWS's agent's", 0.9, memory["ours"]["rss"] / memory["reference"]["rss"])
    yield at_most("daemon's USS over AWS's agent's", 0.65, memory["ours"]["uss"] / memory["reference"]["uss"])
    yield at_most("start-up CPU over AWS's agent's", 0.9, start["ours"] / start["reference"])
    yield at_most("CBOR short over JSON long", 0.5, daemon["bytes"]["cbor, short"] / daemon["bytes"]["json, long"])
    yield at_most("wake-ups a minute", 20, daemon["wakeups"]["ours"])


CPU_OVER_LIMIT = {"100": 2.0, "1000": 1.5, "10000": 1.15, "50000": 1.05}
REFERENCE_OVER = {
    "10": 8, "100": 25, "1000": 100, "10000": 350, "50000": 1000, "processes": 500, "interfaces": 400, "timewait": 250
}  # fmt: skip
PSUTIL_OVER = {"100": 5, "1000": 10, "10000": 15}


def find_section(text: str, heading: str) -> str:
    """Return what other benchmarks wrote from this heading on, to be kept; "" if they wrote nothing."""
    start = text.find(f"\n{heading}\n")
    return text[start:] if start >= 0 else ""


def replace_section(text: str, heading: str, section: str) -> str:
    """Return the results with one section anew, and all others as they were; one that was not there comes last."""
    before, found, after = text.partition(f"\n{heading}\n")
    _, another, rest = after.partition("\n## ")
    return f"{before.rstrip()}\n\n{section.rstrip()}\n" + (f"\n## {rest}" if found and another else "")


def describe_bars(bars: Sequence[tuple[str, str, str, bool]]) -> Iterator[str]:
    """Make the table of the bars."""
    yield "\n| bar | demanded | measured | |"
    yield "|---|---|---|---|"
    for name, demand, value, met in bars:
        yield f"| {name} | {demand} | {value} | {verdict(met)} |"
    yield ""


def verdict(met: bool) -> str:
    """Say in a word whether a bar is met."""
    return "met" if met else "**missed**"


if __name__ == "__main__":
    sys.exit(main())
