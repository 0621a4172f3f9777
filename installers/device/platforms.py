"""What an installer wants of a platform, which `linux` and `macos` are."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from product import Companion, Oneshot


class Platform(Protocol):
    """What an installer does to a system; what cannot be done is said in a sentence, as Problem."""

    service_manager: str  # the tool that starts and stops services; below a prefix, it is there or not
    keeps_wheels: bool  # whether a start rebuilds the program's environment from the wheels of its version
    companion: Companion | None  # the second program that is installed too, or is going to be
    companion_before: Companion | None  # the one that was there before this installation
    shards: int  # how many services of the same kind there are to be, 0 for one that is no shard
    oneshots: tuple[Oneshot, ...]  # what runs beside the service now and then, or is going to
    oneshots_before: tuple[Oneshot, ...]  # those that were there before this installation
    has_first_boot: bool  # whether an image can be made whose devices ask for their certificates when they boot first
    started_at: float  # when the service was started, in seconds since the epoch

    @property
    def template(self) -> str:
        """The example configuration."""

    @property
    def user(self) -> str:
        """Whom the service runs as."""

    @property
    def key_readers(self) -> str:
        """Who can read the private key."""

    @property
    def state(self) -> Path:
        """Where the service keeps its state, without the prefix."""

    @property
    def default_logfile(self) -> Path | None:
        """Where the log is, without the prefix; None for where the service manager puts it."""

    @property
    def service_file(self) -> Path:
        """The file by which the service manager knows the service."""

    def describe(self) -> str:
        """Return what this is; fail if it is not for this installer."""

    def provide_python(self) -> str:
        """Install what Python lacks here; return its name, empty for nothing."""

    def provide_builders(self) -> list[str]:
        """Install what Python packages are built with where there are no wheels; return what was installed."""

    def make_user(self) -> None:
        """Make the service's account, or complete it."""

    def own_logs(self, logs: Path) -> None:
        """Let the service write its log."""

    def write_service(self, version: Path) -> None:
        """Put the service files of a version in place."""

    def start(self) -> bool:
        """Start the service again, and wait until it is ready."""

    def lives(self) -> bool:
        """Whether it still runs, a moment later."""

    def how_to_look(self) -> str:
        """Return how an operator looks at it."""

    def last_words(self) -> str:
        """Return what it said last."""
