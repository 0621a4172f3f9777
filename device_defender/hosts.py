"""A host: how one is named. No package is needed to tell that, so that a command line can, too."""

from __future__ import annotations

import re

HOST_NAME = r"(?=.{1,254}$)[\w-]{1,63}(\.[\w-]{1,63})*\.?"  # RFC 1035: of each part, and of the whole with its dot
ADDRESS = r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(%[\w.-]+)?"  # of IPv6; one of IPv4 looks like a name
HOST = re.compile(f"{HOST_NAME}|{ADDRESS}")


def is_host(text: str) -> bool:
    """Tell whether a text can be the name or the address of a host."""
    return HOST.fullmatch(text) is not None
