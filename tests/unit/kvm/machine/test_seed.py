"""The seed is an ISO image that cloud-init would find and read."""

import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycdlib import PyCdlib

from drivers.kvm.machine import seed
from drivers.types import Seed

FULL = Seed("instance-id: i-1\nlocal-hostname: web\n", "version: 2\n", b"#cloud-config\n{}\n")


def read(image: bytes, kind: str) -> dict[str, bytes]:
    """Files of the image by one of the trees that a guest may use."""
    iso = PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for child in iso.list_children(**{kind: "/"}):
        if child.is_file():
            name = child.rock_ridge.name().decode() if kind == "rr_path" else child.file_identifier().decode("utf-16_be")
            content = io.BytesIO()
            iso.get_file_from_iso_fp(content, **{kind: f"/{name}"})
            found[name] = content.getvalue()
    iso.close()
    return found


def documents(given_seed: Seed) -> dict[str, bytes]:
    found = {"meta-data": given_seed.meta_data.encode(), "user-data": given_seed.user_data}
    return found | ({"network-config": given_seed.network_config.encode()} if given_seed.network_config else {})


@pytest.mark.parametrize("kind", ["rr_path", "joliet_path"])
def test_both_trees_have_the_documents(kind: str) -> None:
    assert read(seed.image(FULL), kind) == documents(FULL)


def test_the_label_is_what_cloud_init_looks_for() -> None:
    image = seed.image(FULL)
    assert image[32768 + 1 : 32768 + 6] == b"CD001"
    assert image[32768 + 40 : 32768 + 72].rstrip() == b"cidata"


@settings(max_examples=20, deadline=None)
@given(st.builds(Seed, st.text(max_size=200), st.text(max_size=200), st.binary(max_size=5000)))
def test_whatever_is_in_them(given_seed: Seed) -> None:
    assert read(seed.image(given_seed), "rr_path") == documents(given_seed)


def test_a_small_image_is_padded_as_mkisofs_does() -> None:
    """Busybox looks for other file systems' labels behind the end of a shorter one, and then finds none at all."""
    assert seed.image(Seed("", "", b""))[-300 * 1024 :] == bytes(300 * 1024)


def test_a_mebibyte_of_user_data() -> None:
    large = Seed("instance-id: i-1\n", "", b"#!/bin/sh\n" + b"x" * (1 << 20))
    assert read(seed.image(large), "rr_path")["user-data"] == large.user_data


@pytest.mark.lab
def test_another_program_reads_it_too(tmp_path: Path) -> None:
    """genisoimage's own reader, which a lab machine has."""
    (tmp_path / "seed.iso").write_bytes(seed.image(FULL))
    listed = subprocess.run(["isoinfo", "-R", "-f", "-i", tmp_path / "seed.iso"], capture_output=True, text=True, check=True).stdout
    assert sorted(listed.split()) == ["/meta-data", "/network-config", "/user-data"]
