"""The scripted broker, by the name that programs outside this repository import it by; it is in tests/fakes."""

from tests.fakes.scripted_broker import Script, ScriptedBroker, accept, reject, silent

__all__ = ["Script", "ScriptedBroker", "accept", "reject", "silent"]
