"""The cloud-init seed: host name, keys, user data, network configuration."""

from __future__ import annotations

from drivers.types import Change, DesiredVM, ObservedVM, SetSeed


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Replace a seed whose documents differ; without a wanted seed the one that is there stays."""
    if want.seed is None or want.seed.digest == have.seed_digest:
        return []
    return [SetSeed(want.seed)]
