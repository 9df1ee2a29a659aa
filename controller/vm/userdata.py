"""User data from the spec or from a Secret."""

from __future__ import annotations

from controller.inventory.secrets import Secrets
from controller.runtime.context import Context
from controller.runtime.ports import Rejected
from controller.runtime.results import Result, failed, waiting
from crds.v1alpha1.virtualmachine import VirtualMachine

LIMIT = 256 * 1024
"""Bytes of user data that are accepted, inline or from a Secret."""

_RETRY = 30.0


async def user_data(ctx: Context[VirtualMachine], secrets: Secrets) -> bytes | Result | None:
    """The user data, empty if none is declared.

    None when its Secret is gone while the VM exists: the guest has had it, and its seed stays as it is. Raises ApiError.
    """
    declared = ctx.object.spec.user_data
    if declared is None:
        return b""
    if declared.inline is not None:
        return _within_limit(declared.inline.encode(), "userData.inline")
    if declared.secret_ref is None:
        return b""
    name, key = declared.secret_ref.name, declared.secret_ref.key
    try:
        secret = await secrets.read(ctx.key.namespace, name)
    except Rejected as error:
        return waiting("SecretNotReadable", f"Secret {name} can't be read: {error}", retry_after=_RETRY)
    if secret is not None and key in secret:
        return _within_limit(secret[key], f"key {key} of Secret {name}")
    if ctx.conditions.is_true("DisksReady"):
        return None
    missing = f"Secret {name} does not exist" if secret is None else f"Secret {name} has no key {key}"
    return waiting("SecretNotFound", missing, retry_after=_RETRY)


def _within_limit(data: bytes, origin: str) -> bytes | Result:
    if len(data) > LIMIT:
        return failed("UserDataTooLarge", f"{origin} has {len(data)} bytes, at most {LIMIT} are allowed", terminal=True)
    return data
