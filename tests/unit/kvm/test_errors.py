"""libvirt's codes in terms of the contract."""

import ctypes
import errno

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import (
    AuthFailed,
    Busy,
    Conflict,
    DriverError,
    InvalidSpec,
    NoRoom,
    NotFound,
    Transient,
    Unanswered,
    Unsupported,
)
from drivers.kvm import errors
from tests.unit.kvm.fakes import libvirt_error

EXPECTED = [
    ("VIR_ERR_NO_DOMAIN", NotFound),
    ("VIR_ERR_NO_STORAGE_POOL", NotFound),
    ("VIR_ERR_NO_STORAGE_VOL", NotFound),
    ("VIR_ERR_OPERATION_INVALID", Conflict),
    ("VIR_ERR_DOM_EXIST", Conflict),
    ("VIR_ERR_STORAGE_VOL_EXIST", Conflict),
    ("VIR_ERR_OPERATION_TIMEOUT", Busy),
    ("VIR_ERR_RESOURCE_BUSY", Busy),
    ("VIR_ERR_AGENT_UNRESPONSIVE", Busy),
    ("VIR_ERR_XML_ERROR", InvalidSpec),
    ("VIR_ERR_XML_INVALID_SCHEMA", InvalidSpec),
    ("VIR_ERR_INVALID_ARG", InvalidSpec),
    ("VIR_ERR_CONFIG_UNSUPPORTED", InvalidSpec),
    ("VIR_ERR_AUTH_FAILED", AuthFailed),
    ("VIR_ERR_ACCESS_DENIED", AuthFailed),
    ("VIR_ERR_NO_SUPPORT", Unsupported),
    ("VIR_ERR_OPERATION_UNSUPPORTED", Unsupported),
    ("VIR_ERR_INTERNAL_ERROR", Transient),
    ("VIR_ERR_OPERATION_FAILED", Transient),
    ("VIR_ERR_SYSTEM_ERROR", Transient),
    ("VIR_ERR_RPC", Transient),
    ("VIR_ERR_NO_CONNECT", Transient),
    ("VIR_ERR_OPERATION_ABORTED", Transient),
]


@pytest.mark.parametrize(("name", "kind"), EXPECTED)
def test_the_kind_and_the_name_of_each_code(name: str, kind: type[DriverError]) -> None:
    found = errors.translate(libvirt_error(getattr(libvirt, name), "something"), "start VM web")
    assert type(found) is kind
    assert found.native_code == name
    assert found.message == "cannot start VM web: something"


@given(st.integers(min_value=-10, max_value=10_000))
def test_a_code_that_nobody_knows_is_still_an_error_of_the_contract(number: int) -> None:
    found = errors.translate(libvirt_error(number, "new"), "read")
    assert isinstance(found, DriverError)
    assert found.native_code.startswith("VIR_ERR_")


@pytest.mark.parametrize("mutating", [True, False])
def test_a_lost_connection_is_no_answer_and_a_change_then_has_an_unknown_outcome(mutating: bool) -> None:
    found = errors.translate(libvirt_error(libvirt.VIR_ERR_NO_DOMAIN, "x"), "delete", mutating=mutating, lost=True)
    assert type(found) is Unanswered
    assert found.outcome_unknown is mutating


@pytest.mark.parametrize("number", [libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR])
def test_a_full_file_system_is_said_after_a_long_command_and_is_an_answer(number: int) -> None:
    command = f"Child process (/usr/bin/qemu-img create -b /pool/{'a' * 2 * errors.MAX_TEXT}.qcow2)"
    text = f"internal error: {command} unexpected exit status 1: Could not resize file: No space left on device"
    found = errors.translate(libvirt_error(number, text), "create the VM web")
    assert type(found) is NoRoom
    assert found.message.startswith("cannot create the VM web: internal error: Child process (…/qemu-img create")
    assert found.message.endswith("unexpected exit status 1: Could not resize file: No space left on device")


FULL = [
    'internal error: Child process (/sbin/lvcreate) unexpected exit status 5: Volume group "vg" has insufficient free space '
    "(2 extents): 4 required.",
    "internal error: Child process (/sbin/lvcreate) unexpected exit status 5: Insufficient free extents (2) in volume group vg",
    "failed to create volume 'vms/vireo-vol-x': Disk quota exceeded",
    "internal error: unable to execute QEMU command 'block_resize': Failed to grow the L1 table: No space left on device",
]


