"""A TCP port that stays its owner's while nobody listens on it."""

from __future__ import annotations

import socket


def reserved() -> socket.socket:
    """A socket with a port of 127.0.0.1, which never listens: connections there are refused, and the kernel gives the port to
    nobody else. A server that sets SO_REUSEADDR, as asyncio's do, can listen on it.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
