"""launchd as an installer meets it: one job, which is really started, in $MAC_STATE/launchd.json.

It is as unforgiving as launchd: a second bootstrap is refused, a plist must be root's and closed to others, the account
must be there, bootout takes a while, and what macOS calls legacy is refused.
"""

import contextlib
import json
import os
import plistlib
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["MAC_STATE"])
ROOT = Path(os.environ["MAC_ROOT"])
FILE = STATE / "launchd.json"
LEAVING = int(os.environ.get("MAC_LEAVING", "3"))  # how often `print` still finds a job that was booted out


def main(arguments):
    """Do what the arguments say; return the exit status."""
    state = json.loads(FILE.read_text()) if FILE.exists() else {"jobs": {}, "disabled": []}
    commands = {f.__name__: f for f in (bootstrap, bootout, enable, disable, kickstart, print_job)}
    command = commands.get({"print": "print_job"}.get(arguments[0], arguments[0]) if arguments else "")
    if command is None:
        return refuse(64, f"{arguments[:1]} is legacy or unknown: bootstrap, bootout, enable, kickstart and print do")
    try:
        return command(state, *arguments[1:])
    finally:
        FILE.write_text(json.dumps(state))


def bootstrap(state, domain, plist):
    """Take a job over and start it."""
    with open(plist, "rb") as file:
        job = plistlib.load(file)
    label = job["Label"]
    if domain != "system" or label in state["jobs"]:
        leaving = state["jobs"].get(label, {}).get("leaving") is not None
        return refuse(
            37 if leaving else 5,
            "Bootstrap failed: " + ("37: Operation already in progress" if leaving else "5: Input/output error"),
        )
    if owner(plist) != "root:wheel" or os.stat(plist).st_mode & 0o7777 != 0o644:
        return refuse(122, "Bootstrap failed: 122: Path had bad ownership/permissions")
    if len(list(STATE.glob("bootstrap-fails-*"))):
        next(STATE.glob("bootstrap-fails-*")).unlink()
        return refuse(5, "Bootstrap failed: 5: Input/output error")
    if label in state["disabled"]:
        return refuse(119, "Bootstrap failed: 119: Service is disabled")
    state["jobs"][label] = {"plist": job, "pid": start(job) if job.get("RunAtLoad") else 0, "leaving": None}
    return 0


def bootout(state, target):
    """Begin to let go of a job: launchctl returns, and the job is still there for a while."""
    job = state["jobs"].get(label_of(target))
    if job is None:
        return refuse(3, "Boot-out failed: 3: No such process")
    stop(job["pid"])
    job["leaving"] = LEAVING
    return 0


def enable(state, target):
    """Let a job be bootstrapped."""
    state["disabled"] = [each for each in state["disabled"] if each != label_of(target)]
    return 0


def disable(state, target):
    """Let a job not be bootstrapped any more."""
    state["disabled"].append(label_of(target))
    return 0


def kickstart(state, *arguments):
    """Start a job, anew with -k."""
    job = state["jobs"].get(label_of(arguments[-1]))
    if job is None or job["leaving"] is not None:
        return refuse(113, "Could not find service in domain for system")
    if alive(job["pid"]) and "-k" not in arguments:
        return refuse(37, "service already running")
    stop(job["pid"])
    job["due"] = int(os.environ.get("MAC_THROTTLED", "0"))
    job["pid"] = 0 if job["due"] else start(job["plist"])
    return 0


def print_job(state, target):
    """Describe a job as launchd does."""
    label = label_of(target)
    job = state["jobs"].get(label)
    if job is not None and job["leaving"] == 0:
        del state["jobs"][label]
        job = None
    if job is None:
        return refuse(113, f'Could not find service "{label}" in domain for system')
    if job["leaving"] is not None:
        job["leaving"] -= 1
    if job.get("due"):  # put off, because it was started only just before
        job["due"] -= 1
        job["pid"] = 0 if job["due"] else start(job["plist"])
    running = alive(job["pid"])
    print(
        f"system/{label} = {{\n\tactive count = 1\n\ttype = LaunchDaemon\n\tstate = "
        f"{'running' if running else 'spawn scheduled'}\n" + (f"\n\tpid = {job['pid']}\n" if running else "") + "}"
    )
    return 0


def start(plist):
    """Start the program of a job, below the directory that stands for /; return its id, 0 if it cannot be started."""
    if "UserName" in plist and not (STATE / "dscl" / "Users" / plist["UserName"]).is_dir():
        return 0  # without an account it is root's
    words = [
        str(ROOT) + word if word.startswith("/") and (ROOT / word[1:]).exists() else word
        for word in plist["ProgramArguments"]
    ]
    environment = {
        **{key: os.environ[key] for key in os.environ if key != "MAC_KILLED_AT"},
        **plist.get("EnvironmentVariables", {}),
    }
    said = plist.get("StandardOutPath", os.devnull)
    said = said if said == os.devnull else ROOT / said.lstrip("/")
    with (ROOT / plist["StandardErrorPath"].lstrip("/")).open("ab") as errors, open(said, "ab") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=str(ROOT) + plist.get("WorkingDirectory", "/"),
            env=environment,
            start_new_session=True,
        )
    with (STATE / "pids").open("a") as pids:
        pids.write(f"{process.pid}\n")
    return process.pid


def stop(pid):
    """End a program, as launchd does: politely, and then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number) if pid else None
        deadline = time.monotonic() + 5
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)


def alive(pid):
    """Tell whether a program runs; one that ended and that nobody has asked for yet does not."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:  # where there is no /proc
        return sys.platform != "linux"
    except OSError:
        return False


def owner(path):
    """Return who chown made a file belong to."""
    known = f"{os.stat(path).st_ino} {os.path.basename(path)}"
    lines = (STATE / "owners").read_text().splitlines() if (STATE / "owners").exists() else []
    return ([line.partition(" ")[0] for line in lines if line.partition(" ")[2] == known] or [""])[-1]


def label_of(target):
    """Return the label of a service target."""
    domain, _, label = target.partition("/")
    if domain != "system" or not label:
        sys.exit(f"{target} is no service of the system")
    return label


def refuse(status, words):
    """Say why not; return the exit status."""
    print(words, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
