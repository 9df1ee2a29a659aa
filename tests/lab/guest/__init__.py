"""A small guest that boots in seconds: real kernel, guest agent, SSH, and a stand-in for cloud-init."""

from tests.lab.guest.images import Image, image

__all__ = ["Image", "image"]
