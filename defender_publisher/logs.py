"""The log: standard error, or a file that is rotated, in the CloudWatch publisher's format."""

from __future__ import annotations

import logging
import os
import sys

from defender_publisher.config import Agent
from defender_publisher.repeats import Repeats

LOG_FORMAT = "%(asctime)s : %(levelname)s : %(message)s"

log = logging.getLogger("defender_publisher")


def configure_logging(agent: Agent, *also: logging.Handler) -> None:
    """Send this program's log where the configuration says; standard error too while that is a terminal.

    Handlers in `also` hear everything too. In the others a warning that repeats itself is counted, but for debug mode.
    """
    problem = ""
    handlers: list[logging.Handler] = []
    try:
        if agent.logfile:
            handlers.append(_file_handler(agent))
    except OSError as error:
        problem = f"the log file {agent.logfile} cannot be written ({error.strerror}): logging to standard error"
    if not handlers or sys.stderr.isatty():
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers if not agent.debug else ():
        handler.addFilter(Repeats())
    logging.basicConfig(handlers=[*handlers, *also], format=LOG_FORMAT, level=logging.WARNING, force=True)
    log.setLevel(logging.DEBUG if agent.debug else logging.INFO)
    _quieten_libraries(agent.debug)
    if problem:
        log.warning(problem)


def log_to_stderr(level: int) -> None:
    """Send the log of a program that a person runs once to standard error."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING, force=True)
    log.setLevel(level)
    _quieten_libraries(False)


def _file_handler(agent: Agent) -> logging.Handler:
    from defender_publisher.logfile import LogFile  # here, because a service that logs to standard error does without

    os.makedirs(os.path.dirname(str(agent.logfile)), exist_ok=True)
    return LogFile(str(agent.logfile), agent.log_max_size, agent.log_max_count)


def _quieten_libraries(debug: bool) -> None:
    """Hear the SDK only in debug mode: it logs the failures that this program explains itself."""
    logging.getLogger("AWSIoTPythonSDK").setLevel(logging.WARNING if debug else logging.CRITICAL)
