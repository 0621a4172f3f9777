"""The console as a whole, from a configuration: where it listens, who may come in, and what it shows."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from defender_daemon.notify import Notifier
from defender_detect.api.answers import Source
from defender_detect.api.app import Api as AwsApi
from defender_detect.api.app import Gate
from defender_detect.attachments import find_rules
from defender_detect.config import Api, Config, Console
from defender_detect.console.entrance import Identity
from defender_detect.console.live import Watcher
from defender_detect.console.pages import make_app
from defender_detect.console.server import Place, Tls, check_tls, is_loopback, listen, origin_of, serve
from defender_detect.console.sight import Sight
from defender_detect.errors import ConfigError, DetectError, ListenError
from defender_detect.evaluate.detector import Rules
from defender_detect.store.documents import kept_in
from defender_detect.store.fleet import summaries_of
from defender_detect.store.pages import PageReader
from defender_detect.store.schema import DATABASE

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
ADDRESS_FILE = "address"  # in the directory that systemd makes for the service
TOKEN_BYTES = 24  # of chance
SHORTEST_TOKEN = 16  # characters of one's own
READ_AGAIN_AFTER = 30.0  # seconds: profiles that changed are shown soon, and files are not read for each page

AccessKey = Annotated[str, msgspec.Meta(pattern=r"^\w{3,128}$(?!\n)")]
Secret = Annotated[str, msgspec.Meta(min_length=16, max_length=256)]

log = logging.getLogger(__name__)


def show(read: Callable[[], Config], directories: Sequence[Path], port: int | None = None) -> None:
    """Serve the pages of state directories until a signal, on another port if given.

    Raises DetectError if that cannot be, or not safely.
    """
    config = read()
    console, api = config.detect.console, config.detect.api
    if api is not None and len(directories) > 1:
        one = directories[0]
        raise DetectError(f"detect.api answers for one Detect: give its state directory, --state-directory {one}")
    store = summaries_of(directories)
    store.check()
    for each in directories:
        if not (each / DATABASE).exists():
            log.warning("nothing is kept in %s yet; its things will be shown once they report", each)
    tls = find_tls(console.certificate, console.private_key)
    check_safety("detect.console", console, tls)
    listener = listen(console.address, console.port if port is None else port)
    identity = identify(console, listener.getsockname()[1], tls is not None)
    rules, watcher = RememberedRules(read), Watcher(directory / DATABASE for directory in directories)
    app = make_app(Sight(store, rules, console.silent_after), identity, watcher)
    places = [Place(app, listener, tls, watcher.close)]
    tell_entrance(entrance_of(console, identity, listener.getsockname()[1]))
    if api is not None:
        (directory,) = directories
        places.append(place_api(api, Source(PageReader(directory), rules, kept_in(directory), rules.refresh)))
    Notifier().ready()
    serve(places)


def tell_entrance(address: str, environment: Mapping[str, str] = os.environ) -> None:
    """Print where the console is; as a service, write it where only root reads it: more people may read the journal."""
    directory = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd makes it, and removes it at the end
    if not directory:
        print(f"the console is at {address}", flush=True)
        return
    path = Path(directory) / ADDRESS_FILE
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{address}\n")
    print(f"the console listens; its address: sudo cat {path}", flush=True)


def place_api(api: Api, source: Source) -> Place:
    """Listen for AWS's API, and say where; raise ListenError if that cannot be, or not safely."""
    tls, secrets = find_tls(api.certificate, api.private_key), None if api.keys is None else find_keys(Path(api.keys))
    check_safety("detect.api", api, tls)
    if not is_loopback(api.address) and secrets is None:
        raise ListenError(
            f"detect.api.address {api.address} is not this machine alone: give access keys, detect.api.keys"
        )
    listener = listen(api.address, api.port)
    origins = origins_of(api, listener.getsockname()[1], tls is not None)
    shown = api.proxy or origin_of(api.address, listener.getsockname()[1], tls is not None)
    print(f"AWS's API is at {shown} (--endpoint-url)", flush=True)
    hosts = frozenset(urlsplit(origin).netloc for origin in origins)
    return Place(AwsApi(source, Gate(hosts, secrets)), listener, tls, lambda: None)


def find_keys(path: Path) -> dict[str, str]:
    """Return the secrets of a file, by access key; raise ListenError if they are not safe there, or are none."""
    text = read_secret(path)
    try:
        secrets_by_key = msgspec.json.decode(text, type=dict[AccessKey, Secret])
    except msgspec.DecodeError as error:
        raise ListenError(f'{path} must be JSON like {{"AKIAEXAMPLE": "a secret of 16 characters or more"}}') from error
    if not secrets_by_key:
        raise ListenError(f"{path} has no access key")
    return secrets_by_key


