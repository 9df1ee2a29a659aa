"""What becomes of an object that is refused an address or a segment."""

from __future__ import annotations

from controller.ipam import Reason, Refusal
from controller.runtime.results import Result, failed, waiting

_MAY_FREE_UP = {
    Reason.ADDRESS_IN_USE,
    Reason.ADDRESSES_EXHAUSTED,
    Reason.MAC_IN_USE,
    Reason.SEGMENT_IN_USE,
    Reason.SEGMENTS_EXHAUSTED,
}
_RETRY = 30.0


def refused(refusal: Refusal) -> Result:
    """What others have is waited for; what can't be had is a terminal failure. Both say why."""
    if refusal.reason in _MAY_FREE_UP:
        return waiting(refusal.reason, refusal.message, retry_after=_RETRY)
    return failed(refusal.reason, refusal.message, terminal=True)
