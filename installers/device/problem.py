"""What is wrong, in a sentence for the operator."""

from __future__ import annotations


class Problem(Exception):
    """What is wrong, as a sentence for the operator; `status` is the exit status that says so."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
