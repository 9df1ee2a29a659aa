"""What can go wrong between a URL and an image that is ready for a pool."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ImageError", "Reason"]


class Reason(StrEnum):
    """Reasons as they appear in a Template's conditions."""

    INVALID_SOURCE = "InvalidSource"
    DOWNLOAD_REFUSED = "DownloadRefused"
    DOWNLOAD_FAILED = "DownloadFailed"
    DOWNLOAD_TIMEOUT = "DownloadTimeout"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    IMAGE_TOO_LARGE = "ImageTooLarge"
    INSUFFICIENT_DISK = "InsufficientDisk"
    NOT_AN_IMAGE = "NotAnImage"
    UNSAFE_IMAGE = "UnsafeImage"
    CONVERSION_FAILED = "ConversionFailed"


_TERMINAL = frozenset(
    {
        Reason.INVALID_SOURCE,
        Reason.CHECKSUM_MISMATCH,
        Reason.IMAGE_TOO_LARGE,
        Reason.NOT_AN_IMAGE,
        Reason.UNSAFE_IMAGE,
    }
)


class ImageError(Exception):
    """No image could be made.

    `message` is one sentence for a person, without credentials. `terminal`: another try with the same source is pointless.
    Otherwise try again after `retry_after` seconds, or with the caller's own backoff if that is None; what was downloaded so far is
    kept and the next try goes on from there.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.terminal = reason in _TERMINAL
        self.retry_after = retry_after
