"""The guest's filesystems frozen for a moment, through its agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from drivers.errors import Conflict, Transient
from drivers.kvm import errors

ATTEMPTS = 3
"""How often a guest is asked to thaw."""


@contextmanager
def frozen(domain: Any, timeout: int) -> Iterator[None]:
    """Frozen inside, thawed after it in any case. The agent has `timeout` seconds for an answer.

    Raises Conflict, thawed again, if it cannot freeze; Transient if it does not confirm the thaw.
    """
    try:
        domain.agentSetResponseTimeout(timeout, 0)
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        with suppress(Transient):
            thaw(domain, timeout)
        text = errors.redact(error.get_error_message() or "")
        raise Conflict(f"the guest agent cannot freeze the filesystems: {text}", native_code=errors.native(error)) from None
    try:
        yield
    finally:
        thaw(domain, timeout)


def thaw(domain: Any, timeout: int) -> None:
    """Thawed already is success, and a guest that was powered off needs none. The agent has `timeout` seconds for each answer.

    Raises Transient, of unknown outcome, if the agent does not confirm.
    """
    for _ in range(ATTEMPTS):
        try:
            domain.agentSetResponseTimeout(timeout, 0)
            domain.fsThaw()
        except libvirt.libvirtError:
            with suppress(libvirt.libvirtError):
                if not domain.isActive():
                    return
        else:
            return
    raise Transient("the guest agent did not confirm that the filesystems are thawed", outcome_unknown=True)
