"""Why an address or a segment was not given: a reason for a condition and a sentence for a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.ipam.ledger import Owner

__all__ = ["Reason", "Refusal"]


class Reason(StrEnum):
    """Reasons as they appear in conditions."""

    ADDRESS_INVALID = "AddressInvalid"
    ADDRESS_OUTSIDE_SUBNET = "AddressOutsideSubnet"
    ADDRESS_OUTSIDE_RANGES = "AddressOutsideRanges"
    ADDRESS_RESERVED = "AddressReserved"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_FIXED = "AddressFixed"
    ADDRESSES_EXHAUSTED = "AddressesExhausted"
    MAC_IN_USE = "MACAddressInUse"
    SEGMENT_INVALID = "SegmentInvalid"
    SEGMENT_IN_USE = "SegmentInUse"
    SEGMENT_FIXED = "SegmentFixed"
    SEGMENTS_EXHAUSTED = "SegmentsExhausted"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was reserved. `by` is who stands in the way, where that is one owner."""

    reason: Reason
    message: str
    by: Owner | None = None
