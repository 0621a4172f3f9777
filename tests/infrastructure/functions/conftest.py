"""What the tests of the functions share: a cloud, to which they are the only clients."""

from __future__ import annotations

import pytest

from tests.infrastructure.functions.cloud import GROUP, Cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    import boto3

    cloud = Cloud()
    monkeypatch.setenv("GROUP", GROUP)
    monkeypatch.setattr(boto3, "client", lambda name: cloud)
    return cloud
