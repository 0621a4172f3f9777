"""Every error is one of the package's own, and says what to do apart from what is wrong."""

from __future__ import annotations

import defender_publisher
from defender_publisher.errors import DefenderError


def test_every_error_is_one_of_the_packages_and_says_what_to_do_apart() -> None:
    found = [each for each in vars(defender_publisher.errors).values() if isinstance(each, type)]
    ours = [each for each in found if issubclass(each, Exception)]
    assert len(ours) > 5
    assert [] == [each for each in ours if not issubclass(each, DefenderError)]
    error = defender_publisher.errors.TransportError("no network", "check the cable")
    assert ("no network", "check the cable", "no network; check the cable") == (*error.problem, str(error))
