"""The log: to standard error, which systemd keeps, a line for each event whatever the texts in it are."""

from __future__ import annotations

import logging
import sys

from defender_daemon.log_queue import DescriptorHandler
from defender_daemon.logs import OneLine

FORMAT = "%(asctime)s %(levelname)s %(message)s"


def start_logging(debug: bool) -> None:
    """Log from now on; with `debug` much more, every report included."""
    handler = DescriptorHandler(sys.stderr.fileno())
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if debug else logging.INFO, force=True)
    logging.getLogger("asyncio").setLevel(logging.INFO if debug else logging.WARNING)
