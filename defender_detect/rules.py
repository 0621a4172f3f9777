"""What the rules for profiles and configurations need of single values."""

from __future__ import annotations

import math
from typing import Any

from device_defender.validation import shown as describe

__all__ = ["LARGEST_PORT", "describe", "is_number"]

LARGEST_PORT = 65535


def is_number(value: Any) -> bool:
    """Tell whether a value is a number: true and false are none, and neither are NaN and the infinities."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
