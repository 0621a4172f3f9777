"""What is served, where and to whom: the sections `console` and `api` of the configuration."""

from pathlib import Path
from typing import Annotated, Optional
from urllib.parse import urlsplit

from msgspec import Meta

from defender_detect.receive.endpoint import is_host
from device_defender.definition import PATH, Section, that

LONGEST = 1024  # characters of a path


def is_path(text: str) -> bool:
    """Tell whether a string can be a path; `~user` is none without such a user."""
    try:
        return "\0" not in text and bool(Path(text).expanduser())
    except RuntimeError:
        return False


def is_origin(text: str) -> bool:
    """Tell whether a string is an address of the web without a path."""
    parts = urlsplit(text.rstrip("/"))
    is_plain = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and is_plain and bool(parts.hostname) and text.isascii()


PathName = Annotated[
    str, PATH, Meta(min_length=1, max_length=LONGEST), that(is_path, f"a path of 1 to {LONGEST} characters")
]
Host = Annotated[str, that(is_host, "a host name or an address")]
Origin = Annotated[str, that(is_origin, "an address like https://detect.example.com, without a path")]
FreePort = Annotated[int, Meta(ge=0, le=65535)]  # 0 is one that nobody has


class Console(Section, frozen=True):
    """Where `amazon-defender-detect console` shows its pages, and to whom."""

    address: Host = "127.0.0.1"
    """Where to listen. Another address than this machine's own needs TLS or a proxy."""
    port: FreePort = 8790
    """Its port; 0 is a free one."""
    names: list[Host] = []
    """Names by which browsers reach that address; requests for others are refused."""
    certificate: Optional[PathName] = None
    """For TLS: the pages' certificate (PEM)."""
    private_key: Optional[PathName] = None
    """Its private key (PEM)."""
    proxy: Optional[Origin] = None
    """Behind a proxy that speaks TLS: the address by which browsers reach it."""
    token_file: Optional[PathName] = None
    """A file of mode 0600 with the token that opens the pages and `/metrics`. Default: a new one at each start, which
    is printed."""
    silent_after: Annotated[float, Meta(ge=1, le=365 * 24 * 3600)] = 900.0
    """A thing that has not reported for so many seconds is shown as silent."""


class Api(Section, frozen=True):
    """Where `amazon-defender-detect console` answers AWS's API, and to whom."""

    port: FreePort
    """Its port; 0 is a free one."""
    address: Host = "127.0.0.1"
    """Where to listen. Another address than this machine's own needs keys, and TLS or a proxy."""
    names: list[Host] = []
    """Names by which programs reach that address; requests for others are refused."""
    certificate: Optional[PathName] = None
    """For TLS: its certificate (PEM)."""
    private_key: Optional[PathName] = None
    """Its private key (PEM)."""
    proxy: Optional[Origin] = None
    """Behind a proxy that speaks TLS: the address by which programs reach it."""
    keys: Optional[PathName] = None
    """A JSON file of mode 0600 with secrets by access key. With it every request must be signed with one of them, as
    the AWS CLI and boto3 do."""
