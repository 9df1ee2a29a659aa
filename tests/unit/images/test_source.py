"""Sources: what is accepted, what is refused, and what is never shown."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.images import Checksum, ImageError, ImageFormat, Reason, Source

SHA256 = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "url", ["http://h/x", "https://h:8443/a/b?c=d#e", "HTTP://H/x", "http://[::1]/x", "https://u:p@h/x", "http://bücher.example/x"]
)
def test_a_right_url_is_accepted(url: str) -> None:
    assert Source.parse(url, "QCOW2", SHA256).checksum == Checksum("sha256", "0a" * 32)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "http:// or https://"),
        ("/etc/passwd", "http:// or https://"),
        ("file:///etc/passwd", "not file://"),
        ("ftp://host/x", "not ftp://host"),
        ("http://", "with a host"),
        ("http:///path", "with a host"),
        ("http://h\n/x", "can't be parsed"),
        ("http://h:port/x", "can't be parsed"),
        ("http://h/" + "x" * 3000, "longer than 2048"),
    ],
)
def test_a_wrong_url_is_refused(url: str, text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Source.parse(url, "QCOW2")
    assert caught.value.reason is Reason.INVALID_SOURCE
    assert caught.value.terminal
    assert text in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("checksum", "text"),
    [
        ("sha1:" + "0" * 40, "does not begin with one of md5:, sha256:, sha512:"),
        ("0" * 64, "does not begin"),
        ("sha256:", "64 hexadecimal digits"),
        ("sha256:" + "0" * 63, "64 hexadecimal digits"),
        ("sha256:" + "g" * 64, "64 hexadecimal digits"),
        ("sha256:" + "0" * 64 + "\n0", "64 hexadecimal digits"),
        ("md5:" + "0" * 64, "32 hexadecimal digits"),
        ("x" * 100_000, "does not begin"),
    ],
)
def test_a_wrong_checksum_is_refused(checksum: str, text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Source.parse("http://h/x", "QCOW2", checksum)
    assert text in caught.value.message
    assert len(caught.value.message) < 200


@given(st.sampled_from(["md5", "sha256", "sha512"]), st.binary(max_size=20))
def test_checksums_are_read_whatever_their_case(algorithm: str, data: bytes) -> None:
    value = hashlib.new(algorithm, data).hexdigest()
    assert Checksum.parse(f" {algorithm.upper()}:{value.upper()} ") == Checksum(algorithm, value)
    assert str(Checksum(algorithm, value)) == f"{algorithm}:{value}"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ImageError, match="not one of QCOW2, RAW, VMDK, VHD"):
        Source.parse("http://h/x", "ISO")


def test_formats_have_qemu_names() -> None:
    assert [each.qemu for each in ImageFormat] == ["qcow2", "raw", "vmdk", "vpc"]


def test_credentials_are_never_shown() -> None:
    source = Source.parse("https://user:hunter2@h:8443/a/b.qcow2?token=hunter3#hunter4", "QCOW2")
    assert source.shown == "https://h:8443/a/b.qcow2"
    assert "hunter" not in repr(source) + str(source)


def test_the_key_covers_everything() -> None:
    """Two sources share work and results only if all of their parts are the same; and the key is fit for a file name."""
    sources = [
        Source.parse("http://h/x", "QCOW2"),
        Source.parse("http://h/x", "RAW"),
        Source.parse("http://h/x", "QCOW2", SHA256),
        Source.parse("http://h/x?1", "QCOW2", SHA256),
        Source.parse("http://u@h/x", "QCOW2", SHA256),
    ]
    assert len({each.key for each in sources}) == len(sources)
    assert sources[0].key == Source.parse("http://h/x", "QCOW2").key
    assert all(each.key.isalnum() for each in sources)


@given(st.text(max_size=80), st.text(max_size=10), st.none() | st.text(max_size=80))
def test_any_text_gives_a_source_or_an_image_error(url: str, image_format: str, checksum: str | None) -> None:
    try:
        source = Source.parse(url, image_format, checksum)
    except ImageError as error:
        assert error.terminal  # noqa: PT017  # either outcome is right
    else:
        assert source.shown
