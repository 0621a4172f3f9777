"""The console as a whole, from a configuration: where it listens, who may come in, and what it shows."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from defender_detect.attachments import find_rules
from defender_detect.config import Config, Console
from defender_detect.console.entrance import Identity
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.server import Place, Tls, check_tls, is_loopback, listen, origin_of, serve
from defender_detect.console.sight import Sight
from defender_detect.errors import ConfigError, DetectError, ListenError
from defender_detect.evaluate.detector import Rules
from defender_detect.store.summaries import Summaries

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
TOKEN_BYTES = 24  # of chance
SHORTEST_TOKEN = 16  # characters of one's own
READ_AGAIN_AFTER = 30.0  # seconds: profiles that changed are shown soon, and files are not read for each page

log = logging.getLogger(__name__)


def show(read: Callable[[], Config], port: int | None = None) -> None:
    """Serve the pages until a signal, on another port if given; raise DetectError if that cannot be, or not safely."""
    config = read()
    if config.agent.state_directory is None:
        raise DetectError("give Detect's CONFIG with agent.state_directory, or --state-directory")
    console = config.detect.console
    store = Summaries(config.agent.state_directory)
    store.check()
    tls = find_tls(console.certificate, console.private_key)
    check_safety(console, tls)
    listener = listen(console.address, console.port if port is None else port)
    identity = identify(console, listener.getsockname()[1], tls is not None)
    sight = Sight(store, remember_rules(read), console.silent_after)
    print(f"the console is at {entrance_of(console, identity, listener.getsockname()[1])}", flush=True)
    watcher = Watcher(store.path)
    serve([Place(make_app(sight, identity, watcher), listener, tls, watcher.close)])


def find_tls(certificate: str | None, private_key: str | None) -> Tls | None:
    """Return the certificate to listen with; raise ListenError for half of one, or one that cannot be used."""
    if certificate is None and private_key is None:
        return None
    if certificate is None or private_key is None:
        raise ListenError("certificate and private_key must be given together, or none of them")
    tls = Tls(certificate, private_key)
    check_tls(tls)
    return tls


def check_safety(console: Console, tls: Tls | None) -> None:
    """Raise ListenError for an address from which a token could be read on its way."""
    if is_loopback(console.address) or tls is not None or console.proxy is not None:
        return
    raise ListenError(
        f"detect.console.address {console.address} is not this machine alone: give certificate and private_key, or, "
        "behind a proxy that speaks TLS, its address as detect.console.proxy"
    )


def identify(console: Console, port: int, is_tls: bool) -> Identity:
    """Return under which addresses the console is known, and its token."""
    names = {console.address, *console.names, *(LOCAL_NAMES if is_loopback(console.address) else ())}
    origins = {origin_of(name, port, is_tls) for name in names}
    if console.proxy is not None:
        origins = {console.proxy.rstrip("/")}
    is_secure = is_tls or (console.proxy is not None and urlsplit(console.proxy).scheme == "https")
    return Identity(find_token(console.token_file), frozenset(origins), is_secure)


def find_token(path: str | None) -> str:
    """Return the token of a file, or a new one; raise ListenError if the file holds none that is safe."""
    if path is None:
        return secrets.token_urlsafe(TOKEN_BYTES)
    file = Path(path)
    try:
        token, mode = file.read_text(encoding="ascii").strip(), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ListenError(f"the token cannot be read from {path}: {error}") from error
    if mode & 0o077:
        raise ListenError(f"{path} can be read by others: chmod 600 {path}")
    if len(token) < SHORTEST_TOKEN or not all(character.isalnum() or character in "-_" for character in token):
        raise ListenError(f"{path} must hold at least {SHORTEST_TOKEN} of the characters a-z A-Z 0-9 - _")
    return token


def entrance_of(console: Console, identity: Identity, port: int) -> str:
    """Return the address that opens the console, with its token if that is not in a file."""
    shown = console.names[0] if console.names else console.address
    origin = console.proxy.rstrip("/") if console.proxy else origin_of(shown, port, identity.is_secure)
    return f"{origin}/" if console.token_file is not None else f"{origin}/?token={identity.token}"


def remember_rules(
    read: Callable[[], Config], clock: Callable[[], float] = time.monotonic
) -> Callable[[], Rules | None]:
    """Return what answers with the profiles of the configuration as it is now; None for none, or wrong ones."""
    known: tuple[float, Rules | None] | None = None

    def answer() -> Rules | None:
        nonlocal known
        if known is None or clock() - known[0] > READ_AGAIN_AFTER:
            known = (clock(), find_valid_rules(read))
        return known[1]

    return answer


def find_valid_rules(read: Callable[[], Config]) -> Rules | None:
    """Return the profiles of a configuration; None if there are none, or, which is logged, if they are wrong."""
    try:
        rules = find_rules(read())
    except ConfigError as error:
        log.error("the profiles are not shown: %s", error)
        return None
    return rules if rules.attachments else None