@pytest.mark.parametrize("text", FULL)
@pytest.mark.parametrize("mutating", [True, False])
def test_every_sort_of_storage_has_its_own_words_for_full(text: str, mutating: bool) -> None:
    found = errors.translate(libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, text), "make the volume x", mutating=mutating)
    assert type(found) is NoRoom


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_errno_of_a_full_file_system_is_enough(number: int) -> None:
    error = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "kann nicht schreiben", number)
    assert type(errors.translate(error, "make the volume x")) is NoRoom


def test_what_a_full_host_said_before_it_was_lost_is_no_answer() -> None:
    assert type(errors.translate(libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, FULL[0]), "x", lost=True)) is Unanswered


NO_MTU = "Cannot get interface MTU on 'br-vlan30': No such device"


def test_a_bridge_that_is_not_there_is_named_and_may_come() -> None:
    error = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, NO_MTU, errno.ENODEV)
    found = errors.translate(error, "start the VM web", mutating=True)
    assert isinstance(found, errors.NetworkMissing)
    assert isinstance(found, Transient)
    assert not isinstance(found, Unanswered)
    assert not found.outcome_unknown
    assert found.reason == "NetworkMissing"
    assert str(found) == "cannot start the VM web: the host has no bridge br-vlan30 (VIR_ERR_SYSTEM_ERROR)"


@pytest.mark.parametrize(
    ("code", "text", "number"),
    [
        (libvirt.VIR_ERR_SYSTEM_ERROR, NO_MTU, errno.EPERM),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "Unable to open /dev/vfio/1: No such device", errno.ENODEV),
        (libvirt.VIR_ERR_INTERNAL_ERROR, NO_MTU, errno.ENODEV),
    ],
    ids=["another reason", "another device", "another error"],
)
def test_what_else_a_host_lacks_is_no_bridge(code: int, text: str, number: int) -> None:
    assert type(errors.translate(libvirt_error(code, text, number), "start the VM web")) is Transient


def test_a_bridge_that_was_missing_before_the_host_was_lost_is_no_answer() -> None:
    error = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, NO_MTU, errno.ENODEV)
    assert type(errors.translate(error, "start the VM web", lost=True)) is Unanswered


def test_an_error_without_text_says_so() -> None:
    assert "gave no reason" in errors.translate(libvirt_error(libvirt.VIR_ERR_RPC, ""), "read").message


@pytest.mark.parametrize(
    ("number", "text", "tls", "kind"),
    [
        (errno.EACCES, "Failed to connect socket to '/run/s': Permission denied", False, AuthFailed),
        (errno.EPERM, "Operation not permitted", True, AuthFailed),
        (errno.ECONNREFUSED, "unable to connect to server at 'h:16514'", True, Unanswered),
        (errno.ENOENT, "Failed to connect socket to '/run/s'", False, Unanswered),
        (errno.ENOENT, "Cannot read CA certificate '/x/cacert.pem'", True, AuthFailed),
        (-1, "Unable to import client certificate /x/clientcert.pem", True, AuthFailed),
        (-1, "something else", False, Unanswered),
        (errno.EIO, "Unable to read TLS confirmation: Input/output error", True, AuthFailed),
        (errno.EIO, "Cannot recv data: Input/output error", True, Unanswered),
        (errno.ETIMEDOUT, "Unable to read TLS confirmation", True, Unanswered),
    ],
)
def test_what_connecting_failed_for(number: int, text: str, tls: bool, kind: type[DriverError]) -> None:
    assert type(errors.translate_connect(libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, text, number), tls=tls)) is kind


GNUTLS = {
    -9: Unanswered,  # GNUTLS_E_UNEXPECTED_PACKET_LENGTH
    -12: AuthFailed,  # GNUTLS_E_FATAL_ALERT_RECEIVED
    -53: Unanswered,  # GNUTLS_E_PUSH_ERROR
    -54: Unanswered,  # GNUTLS_E_PULL_ERROR
    -87: AuthFailed,  # GNUTLS_E_NO_CIPHER_SUITES
    -110: Unanswered,  # GNUTLS_E_PREMATURE_TERMINATION
    -319: Unanswered,  # GNUTLS_E_TIMEDOUT
    -348: AuthFailed,  # GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR
}
"""Codes of gnutls.h that a handshake may end with."""


@pytest.mark.parametrize(("number", "kind"), GNUTLS.items())
def test_a_handshake_that_broke_off_is_no_refusal(number: int, kind: type[DriverError]) -> None:
    """In the words of the library that libvirt itself uses."""
    library = ctypes.CDLL("libgnutls.so.30")
    library.gnutls_strerror.restype = ctypes.c_char_p
    said = library.gnutls_strerror(number).decode()
    error = libvirt_error(libvirt.VIR_ERR_AUTH_FAILED, f"authentication failed: TLS handshake failed {said}")
    assert type(errors.translate_connect(error, tls=True)) is kind, said


