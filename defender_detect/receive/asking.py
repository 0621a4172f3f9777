"""Asking: what things may ask the built-in broker itself, beside that messages pass through it.

The broker knows which topics are questions and that a reply goes to the connection that asked, and to no other; what
is answered is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from defender_detect.receive.gate import Peer


class Reply(NamedTuple):
    """A message for one connection, if that has subscribed to its topic."""

    topic: str
    payload: bytes


class Answerer(Protocol):
    """Who answers, and who knows of certificates that are valid and let nobody in."""

    filters: frozenset[str]  # reserved ones that are no thing's, which every thing may subscribe to

    def is_question(self, peer: Peer, topic: str) -> bool:
        """Tell whether a message to a topic is a question of this peer, and not for others to hear."""

    def answer(self, peer: Peer, topic: str, payload: bytes, now: float) -> list[Reply]:
        """Answer a question, in a thread that has nothing else to do."""

    def reason_against(self, peer: Peer) -> str | None:
        """Return why a certificate lets nobody in; None if it does."""

    def refresh(self) -> bool:
        """See what has changed; return whether other certificates let somebody in."""

    def news(self, peers: Iterable[Peer], now: float) -> list[Reply]:
        """Return what those who are connected are to be told, each once."""
