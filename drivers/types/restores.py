"""Which restores took effect, as a hypervisor remembers them with what was restored."""

from __future__ import annotations

REMEMBERED = 16
"""How many of a VM, and of a volume, at least: a late call is told from a new one unless as many others took effect after it."""


def remember(token: str, earlier: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens to be remembered when one more took effect, the newest first."""
    return (token, *(each for each in earlier if each != token))[:REMEMBERED]
