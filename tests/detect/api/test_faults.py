"""A fault is an error by AWS's name and status, with a sentence."""

from __future__ import annotations

import pytest

from defender_detect.api.faults import Fault, invalid, not_found, not_signed


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        (invalid("x must be y"), 400, "InvalidRequestException"),
        (not_found("x must be y"), 404, "ResourceNotFoundException"),
        (not_signed("x must be y"), 403, "InvalidSignatureException"),
        (not_signed("x is missing"), 403, "IncompleteSignatureException"),
        (Fault(418, "Teapot", "x must be y"), 418, "Teapot"),
    ],
)
def test_a_fault_has_awss_status_and_name_and_its_sentence(fault: Fault, status: int, name: str) -> None:
    assert (status, name) == (fault.status, fault.name)
    assert str(fault).startswith("x ")


def test_a_fault_is_raised_as_it_is() -> None:
    with pytest.raises(Fault, match="^$"):
        raise invalid("")
