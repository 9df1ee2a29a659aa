"""Template images: download, check, convert to qcow2, and keep in a directory of the controller.

A source may be anything: a dead link, a login page, an image made to read the controller's files. Nothing of it is trusted before
it was checked, and the tools that look at it run under limits.
"""

from __future__ import annotations

from controller.images.cache import Image, ImageCache
from controller.images.errors import ImageError, Reason
from controller.images.http import http_client
from controller.images.limits import Limits
from controller.images.progress import Phase, Progress
from controller.images.source import Checksum, ImageFormat, Source

__all__ = [
    "Checksum",
    "Image",
    "ImageCache",
    "ImageError",
    "ImageFormat",
    "Limits",
    "Phase",
    "Progress",
    "Reason",
    "Source",
    "http_client",
]
