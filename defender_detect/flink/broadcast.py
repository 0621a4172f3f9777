"""What is broadcast to every worker: the rules in force and the thresholds of windows, and what is kept of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from defender_detect.evaluate.percentiles import Ranking
from defender_detect.evaluate.rules import Rules
from defender_detect.flink import lines
from defender_detect.flink.worker import Worker

RULES, THRESHOLDS = "rules", "thresholds"  # the keys that they are kept under


class Broadcast:
    """Lets a worker go by what is broadcast; `load` compiles rules that are kept, None for none."""

    def __init__(self, worker: Worker, load: Callable[[str | None], Rules]) -> None:
        self._worker, self._load = worker, load

    def hear(self, line: str, watermark: float) -> tuple[str, str]:
        """Go on with other rules, or with a threshold; return the key and the text of what is to be kept now."""
        if line[0] == lines.RULES:
            self._worker.rules = self._load(line[1:])
            return RULES, line[1:]
        name, statistic, duration, window, threshold = json.loads(line[1:])
        self._worker.thresholds.put(name, Ranking(statistic, duration), window, threshold, watermark)
        return THRESHOLDS, self._worker.thresholds.to_json()

    def restore(self, kept: Iterable[tuple[str, str]]) -> None:
        """Go on with what was kept before a restart."""
        for key, text in kept:
            if key == RULES:
                self._worker.rules = self._load(text)
            else:
                self._worker.thresholds.restore(text)
