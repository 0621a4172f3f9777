"""Commands: how an installation changes the system, so that a dry run can tell each change instead of making it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from problem import Problem
from surroundings import clean

PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-")
OPEN, CLOSED = 0o022, 0o077  # umasks: of what everybody may read, and of all else
LAST_LINES = 8  # of the transcript, which are shown where a command fails
NOT_FOUND = 127  # as a shell has it


class Commands:
    """Runs commands, writes what they say into a transcript, or in a dry run prints them.

    Below a prefix the system itself is not changed: of its tools those are used that are installed there.
    """

    def __init__(self, dry_run: bool = False, prefix: Path | None = None, python: Path = Path(sys.executable)) -> None:
        self.dry_run = dry_run
        self.prefix = prefix
        self.python = python
        self.transcript: Path | None = None
        self.failed = False  # whether what the last command said matters
        self.of_user = dict(os.environ)
        self.environment = clean(self.of_user)

    # The system's tools

    def run(
        self,
        *words: object,
        environment: Mapping[str, str] | None = None,
        umask: int = CLOSED,
        identity: Mapping[str, Any] | None = None,
    ) -> bool:
        """Run a command whose words matter only when it fails; return whether it did well.

        `identity` is as whom: subprocess's `user`, `group` and `extra_groups`.
        """
        self.tell(*words)
        if self.dry_run:
            return True
        with open(self.transcript or os.devnull, "ab") as said:
            done = {"stdout": said, "stderr": said, **(identity or {})}
            status = self._status(words, env=environment, umask=umask, **done)
        self.failed = status != 0
        return status == 0

    def system(self, tool: str, *words: object, umask: int = CLOSED) -> bool:
        """Run a command that changes the system itself."""
        if self.prefix is None:
            return self.run(tool, *words, umask=umask)
        own = self.prefix / "bin" / tool
        return self.run(own, *words, umask=umask) if self.dry_run or os.access(own, os.X_OK) else True

    def ask(self, *words: object, environment: Mapping[str, str] | None = None) -> str | None:
        """Return what a command says, in a dry run too; None if it fails."""
        try:
            done = subprocess.run(
                list(map(str, words)), check=False, stdin=subprocess.DEVNULL, capture_output=True, cwd="/",
                env=self.environment if environment is None else environment,
            )  # fmt: skip
        except OSError:
            return None
        return None if done.returncode else done.stdout.decode("utf-8", "replace")

    def hear(self, *words: object, identity: Mapping[str, Any]) -> tuple[bool, str]:
        """Return whether a command does well, and all that it says; `identity` is as in `run`."""
        done = subprocess.run(
            list(map(str, words)), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd="/", env=self.environment, umask=OPEN, **identity,
        )  # fmt: skip
        return done.returncode == 0, done.stdout.decode("utf-8", "replace")

    def answer(self, *words: object, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command that changes something and says what came of it; return its status and its last line."""
        self.tell(*words)
        if self.dry_run:
            return 0, ""
        done = subprocess.run(
            list(map(str, words)), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd="/", env=environment or self.environment, umask=CLOSED,
        )  # fmt: skip
        said = done.stdout.decode("utf-8", "replace")
        with open(self.transcript or os.devnull, "a", encoding="utf-8") as transcript:
            transcript.write(said)
        return done.returncode, next((line for line in reversed(said.splitlines()) if line.strip()), "")

    def ask_system(self, tool: str, *words: object) -> str | None:
        """Ask the system something; below a prefix only a tool that is installed there is asked."""
        return self.ask(tool if self.prefix is None else self.prefix / "bin" / tool, *words)

    def has(self, tool: str) -> bool:
        """Return whether there is a tool of the system, which a dry run below a prefix takes for granted."""
        if self.prefix is None:
            return shutil.which(tool) is not None
        return self.dry_run or os.access(self.prefix / "bin" / tool, os.X_OK)

    # Files

    def do(self, words: Sequence[object], work: Callable[[], Any]) -> None:
        """Do what a command would do, or in a dry run print the command."""
        self.tell(*words)
        if not self.dry_run:
            work()

    def do_as_device(self, command: str, words: Sequence[object], work: Callable[[], Any]) -> None:
        """Do what a command of this directory would do, or in a dry run print the command."""
        self.do([self.python, "-I", "-B", Path(__file__).resolve().parent, command, *words], work)

    def make_open(self, *directories: Path) -> None:
        """Make directories that everybody may enter."""
        for directory in directories:
            if not directory.is_dir():
                self.do(["mkdir", "-p", directory], lambda made=directory: self._make(made, OPEN))  # type: ignore[misc]

    def make_closed(self, directory: Path) -> None:
        """Make a directory for one user only."""
        self.do(["mkdir", "-p", directory], lambda: self._make(directory, CLOSED))

    def copy(self, source: Path, target: Path) -> None:
        """Copy what is in a file."""
        self.do(["cp", source, target], lambda: shutil.copyfile(source, target))

    def move(self, source: Path, target: Path) -> None:
        """Put a file in the place of another, in one step."""
        self.do(["mv", "-f", source, target], lambda: os.replace(source, target))

    def change_mode(self, mode: int, path: Path) -> None:
        """Change what may be done with a file."""
        self.do(["chmod", f"{mode:o}", path], lambda: path.chmod(mode))

    def open_all(self, directory: Path) -> None:
        """Let everybody read all that is below a directory, and nobody else write it."""
        self.do(["chmod", "-R", "a+rX,go-w", directory], lambda: open_tree(directory))

    def touch(self, path: Path) -> None:
        """Make an empty file."""
        self.do(["touch", path], path.touch)

    def remove(self, *paths: Path) -> None:
        """Remove files and directories with all that is in them, where there are any."""
        found = [path for path in paths if os.path.lexists(path)]
        if found:
            self.do(["rm", "-rf", *found], lambda: remove_all(found))

    # What is said of it

    def tell(self, *words: object) -> None:
        """Print a command in a dry run, and write it into the transcript otherwise."""
        line = " ".join(quoted(str(word)) for word in words)
        if self.dry_run:
            say(f"       + {line}")
        elif self.transcript is not None:
            with self.transcript.open("a", encoding="utf-8", errors="surrogateescape") as transcript:
                transcript.write(f"+ {line}\n")

    def said_lately(self, text: str) -> bool:
        """Whether the command that failed just now said something."""
        return text in self.last_words()

    def last_words(self) -> str:
        """Return the end of the transcript, if a command has failed just now."""
        if not self.failed or self.transcript is None:
            return ""
        lines = self.transcript.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"the last lines of {self.transcript}:", *lines])

    def _status(self, words: Sequence[object], umask: int, env: Mapping[str, str] | None, **outputs: Any) -> int:
        try:
            return subprocess.run(
                list(map(str, words)), check=False, stdin=subprocess.DEVNULL, cwd="/", umask=umask,
                env=self.environment if env is None else env, **outputs,
            ).returncode  # fmt: skip
        except OSError as error:
            outputs["stderr"].write(f"{words[0]}: {error.strerror}\n".encode())
            return NOT_FOUND

    @staticmethod
    def _make(directory: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(f"{directory} cannot be made: {error.strerror}") from error
        finally:
            os.umask(before)


def quoted(word: str) -> str:
    """Return a word as a shell would read it again."""
    if word and PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def remove(path: Path) -> None:
    """Remove a file or a link, or a directory with all that is in it, where no link is followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_all(paths: Sequence[Path]) -> None:
    """Remove files and directories."""
    for path in paths:
        remove(path)


def open_tree(directory: Path) -> None:
    """Do as `chmod -R a+rX,go-w` does, which follows no link."""
    for path in [directory, *directory.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        enter = 0o111 if path.is_dir() or mode & 0o111 else 0
        path.chmod((mode | 0o444 | enter) & ~0o022)


def say(text: str) -> None:
    """Print a line at once, as somebody may wait for it."""
    print(shown(text, sys.stdout.encoding), flush=True)


def shown(text: str, encoding: str | None) -> str:
    """Return a text as a terminal can show it: what a service or a file says neither moves its cursor nor fails."""
    escaped = "".join(each if each.isprintable() or each == "\n" else escape(each) for each in text)
    encoding = encoding or "ascii"
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def escape(character: str) -> str:
    """Return a character in ASCII, as Python writes it."""
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
