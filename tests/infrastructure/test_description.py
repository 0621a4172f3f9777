from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk")

from infrastructure import description  # noqa: E402
from infrastructure.description import DetectStack, FleetStack, ThingsStack  # noqa: E402
from infrastructure.names import Names  # noqa: E402

NAMES = Names("lab")


@dataclass(frozen=True)
class Profile:
    name: str
    document: dict[str, Any]


PORTS = Profile("ports", {"securityProfileName": "ports", "behaviors": [{"name": "x", "metric": "m"}]})
REVERSED = Profile("ports", dict(reversed(PORTS.document.items())))
USUAL = DetectStack(NAMES, (PORTS,), {"m": "number"}, "a@example.com")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FleetStack(NAMES), FleetStack(Names("lab"))),
        (ThingsStack(NAMES, 1, {"a": "x", "b": "y"}), ThingsStack(NAMES, 1, {"b": "y", "a": "x"})),
        (
            DetectStack(NAMES, (PORTS,), {"m": "number", "n": "number"}),
            DetectStack(NAMES, (REVERSED,), {"n": "number", "m": "number"}),
        ),
    ],
    ids=["fleet", "things", "detect"],
)
def test_the_order_in_which_something_is_told_changes_no_digest(one: Any, other: Any) -> None:
    assert one.digest == other.digest


def test_whatever_is_else_changes_the_digest() -> None:
    others = [
        FleetStack(NAMES),
        FleetStack(Names("lab2")),
        ThingsStack(NAMES, 1, {}),
        ThingsStack(NAMES, 1, {"a": "x"}),
        ThingsStack(NAMES, 1, {"a": "y"}),
        ThingsStack(NAMES, 1, {"b": "x"}),
        ThingsStack(NAMES, 2, {"a": "x"}),
        USUAL,
        DetectStack(NAMES, (PORTS,), {"m": "number"}, None),
        DetectStack(NAMES, (PORTS,), {"m": "number"}, "b@example.com"),
        DetectStack(NAMES, (PORTS,), {"m": "number-list"}, "a@example.com"),
        DetectStack(NAMES, (PORTS,), {}, "a@example.com"),
        DetectStack(NAMES, (), {"m": "number"}, "a@example.com"),
        DetectStack(NAMES, (Profile("ports", {}),), {"m": "number"}, "a@example.com"),
    ]
    assert len(others) == len({each.digest for each in others})


def test_another_cdk_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = USUAL.digest
    monkeypatch.setattr(metadata, "version", lambda package: f"{package} 99")
    description._synthesis_digest.cache_clear()
    after = USUAL.digest
    description._synthesis_digest.cache_clear()
    assert before != after


def test_whatever_makes_templates_is_in_the_digest() -> None:
    here = Path(description.__file__).parent
    sources = {path for pattern in description.SYNTHESIS for path in here.glob(pattern)}
    makers = {
        *here.glob("constructs/*.py"),
        *here.glob("functions/*.py"),
        *(here / f"{name}.py" for name in ("synthesis", "names", "description")),
    }
    assert makers == sources


def test_another_source_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> str:
        description._synthesis_digest.cache_clear()
        return FleetStack(NAMES).digest

    monkeypatch.setattr(description, "__file__", str(tmp_path / "description.py"))
    (tmp_path / "constructs").mkdir()
    digests = [digest()]
    for path in (tmp_path / "synthesis.py", tmp_path / "constructs" / "device.py"):
        path.write_text("x = 1")
        digests.append(digest())
        path.write_text("x = 2")
        digests.append(digest())
    description._synthesis_digest.cache_clear()
    assert len(digests) == len(set(digests))
