"""libvirt's error codes in terms of `drivers.errors`.

Codes: https://libvirt.org/html/libvirt-virterror.html. What is not in the table is Transient: trying again after an
observation does no harm, giving up on something that would pass does.
"""

from __future__ import annotations

import errno
import re

import libvirt

from drivers.errors import (
    AuthFailed,
    Busy,
    Conflict,
    DriverError,
    InvalidSpec,
    NetworkMissing,
    NoRoom,
    NotFound,
    Transient,
    Unanswered,
    Unsupported,
)

MAX_TEXT = 300


TABLE: dict[int, type[DriverError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: NotFound,
    libvirt.VIR_ERR_NO_DOMAIN_METADATA: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_POOL: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: NotFound,
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT: NotFound,
    libvirt.VIR_ERR_DEVICE_MISSING: NotFound,
    libvirt.VIR_ERR_DOM_EXIST: Conflict,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: Conflict,
    libvirt.VIR_ERR_STORAGE_POOL_BUILT: Conflict,
    libvirt.VIR_ERR_OPERATION_INVALID: Conflict,
    libvirt.VIR_ERR_OPERATION_DENIED: AuthFailed,
    libvirt.VIR_ERR_ACCESS_DENIED: AuthFailed,
    libvirt.VIR_ERR_AUTH_FAILED: AuthFailed,
    libvirt.VIR_ERR_AUTH_CANCELLED: AuthFailed,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: AuthFailed,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Busy,
    libvirt.VIR_ERR_RESOURCE_BUSY: Busy,
    libvirt.VIR_ERR_BLOCK_COPY_ACTIVE: Busy,
    libvirt.VIR_ERR_XML_ERROR: InvalidSpec,
    libvirt.VIR_ERR_XML_DETAIL: InvalidSpec,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: InvalidSpec,
    libvirt.VIR_ERR_INVALID_ARG: InvalidSpec,
    libvirt.VIR_ERR_INVALID_MAC: InvalidSpec,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: InvalidSpec,
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: Busy,
    libvirt.VIR_ERR_AGENT_UNSYNCED: Busy,
}
"""What a caller must do about each code."""

_NAMES = {
    value: name
    for name, value in vars(libvirt).items()
    if name.startswith("VIR_ERR_") and isinstance(value, int) and name not in {"VIR_ERR_NONE", "VIR_ERR_WARNING", "VIR_ERR_ERROR"}
}
_HANDSHAKE = "authentication failed: TLS handshake failed"
_BROKEN_OFF = (
    "The TLS connection was non-properly terminated",
    "Error in the pull function",
    "Error in the push function",
    "Error decoding the received TLS packet",
    "The operation timed out",
)
"""What GnuTLS says of a handshake that ended without a word of the peer (gnutls_strerror(3)). Both sides look at the other's
certificate only after it, so nothing was refused.
"""
_NO_DRIVER = re.compile(r"Unknown driver '?(iscsi|rbd)'?", re.IGNORECASE)
_INSTALL = "its block driver for that is not installed (on Debian: qemu-block-extra)"
_NETWORKS = {"iscsi": "iSCSI", "rbd": "Ceph"}
_NO_BRIDGE = re.compile(r"Cannot get interface MTU on '([^']+)'")
"""What libvirt asks a bridge for first, before it makes a port there (virNetDevTapCreateInBridgePort in virnetdevtap.c)."""
_FULL = re.compile(r"No space left on device|Disk quota exceeded|insufficient free (?:space|extents)", re.IGNORECASE)
"""What errno ENOSPC and EDQUOT are called, by all that libvirt calls (QEMU's tools, librbd, which has quotas of pools too), and
what LVM says (lib/metadata/lv_manip.c and pv_alloc.c of lvm2).
"""
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_CUT = frozenset({errno.EIO, errno.EPIPE, errno.ECONNRESET})
_PATH = re.compile(r"(?<![\w.])/(?:[^\s/'\"`:,;()\x00-\x1f]+/)*(?=[^\s/'\"`:,;()]*)")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SSH_PEER = re.compile(r"(connect to host) \S+ port \d+")
_PEER = re.compile(r"(server at|host|peer)\s+'[^']*'")


def code(error: libvirt.libvirtError) -> int:
    """The number of the error; 0 if it gave none."""
    return int(error.get_error_code() or 0)


def native(error: libvirt.libvirtError) -> str:
    """The name of the error, for example `VIR_ERR_NO_DOMAIN`."""
    return str(_NAMES.get(code(error), f"VIR_ERR_{code(error)}"))


def system_errno(error: libvirt.libvirtError) -> int:
    """The errno behind a VIR_ERR_SYSTEM_ERROR; 0 if there is none."""
    return int(error.get_int1() or 0) if code(error) == libvirt.VIR_ERR_SYSTEM_ERROR else 0


def redact(text: str) -> str:
    """`text` on one line without directories and host names: only the last part of a path is left.

    What is too long loses its middle: libvirt puts the command that failed before what the command said.
    """
    flat = " ".join(text.split())
    shown = _SSH_PEER.sub(r"\1 '…'", _PEER.sub(r"\1 '…'", _PATH.sub("…/", flat)))
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT // 3]}…{shown[1 - MAX_TEXT + MAX_TEXT // 3 :]}"


def translate(error: libvirt.libvirtError, action: str, *, mutating: bool = False, lost: bool = False) -> DriverError:
    """What to raise for `error` of `action` (a verb and an object, for example "start VM web").

    `lost` says that the connection is gone: then a mutating call may have taken effect or not.
    """
    message = f"cannot {action}: {redact(error.get_error_message() or 'the hypervisor gave no reason')}"
    if found := _NO_DRIVER.search(message):
        lacking = _NETWORKS[found[1].lower()]
        return Unsupported(f"cannot {action}: the host's QEMU can't use {lacking}, {_INSTALL}", native_code=native(error))
    if lost:
        return Unanswered(f"{message}; the connection is lost", native_code=native(error), outcome_unknown=mutating)
    if system_errno(error) == errno.ENODEV and (found := _NO_BRIDGE.search(message)):
        return NetworkMissing(f"cannot {action}: the host has no bridge {found[1]}", native_code=native(error))
    kind = NoRoom if is_full(error) else TABLE.get(code(error), Transient)
    return kind(message, native_code=native(error))


def is_full(error: libvirt.libvirtError) -> bool:
    """Whether a file system, a volume group or a Ceph pool has no room: calls for other pools of the host must go on."""
    return system_errno(error) in _NO_SPACE or says_full(error.get_error_message() or "")


def says_full(text: str) -> bool:
    """Whether it is the words of one that has no room."""
    return _FULL.search(text) is not None


def translate_connect(error: libvirt.libvirtError, *, tls: bool) -> DriverError:
    """What to raise for an `error` of opening a connection; `tls` says that certificates were at work."""
    text = error.get_error_message() or "the hypervisor gave no reason"
    if said := ssh_refusal(text):
        return AuthFailed(f"cannot connect to the host: {said}", native_code=native(error))
    kind = AuthFailed if _refused(error, tls=tls) else TABLE.get(code(error), Unanswered)
    if text.startswith(_HANDSHAKE) and any(said in text for said in _BROKEN_OFF):
        kind = Unanswered
    return kind(f"cannot connect to the host: {redact(text)}", native_code=native(error))


def ssh_refusal(text: str) -> str:
    """What ssh's complaints mean, if they say that one of both sides does not trust the other; else empty.

    libvirt passes on the first 1024 bytes that ssh(1) wrote.
    """
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in text:
        shown = _FINGERPRINT.search(text)
        key = f"an SSH key with fingerprint {shown[0]}" if shown else "an SSH key"
        return f"the peer shows {key}, which is not the one in known_hosts"
    if "Host key verification failed" in text or "host key is known for" in text:
        return "the peer's SSH key is not in known_hosts"
    if "Permission denied" in text:
        return "the host refuses the SSH user or key"
    if "error in libcrypto" in text or "invalid format" in text:
        return "ssh-privatekey is not a private key that ssh can read, or it has a passphrase"
    return ""


def cut_off(error: libvirt.libvirtError) -> bool:
    """Whether a daemon of libvirt lost its connection to another one that it passed our call on to, as virtqemud to virtstoraged.

    It opens none again for a client that it has: "the client's socket is closed" is all that such a client hears from then on
    (remoteOpenConn in libvirt's remote_daemon_dispatch.c). A new client gets new ones.
    """
    if error.get_error_domain() != libvirt.VIR_FROM_RPC:
        return False
    return code(error) == libvirt.VIR_ERR_INTERNAL_ERROR or system_errno(error) in _CUT


def hung_up(error: libvirt.libvirtError) -> bool:
    """Whether a server hung up after the handshake instead of confirming our certificate: it refuses it, or is just ending."""
    return system_errno(error) == errno.EIO and "TLS" in (error.get_error_message() or "")


def _refused(error: libvirt.libvirtError, *, tls: bool) -> bool:
    """Certificates have no code of their own: libvirt reports a system error, without errno where one of ours is unusable.

    A CA file that is missing is ENOENT.
    """
    if code(error) != libvirt.VIR_ERR_SYSTEM_ERROR:
        return False
    number = system_errno(error)
    return number in _DENIED or (tls and (number <= 0 or number == errno.ENOENT or hung_up(error)))
