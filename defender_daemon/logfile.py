"""The log file: rotated by size, and done without for as long as its disk is full."""

from __future__ import annotations

import logging
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import cast

from defender_daemon import files


class LogFile(RotatingFileHandler):
    """A log file that is rotated; what it cannot take goes to standard error instead, without a traceback each."""

    def __init__(self, path: str, max_size: int, max_count: int) -> None:
        """Keep `max_count` old files of at most `max_size` bytes each beside the one at `path`."""
        super().__init__(path, maxBytes=max_size, backupCount=max_count, encoding="utf-8", errors="backslashreplace")
        self._instead = logging.StreamHandler(sys.stderr)
        self._error: OSError | None = None  # why the last record could not be written

    def _open(self) -> TextIOWrapper:
        """Open the file, but not where a link of another user leads, nor a FIFO that nobody reads."""
        return cast(TextIOWrapper, open(self.baseFilename, self.mode, encoding=self.encoding, opener=files.append))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; say so where that begins to fail, and where it works again."""
        before, self._error = self._error, None
        super().emit(record)
        if self._error is not None:
            self._instead.setFormatter(self.formatter)
            if before is None:
                reason = self._error.strerror
                text = f"the log file {self.baseFilename} cannot be written ({reason}): logging to standard error"
                self._instead.emit(_note(record, f"{text} meanwhile"))
            self._instead.emit(record)
        elif before is not None:
            super().emit(_note(record, "the log file is written again; what came in between went to standard error"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Take note of an error of the disk; a traceback for each record, as logging writes it, helps nobody."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._error = error
        else:
            super().handleError(record)


def _note(record: logging.LogRecord, text: str) -> logging.LogRecord:
    return logging.LogRecord(record.name, logging.WARNING, "", 0, text, (), None)
