"""A fleet: its account, its names there, the screen that its deployer looks at, and what of it is deployed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from infrastructure.account import Account
from infrastructure.deployed import Deployed, read_deployed
from infrastructure.names import Names
from infrastructure.screen import Screen


@dataclass(frozen=True)
class Fleet:
    """What nearly every step of a deployment works on, and tells of."""

    account: Account
    names: Names
    screen: Screen
    deployed: Deployed = field(default_factory=Deployed)  # as it was when it was read last

    def read(self) -> Fleet:
        """Return the fleet as it is deployed now, whatever is at work on it."""
        return replace(self, deployed=read_deployed(self.account, self.names))
