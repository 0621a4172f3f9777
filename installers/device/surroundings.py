"""The surroundings: what whoever installs has in the environment and in pip's files, and what of it counts.

An operator's index, certificates and proxy go on working. What decides where packages are installed, and which, does
not: a user's `PIP_USER`, a `target` in /etc/pip.conf or a PYTHONPATH of ROS would put them where no service finds them.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

DECIDING = re.compile(
    r"PYTHON|PIP_|SETUPTOOLS_|DISTUTILS_|VIRTUAL_ENV|BASH_ENV$|ENV$|CDPATH$|GLOBIGNORE$|SHELLOPTS$|BASHOPTS$|BASH_FUNC_"
)
COUNTING = {  # keys of pip's configuration
    "cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url", "no-index", "proxy",
    "retries", "timeout", "trusted-host",
}  # fmt: skip
FILES = {"cert", "client-cert"}  # whose relative paths are taken from the directory of whoever installs
SECTIONS = ("global", "install", ":env:")  # in pip's own order: the later one counts
SAID = re.compile(r"(global|install|:env:)\.([a-z-]+)=(.*)")


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what decides what is run or installed."""
    return {name: value for name, value in environment.items() if not DECIDING.match(name)}


def for_reading_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which pip says which settings there are."""
    pip = {name: value for name, value in environment.items() if name.startswith("PIP_")}
    return {**clean(environment), **pip}


def settings_of(said: str, directory: Path) -> dict[str, str]:
    """Return those of pip's settings that count, as variables, from what `pip config list` said in a directory."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in said.splitlines():
        match = SAID.fullmatch(line)
        if match is not None and match[2] in COUNTING:
            found[match[1]][match[2]] = unquoted(match[3])
    merged = {key: value for section in SECTIONS for key, value in found[section].items()}
    for key in FILES & set(merged):
        merged[key] = os.path.join(directory, os.path.expanduser(merged[key]))
    return {f"PIP_{key.upper().replace('-', '_')}": value for key, value in merged.items()}


def unquoted(value: str) -> str:
    """Return a value that pip printed as Python does."""
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def for_pip(environment: Mapping[str, str], settings: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a pip that reads no file of settings; `home` is an empty directory."""
    return {**clean(environment), **settings, "PIP_CONFIG_FILE": os.devnull, "HOME": str(home)}


def link_netrc(environment: Mapping[str, str], home: Path) -> None:
    """Let an index's password be found where pip looks for it; nothing else of the real home is."""
    netrc = Path(environment.get("HOME", "/root"), ".netrc")
    with contextlib.suppress(PermissionError):  # of a home that is not for this user; Python 3.14 says no instead
        if netrc.is_file():
            (home / ".netrc").symlink_to(netrc)
