"""The component: its configuration comes from the nucleus, and is kept in a file that everything else reads."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from defender_daemon.config import Raw
from defender_publisher.errors import ConfigError, HungError, TransportError
from defender_publisher.greengrass import ipc
from defender_publisher.greengrass.parameters import notes_on, read_parameters
from defender_publisher.greengrass.session import Token, advice_on, find_way, is_lite, reason_of

log = logging.getLogger("defender_publisher")

FILE = "component.json"  # in the state directory: the publisher's configuration, as the nucleus gave it
PATIENCE = 30.0  # seconds for the nucleus to be asked


def fetch_configuration(directory: Path) -> Path:
    """Ask the nucleus for the component's configuration, write it as the publisher's into a file, and return where.

    Raises ConfigError for a configuration that cannot be used, or outside a component; TransportError where the nucleus
    cannot be asked.
    """
    way = find_way()
    try:
        with contextlib.closing(ipc.Client(way.path, way.token)) as client:
            given, lite = ipc.get_configuration(client), is_lite(client, way)
    except (ipc.IpcError, ipc.Closed, OSError) as error:
        says = f"the nucleus cannot be asked for the configuration at {way.path}: {reason_of(error)}"
        raise TransportError(says, advice_on(error)) from error
    raw = read_parameters(given, short_names=lite)
    for note in notes_on(given):
        log.info("%s", note)
    return _write(directory / FILE, _as_publishers(raw, way.thing))


def wait_for_configuration(directory: Path) -> Path:
    """Fetch the configuration, however long the nucleus is away: three ends an hour end a component for good.

    Raises ConfigError for one that cannot be used, HungError where only a new start helps.
    """
    token = Token()
    while True:
        try:
            return fetch_configuration(directory)
        except TransportError as error:
            token.refused = token.refused + 1 if isinstance(error.__cause__, ipc.TokenRefused) else 0
            if token.problem:
                raise HungError(token.problem) from error
            log.warning("%s; asking again in %.0f s", error, PATIENCE)
            time.sleep(PATIENCE)


def refetch_configuration(directory: Path) -> Path:
    """Fetch a changed configuration; raises ConfigError where that cannot be done, so that the current one is kept."""
    try:
        return fetch_configuration(directory)
    except TransportError as error:
        raise ConfigError([str(error)]) from error


def state_directory() -> Path:
    """Return where the component keeps what it must not forget: `$STATE_DIRECTORY` of the recipe, or here."""
    return Path(os.environ.get("STATE_DIRECTORY") or "state").absolute()


@contextlib.contextmanager
def follow_configuration() -> Iterator[None]:
    """Let a change of the component's configuration be what SIGHUP is, as long as the nucleus says so."""
    way = find_way()
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(way.path, way.token, ended), name="configuration", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _follow(path: str, token: str, ended: threading.Event) -> None:
    while not ended.is_set():
        with (
            contextlib.suppress(ipc.IpcError, ipc.Closed, OSError),
            contextlib.closing(ipc.Client(path, token)) as client,
        ):
            ipc.subscribe_to_configuration(client, lambda: os.kill(os.getpid(), signal.SIGHUP))
            while not (ended.is_set() or client.closed.wait(PATIENCE)):
                pass
        ended.wait(PATIENCE)


def _as_publishers(raw: Raw, thing: str) -> Raw:
    agent: dict[str, Any] = {**raw["agent"], "thing_name": thing, "authentication": {"method": "greengrass"}}
    agent.setdefault("state_directory", str(state_directory()))
    return {**raw, "agent": agent}


def _write(path: Path, raw: Raw) -> Path:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(raw, file, indent=2)
        new.replace(path)
    except OSError as error:
        raise ConfigError([f"the component's configuration cannot be kept in {path}: {error.strerror}"]) from error
    return path
