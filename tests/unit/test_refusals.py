"""What others have is waited for, what nobody can have is not."""

from __future__ import annotations

import pytest

from controller.ipam import Reason, Refusal
from controller.runtime.results import Failed, Waiting
from controller.shared.refusals import refused

TAKEN = ("AddressInUse", "AddressesExhausted", "MACAddressInUse", "SegmentInUse", "SegmentsExhausted")
IMPOSSIBLE = (
    *("AddressInvalid", "AddressOutsideSubnet", "AddressOutsideRanges", "AddressReserved", "AddressFixed"),
    *("SegmentInvalid", "SegmentFixed"),
)


def test_every_reason_is_one_or_the_other() -> None:
    assert sorted(Reason) == sorted((*TAKEN, *IMPOSSIBLE))


@pytest.mark.parametrize("reason", TAKEN)
def test_what_may_become_free_is_looked_at_again(reason: str) -> None:
    result = refused(Refusal(Reason(reason), "10.1.0.9 is taken by shop/web"))
    assert isinstance(result, Waiting)
    assert (result.reason, result.message) == (reason, "10.1.0.9 is taken by shop/web")
    assert result.retry_after, "no watch tells when it is free"


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_what_nobody_can_have_is_not_tried_again(reason: str) -> None:
    result = refused(Refusal(Reason(reason), "10.9.0.1 is outside 10.1.0.0/24"))
    assert result == Failed(reason, "10.9.0.1 is outside 10.1.0.0/24", terminal=True)
