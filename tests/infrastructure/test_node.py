"""Which Node runs the CDK."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "cfnlint", "cryptography")
from infrastructure.node import find_bundled_node, use_bundled_node  # noqa: E402


def test_the_node_of_the_package_is_used_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    use_bundled_node()
    assert str(find_bundled_node()) == os.environ["JSII_NODE"]
    version = subprocess.run([os.environ["JSII_NODE"], "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("v")
    monkeypatch.setenv("JSII_NODE", "/another/node")
    use_bundled_node()
    assert "/another/node" == os.environ["JSII_NODE"]