def test_words_of_somebody_else_make_no_handshake_of_a_refusal() -> None:
    said = "authentication failed: Error in the pull function"
    assert type(errors.translate_connect(libvirt_error(libvirt.VIR_ERR_AUTH_FAILED, said), tls=True)) is AuthFailed


@pytest.mark.parametrize(
    ("code", "number", "text", "expected"),
    [
        (libvirt.VIR_ERR_SYSTEM_ERROR, errno.EIO, "Unable to read TLS confirmation: Input/output error", True),
        (libvirt.VIR_ERR_SYSTEM_ERROR, errno.EIO, "Cannot recv data: Input/output error", False),
        (libvirt.VIR_ERR_SYSTEM_ERROR, errno.ECONNRESET, "Unable to read TLS confirmation: Connection reset", False),
        (libvirt.VIR_ERR_AUTH_FAILED, errno.EIO, "Unable to read TLS confirmation", False),
    ],
)
def test_a_server_that_hangs_up(code: int, number: int, text: str, expected: bool) -> None:
    assert errors.hung_up(libvirt_error(code, text, number)) is expected


def test_a_certificate_that_does_not_verify_is_refused() -> None:
    error = libvirt_error(libvirt.VIR_ERR_AUTH_FAILED, "authentication failed: Failed to verify peer's certificate")
    assert type(errors.translate_connect(error, tls=True)) is AuthFailed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cannot access storage file '/srv/pool/a-root.qcow2'", "Cannot access storage file '…/a-root.qcow2'"),
        ("cannot create path '/etc': x", "cannot create path '…/etc': x"),
        ("unable to connect to server at 'kvm1:16514': x", "unable to connect to server at '…': x"),
        ("ssh: connect to host kvm1.example port 22: Connection refused", "ssh: connect to host '…': Connection refused"),
        ("two\nlines\n", "two lines"),
        ("Input/output error", "Input/output error"),
        ("/a/b and /c/d", "…/b and …/d"),
    ],
)
def test_paths_and_hosts_are_not_told(text: str, shown: str) -> None:
    assert errors.redact(text) == shown


@given(st.text(max_size=2000))
def test_texts_stay_short_and_on_one_line(text: str) -> None:
    shown = errors.redact(text)
    assert len(shown) <= errors.MAX_TEXT
    assert "\n" not in shown


@given(st.lists(st.from_regex(r"[a-z0-9._-]{1,8}", fullmatch=True), min_size=2, max_size=6))
def test_no_directory_is_told(parts: list[str]) -> None:
    shown = errors.redact(f"cannot open '/{'/'.join(parts)}'")
    assert shown == f"cannot open '…/{parts[-1]}'"


CHANGED = """Cannot recv data: @@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
The fingerprint for the ED25519 key sent by the remote host is
SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDhCbZoPzWDGbVLSTg.
Please contact your system administrator."""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CHANGED, "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDhCbZoPzWDGbVLSTg, which is not the one"),
        (CHANGED[:90], "shows an SSH key, which is not the one"),
        ("Cannot recv data: Host key verification failed.: Connection reset", "is not in known_hosts"),
        ("No ED25519 host key is known for h and you have requested strict checking.", "is not in known_hosts"),
        ("root@h: Permission denied (publickey).: Connection reset by peer", "refuses the SSH user or key"),
        ('Load key "/x/id": error in libcrypto', "not a private key"),
    ],
)
def test_what_ssh_complains_of(text: str, told: str) -> None:
    found = errors.translate_connect(libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, text, errno.ECONNRESET), tls=False)
    assert type(found) is AuthFailed
    assert told in found.message


@given(st.text(max_size=200))
def test_other_texts_are_no_refusals(text: str) -> None:
    assert errors.ssh_refusal(f"ssh: connect to host x: {text.lower()}") == "" or "host key is known for" in text.lower()


def test_a_qemu_without_iscsi_is_said_to_lack_it() -> None:
    said = "internal error: unable to execute QEMU command 'blockdev-add': Unknown driver 'iscsi'"
    translated = errors.translate(libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, said), "change the VM x", mutating=True)
    assert type(translated) is Unsupported
    assert "iSCSI" in str(translated)
    assert "qemu-block-extra" in str(translated)
    translated = errors.translate(libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, said.replace("iscsi", "rbd")), "start the VM x")
    assert (type(translated), "can't use Ceph" in str(translated)) == (Unsupported, True)
