"""amazon-defender-detect, the receiving side of Device Defender that runs anywhere.

What `__all__` lists is the API: it stays, and docs/reference/api.md has an example of each. It is imported when it is
used, so that `--help` and a sentence about a missing package do without any package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Detector", "Reader", "Sink", "read_profiles", "replay"]

if TYPE_CHECKING:
    from defender_detect.alerts.target import Sink
    from defender_detect.ask.replay import replay
    from defender_detect.evaluate.detector import Detector
    from defender_detect.profiles import read_profiles
    from defender_detect.store.reader import Reader

_WHERE = {
    "Detector": "defender_detect.evaluate.detector",
    "Reader": "defender_detect.store.reader",
    "Sink": "defender_detect.alerts.target",
    "read_profiles": "defender_detect.profiles",
    "replay": "defender_detect.ask.replay",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
