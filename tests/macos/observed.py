"""The installers' Python on a Mac of stubs: each change of a file is written down as the interpreter itself reports it.

So what an installer does is told by somebody who does not ask it. Each change counts as a call of a tool: the power may
fail at it. Waiting takes less time than on a Mac.
"""

import os
import runpy
import signal
import sys
import time

STATE, ROOT = os.environ["MAC_STATE"], os.environ["MAC_ROOT"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
KILLED_AT = int(os.environ.get("MAC_KILLED_AT", "999999"))
FASTER = {1.0: 0.05, 3.0: float(os.environ.get("MAC_SETTLE", "0.7"))}  # seconds, by those that it would take


class Observer:
    """Writes changes below the Mac's root into its log."""

    def __init__(self):
        self.log = os.open(f"{STATE}/log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, event, arguments):
        """Take what the interpreter is about to do."""
        words = words_of(event, arguments)
        if words and any(word.startswith(ROOT + "/") for word in words[1:]):
            line = " ".join(["file", *words]).replace("\n", " ")
            os.write(self.log, os.fsencode(line) + b"\n")
            if KILLED_AT < 999999 and os.pread(self.log, 10_000_000, 0).count(b"\n") >= KILLED_AT:
                os.killpg(0, signal.SIGKILL)


def words_of(event, arguments):
    """Return a change of a file in the words of a shell, nothing for what is none."""
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & WRITING:
        return ["write", os.fsdecode(arguments[0])]
    if event in ("os.mkdir", "os.remove", "os.rmdir") and arguments[-1] == -1:
        return [event[3:], os.fsdecode(arguments[0])]
    if event == "os.chmod" and not isinstance(arguments[0], int):
        return ["chmod", f"{arguments[1]:o}", os.fsdecode(arguments[0])]
    if event in ("os.rename", "os.symlink"):
        return [event[3:], os.fsdecode(arguments[0]), os.fsdecode(arguments[1])]
    if event in ("shutil.copyfile", "shutil.rmtree"):
        return [event[7:], *map(os.fsdecode, arguments[: 2 if event.endswith("file") else 1])]
    return []


def main():
    """Run the directory that is named first with the rest of the arguments."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(FASTER.get(seconds, seconds))
    directory = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.addaudithook(Observer())
    runpy.run_path(directory, run_name="__main__")


if __name__ == "__main__":
    main()
