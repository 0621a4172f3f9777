"""The entry of an installer: which story is told, of which product, on which platform."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from commands import CLOSED
from detect import DetectInstallation
from installation import Installation
from linux import Linux
from macos import Macos
from options import read_options
from platforms import Platform
from problem import Problem
from product import DETECT, PRODUCTS, PUBLISHER
from publisher import PublisherInstallation
from session import Session, heed_signals, tell_problem

STORIES: dict[str, type[Installation]] = {PUBLISHER.name: PublisherInstallation, DETECT.name: DetectInstallation}
PLATFORMS: dict[str, Callable[[Session], Platform]] = {"linux": Linux, "macos": Macos}


def main(words: list[str]) -> int:
    """Install a product, or upgrade it, as an installer's options say; return the exit status.

    Before the options, the script says the product, its platform, the Python that it found, the directory of whoever
    installs, and what it had to install before there was a Python.
    """
    name, platform, python, directory, installed, *rest = words
    product, story = PRODUCTS[name], STORIES[name]
    os.umask(CLOSED)
    heed_signals()
    try:
        options = read_options(rest, Path(directory), installed, product.options)
        session = Session(product, options, Path(python), story.steps)
        story(session, PLATFORMS[platform](session)).run()
    except Problem as problem:
        tell_problem(str(problem))
        return problem.status
    return 0
