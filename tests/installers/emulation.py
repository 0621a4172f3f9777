"""Another processor: programs of an ARM device, emulated by qemu in a binfmt_misc that only they see (Linux 6.7).

The host is not changed: the emulator is registered in a namespace of users, which ends with the command.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.installers.roots import CACHE, DEBIAN, LOOK_WITHIN, RootError, locked, run

CLONE_NEWUSER = 0x10000000  # linux/sched.h
ALL_USERS = "0 0 65536"
EMULATORS = {"armhf": "qemu-arm", "arm64": "qemu-aarch64"}  # by Debian's name of the processor
REGISTERED = Path("/usr/lib/binfmt.d")
MAKE_WITHIN = 1500.0  # seconds; four minutes on a machine that does nothing else
SUITE = "bookworm"
ENTER = """
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 90
head -n 1 "$1" >/proc/sys/fs/binfmt_misc/register || exit 91
root=$2
shift 2
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp" || exit 92
for each in $SHARED; do
    mkdir -p "$root/tmp/${each##*/}" && mount --bind "$each" "$root/tmp/${each##*/}" || exit 93
done
exec chroot "$root" "$@"
"""


def refusal(processor: str) -> str | None:
    """Return why nothing can be emulated here, None if it can."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        return "emulation needs root and debootstrap"
    if not (REGISTERED / f"{EMULATORS[processor]}.conf").exists():
        return "emulation needs qemu-user-static"
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 7):
        return "emulation that the host does not notice needs Linux 6.7"
    return None


def root_of(processor: str) -> Path:
    """Return a root with the processor's Debian, which is made if it is not in the cache."""
    root = CACHE / "roots" / f"{SUITE}-{processor}"
    with locked(root):
        if not root.exists():
            part = root.with_name(root.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            options = [f"--arch={processor}", "--foreign", "--variant=minbase", "--include=ca-certificates"]
            run(["debootstrap", *options, SUITE, part, DEBIAN])
            shutil.copyfile("/etc/resolv.conf", part / "etc" / "resolv.conf")
            second = [
                "env",
                "container=lxc",
                "/debootstrap/debootstrap",
                "--second-stage",
            ]  # lxc: it may make no devices
            done = emulate(processor, part, *second, within=MAKE_WITHIN)
            if done.returncode:
                raise RootError(f"debootstrap --second-stage failed: {done.stdout.strip().splitlines()[-1:]}")
            done = emulate(processor, part, "apt-get", "-q", "update", within=LOOK_WITHIN)
            part.rename(root)
    return root


def emulate(
    processor: str, root: Path, *command: str, within: float, shared: tuple[Path, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the root as its root user; directories in `shared` are below /tmp there."""
    registration = REGISTERED / f"{EMULATORS[processor]}.conf"
    entering = ["unshare", "--mount", "sh", "-c", ENTER, "sh"]
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", **environment}
    asked, told = os.pipe(), os.pipe()
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if not pid:
            _become_all_users(asked[1], told[0])
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            limit = ["timeout", f"{within:.0f}"]
            shares = {"SHARED": " ".join(map(str, shared))}
            os.execvpe("timeout", [*limit, *entering, str(registration), str(root), *command], {**variables, **shares})
        os.read(asked[0], 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text(ALL_USERS)
        os.write(told[1], b"x")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for each in (*asked, *told):
            os.close(each)
        output.seek(0)
        return subprocess.CompletedProcess(command, status, output.read(), "")


def _become_all_users(asking: int, hearing: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        os._exit(94)
    os.write(asking, b"x")
    os.read(hearing, 1)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
