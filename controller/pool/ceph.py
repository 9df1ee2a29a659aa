"""The key of a Ceph pool, from its Secret."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from controller.inventory.secrets import Secrets
from controller.runtime.ports import Rejected
from controller.runtime.results import Result, failed, waiting
from crds.v1alpha1.storagepool import RBDPool
from drivers.types import PoolSpec

KEY = "key"
"""As in Secrets of type kubernetes.io/rbd."""

_RETRY = 30.0
_LONGEST = 1024


async def with_key(spec: PoolSpec, declared: RBDPool | None, secrets: Secrets) -> PoolSpec | Result:
    """The pool with its key if it is one of Ceph; or what is wrong with the Secret, whose value is never told. Raises ApiError."""
    if spec.rbd is None or declared is None:
        return spec
    reference = declared.secret_ref
    shown = f"Secret {reference.namespace}/{reference.name}"
    try:
        data = await secrets.read(reference.namespace, reference.name)
    except Rejected as error:
        return waiting("SecretNotReadable", f"{shown} can't be read: {error}", retry_after=_RETRY)
    if data is None:
        return waiting("SecretNotFound", f"{shown} does not exist", retry_after=_RETRY)
    if KEY not in data:
        return failed("SecretInvalid", f"{shown}: it has no key {KEY}", terminal=True)
    if (key := _key(data[KEY])) is None:
        return failed("SecretInvalid", f"{shown}: {KEY} is not what `ceph auth get-key` prints", terminal=True)
    return replace(spec, rbd=replace(spec.rbd, key=key))


def _key(value: bytes) -> str | None:
    """The key in base64, a line break at its end aside; None if it is not that."""
    text = value.strip()
    try:
        return text.decode("ascii") if 0 < len(text) <= _LONGEST and base64.b64decode(text, validate=True) else None
    except (binascii.Error, ValueError):
        return None
