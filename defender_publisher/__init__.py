"""The vocabulary of amazon-defender-publisher, the agent for AWS IoT Device Defender.

What `__all__` names is promised to other programs, and is loaded where it is used; the rest may change at any time. An
example of each is in docs/reference/api.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from defender_publisher import errors
    from defender_publisher.device import collect
    from defender_publisher.encoding import encode
    from defender_publisher.report import build_report
    from defender_publisher.settings import read_config
    from defender_publisher.transport import Transport

__version__ = "0.1.0"
PROGRAM = "amazon-defender-publisher"
__all__ = ["Transport", "build_report", "collect", "encode", "errors", "read_config"]

_MODULES = {
    "Transport": "transport",
    "build_report": "report",
    "collect": "device",
    "encode": "encoding",
    "read_config": "settings",
}


def __getattr__(name: str) -> Any:
    """Load what is promised when it is first asked for: who only wants the version needs no package."""
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
