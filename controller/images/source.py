"""Where an image comes from, as a user wrote it, checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx

from controller.images.errors import ImageError, Reason

__all__ = ["Checksum", "ImageFormat", "Source", "show_url"]

_URL_LIMIT: Final = 2048
_SHOWN_LIMIT: Final = 64
_DIGITS: Final = {"md5": 32, "sha256": 64, "sha512": 128}


class ImageFormat(StrEnum):
    """Formats of a source."""

    QCOW2 = "QCOW2"
    RAW = "RAW"
    VMDK = "VMDK"
    VHD = "VHD"

    @property
    def qemu(self) -> str:
        """The name of QEMU's block driver for it."""
        return "vpc" if self is ImageFormat.VHD else self.value.lower()


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest of the source's bytes: `algorithm` is md5, sha256 or sha512, `value` lower case hexadecimal."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read `sha256:…`. Raises ImageError."""
        algorithm, _, value = text.strip().lower().partition(":")
        digits = _DIGITS.get(algorithm)
        if digits is None:
            raise _invalid(
                f"checksum {text[:_SHOWN_LIMIT]!r} does not begin with one of {', '.join(f'{name}:' for name in _DIGITS)}"
            )
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            raise _invalid(f"a {algorithm} checksum has {digits} hexadecimal digits, {text[:_SHOWN_LIMIT]!r} doesn't")
        return cls(algorithm, value)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class Source:
    """A checked source. The URL may hold credentials: it is not shown; `shown` is what messages use."""

    url: str = field(repr=False)
    format: ImageFormat
    checksum: Checksum | None = None

    @classmethod
    def parse(cls, url: str, image_format: str, checksum: str | None = None) -> Source:
        """Check what a user wrote. Raises ImageError (InvalidSource)."""
        if len(url) > _URL_LIMIT:
            raise _invalid(f"the URL is longer than {_URL_LIMIT} characters")
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _invalid("the URL can't be parsed") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _invalid(f"the URL must be http:// or https:// with a host, not {parsed.scheme or 'no scheme'}://{parsed.host}")
        if image_format not in list(ImageFormat):
            raise _invalid(f"format {image_format[:_SHOWN_LIMIT]!r} is not one of {', '.join(ImageFormat)}")
        return cls(url, ImageFormat(image_format), Checksum.parse(checksum) if checksum else None)

    @property
    def shown(self) -> str:
        """The URL without user, password, query and fragment."""
        return show_url(httpx.URL(self.url))

    @property
    def key(self) -> str:
        """Names this source in the cache. It covers the whole URL: knowing a checksum alone gives nobody another's image."""
        return hashlib.sha256("\n".join((self.url, self.format, str(self.checksum or ""))).encode()).hexdigest()


def show_url(url: httpx.URL) -> str:
    """A URL without the parts that may be secret: user, password, query, fragment."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


def _invalid(message: str) -> ImageError:
    return ImageError(Reason.INVALID_SOURCE, message)
