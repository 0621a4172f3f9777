"""Names that CloudWatch and CloudWatch Logs take, and the braces of the CloudWatch agent's configuration in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMESPACE = re.compile(r"[\w.\-/#]{1,255}", re.ASCII)
RESERVED_NAMESPACE = "AWS/"
GROUP, STREAM = re.compile(r"[\w.\-/#]{1,512}", re.ASCII), re.compile(r"[^:*\x00-\x1f]{1,512}")
ROLE_ALIAS = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
RETENTIONS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)  # days that PutRetentionPolicy takes
BRACES = re.compile(r"\{([^{}]*)\}")


def is_namespace(name: str) -> bool:
    """Tell whether metrics may be put into a namespace of this name."""
    return bool(NAMESPACE.fullmatch(name)) and not name.startswith(RESERVED_NAMESPACE)


def fill_in(text: str, names: Mapping[str, str]) -> str:
    """Put names into a text's braces; what a stream or a group may not have in it becomes a `-`."""
    return BRACES.sub(lambda found: names[found[1]].replace(":", "-"), text)