def find_tls(certificate: str | None, private_key: str | None) -> Tls | None:
    """Return the certificate to listen with; raise ListenError for half of one, or one that cannot be used."""
    if certificate is None and private_key is None:
        return None
    if certificate is None or private_key is None:
        raise ListenError("certificate and private_key must be given together, or none of them")
    tls = Tls(certificate, private_key)
    check_tls(tls)
    return tls


def check_safety(where: str, section: Console | Api, tls: Tls | None) -> None:
    """Raise ListenError for an address to which a token or an answer could be read on its way."""
    if is_loopback(section.address) or tls is not None or section.proxy is not None:
        return
    raise ListenError(
        f"{where}.address {section.address} is not this machine alone: give certificate and private_key, or, "
        f"behind a proxy that speaks TLS, its address as {where}.proxy"
    )


def identify(console: Console, port: int, is_tls: bool) -> Identity:
    """Return under which addresses the console is known, and its token."""
    is_secure = is_tls or (console.proxy is not None and urlsplit(console.proxy).scheme == "https")
    return Identity(find_token(console.token_file), origins_of(console, port, is_tls), is_secure)


def origins_of(section: Console | Api, port: int, is_tls: bool) -> frozenset[str]:
    """Return how what listens is named by who asks it."""
    if section.proxy is not None:
        return frozenset({origin_of_proxy(section.proxy)})
    names = {section.address, *section.names, *(LOCAL_NAMES if is_loopback(section.address) else ())}
    return frozenset(origin_of(name, port, is_tls) for name in names)


def origin_of_proxy(address: str) -> str:
    """Return how a browser names what it asks at a proxy's address: in small letters, without the usual port."""
    parts = urlsplit(address)
    is_secure = parts.scheme == "https"
    return origin_of(parts.hostname or "", parts.port or (443 if is_secure else 80), is_secure)


def find_token(path: str | None) -> str:
    """Return the token of a file, or a new one; raise ListenError if the file holds none that is safe."""
    if path is None:
        return secrets.token_urlsafe(TOKEN_BYTES)
    token = read_secret(Path(path)).strip()
    if len(token) < SHORTEST_TOKEN or not all(character.isalnum() or character in "-_" for character in token):
        raise ListenError(f"{path} must hold at least {SHORTEST_TOKEN} of the characters a-z A-Z 0-9 - _")
    return token


def read_secret(path: Path) -> str:
    """Return what a file holds that nobody else may read, but whom root gave it to; raise ListenError otherwise."""
    try:
        text, found = path.read_text(encoding="ascii"), path.stat()
    except (OSError, UnicodeDecodeError) as error:
        raise ListenError(f"the secret in {path} cannot be read: {error}") from error
    given = stat.S_IRGRP if found.st_uid == 0 and found.st_gid == os.getegid() != 0 else 0  # as the installer does
    if found.st_mode & 0o077 & ~given:
        raise ListenError(f"{path} can be read by others: chmod 600 {path}")
    return text


def entrance_of(console: Console, identity: Identity, port: int) -> str:
    """Return the address that opens the console, with its token if that is not in a file."""
    shown = console.names[0] if console.names else console.address
    origin = console.proxy.rstrip("/") if console.proxy else origin_of(shown, port, identity.is_secure)
    return f"{origin}/" if console.token_file is not None else f"{origin}/?token={identity.token}"


class RememberedRules:
    """Answers with the profiles of the configuration as it is now; None for none, or wrong ones."""

    def __init__(self, read: Callable[[], Config], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._known: tuple[float, Rules | None] | None = None

    def __call__(self) -> Rules | None:
        """Return the profiles, read again now and then."""
        known = self._known
        if known is None or self._clock() - known[0] > READ_AGAIN_AFTER:
            known = self._known = (self._clock(), find_valid_rules(self._read))
        return known[1]

    def refresh(self) -> None:
        """Read them again at the next question."""
        self._known = None


def find_valid_rules(read: Callable[[], Config]) -> Rules | None:
    """Return the profiles of a configuration; None if there are none, or, which is logged, if they are wrong."""
    try:
        rules = find_rules(read())
    except ConfigError as error:
        log.error("the profiles are not shown: %s", error)
        return None
    return rules if rules.attachments else None
