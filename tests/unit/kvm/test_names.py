"""Names are found again, differ where they must, and lead nowhere else."""

import hashlib
import re
import uuid
from pathlib import PurePosixPath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm import names
from drivers.types import InstanceID

ONE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
TWO = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12")
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
INSTANCES = st.uuids().map(lambda value: InstanceID(str(value)))


@given(st.text(), INSTANCES)
def test_a_domain_name_is_safe_and_short_whatever_the_vm_is_called(name: str, instance: InstanceID) -> None:
    made = names.domain(name, instance)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{10,60}", made)
    assert made.endswith(f"-{instance[:8]}")
    assert made[0] not in "-."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", "web-6f1d9a3e"),
        ("shop/web", "shop-web-6f1d9a3e"),
        ("../../etc/passwd", "etc-passwd-6f1d9a3e"),
        ("", "vm-6f1d9a3e"),
        ("---", "vm-6f1d9a3e"),
        ("名前", "vm-6f1d9a3e"),
        ("--help", "help-6f1d9a3e"),
        ("x" * 253, "x" * 51 + "-6f1d9a3e"),
    ],
)
def test_domain_names(name: str, expected: str) -> None:
    assert names.domain(name, ONE) == expected


@given(INSTANCES, LABELS)
def test_disks_and_seeds_belong_to_their_vm_and_to_no_other(instance: InstanceID, disk: str) -> None:
    other = InstanceID(str(uuid.uuid5(uuid.UUID(instance), "other")))
    for volume in (names.disk(instance, disk), names.seed(instance, "0" * 64)):
        assert names.belongs(volume, instance)
        assert not names.belongs(volume, other)
        assert PurePosixPath(volume).name == volume
    assert names.is_seed(names.seed(instance, "abc"), instance)
    assert not names.is_seed(names.disk(instance, disk), instance)


def test_a_disk_called_like_a_seed_is_still_a_disk() -> None:
    assert not names.is_seed(names.disk(ONE, "seed-0"), ONE)
    assert names.disk(ONE, "seed-0") != names.seed(ONE, "0")


def test_one_vm_has_one_name_for_each_thing() -> None:
    assert names.disk(ONE, "root") == f"{ONE}-root.qcow2"
    assert names.seed(ONE, "0123456789abcdef0123") == f"{ONE}-seed-0123456789abcdef.iso"
    assert names.disk(ONE, "root") != names.disk(TWO, "root")


@pytest.mark.parametrize(
    "volume", [f"{ONE}.qcow2", f"{ONE}-root.img", f"x{ONE}-root.qcow2", "vireo-image-a.qcow2", "", f"{ONE}root.qcow2"]
)
def test_other_files_belong_to_nobody(volume: str) -> None:
    assert not names.belongs(volume, ONE)


HOSTILE = ["", ".", "..", "a/b", "../a", "/a", "a\0", "a\n", "-a", "a b", "ä", "a" * 300, "A B", "$(id)", "a\\b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str) -> None:
    for make in (
        lambda: names.disk(ONE, name),
        lambda: names.image(name),
        lambda: names.image_marker(name),
        lambda: names.pool(name),
    ):
        with pytest.raises(InvalidSpec):
            make()


@pytest.mark.parametrize(
    "instance", ["", "web", str(ONE).upper(), f"{{{ONE}}}", f"{ONE}0", ONE.replace("-", ""), f"{ONE}\n", f"../{ONE[3:]}"]
)
def test_only_a_uuid_in_its_plain_form_is_an_identity(instance: str) -> None:
    with pytest.raises(InvalidSpec):
        names.instance_id(instance)


def test_an_image_and_its_marker_are_two_volumes() -> None:
    assert names.image("sha256-abc") == "vireo-image-sha256-abc.qcow2"
    assert names.image_marker("sha256-abc") == "vireo-image-sha256-abc.complete"


@pytest.mark.parametrize("path", ["/srv/vireo", "/var/lib/libvirt/images", "/mnt/pool 1", "/home/vireo", "/data", "/var/lib/größe"])
def test_directories_that_can_be_pools(path: str) -> None:
    assert names.pool_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "srv", "srv/a", "//srv", "/srv/", "/srv//a", "/srv/..", "/srv/../etc", "/srv/./a", "/srv/a\n", "/srv/\0"),
        *("/etc", "/etc/vireo", "/dev/shm", "/proc/1", "/sys/a", "/boot", "/usr/lib", "/bin", "/run/a", "/" + "a" * 1100),
    ],
)
def test_directories_that_cannot(path: str) -> None:
    with pytest.raises(InvalidSpec):
        names.pool_path(path)


@given(st.sampled_from(names.Kind), st.uuids().map(str), st.integers(0, 10**9 - 1))
def test_contents_are_found_again_by_their_names(kind: names.Kind, identity: str, number: int) -> None:
    content = names.Content(kind, identity, number)
    assert names.content_of(content.file) == names.content_of(content.marker) == content
    assert content.file != content.marker
    assert names.disk_of(content.file) is None


@given(st.uuids().map(str), st.integers(0, 10**9 - 1), st.text(), st.integers(0, 99))
def test_a_token_is_its_content_s_and_no_file_that_counts(identity: str, number: int, token: str, age: int) -> None:
    content = names.Content(names.Kind.VOLUME, identity, number)
    made = content.token(names.token_digest(token), age)
    assert names.content_of(made) == content
    assert (names.stored(made), names.disk_of(made)) == (None, None)
    assert made not in (content.file, content.marker)
    assert content.digests_in([made]) == (names.token_digest(token),)
    assert len(made) <= 255
    assert "/" not in made


@given(st.lists(st.text(), unique=True, max_size=99), st.randoms())
def test_tokens_are_told_from_the_newest_on_whatever_the_order_of_a_directory(tokens: list[str], chance: Random) -> None:
    content, other = (names.Content(names.Kind.VOLUME, ONE, number) for number in (1, 11))
    digests = tuple(map(names.token_digest, tokens))
    files = [content.token(digest, age) for age, digest in enumerate(digests)]
    listed = [*files, content.file, content.marker, other.token("0" * 32), other.token("1" * 32, 1)]
    chance.shuffle(listed)
    assert content.tokens_in(listed) == files
    assert content.digests_in(listed) == digests


def test_the_token_of_the_version_before_is_the_newest() -> None:
    content = names.Content(names.Kind.VOLUME, ONE, 3)
    digest = hashlib.sha256(b"uid").hexdigest()[:32]
    assert content.digests_in([f"vireo-vol-{ONE}.3.restored-{digest}"]) == (names.token_digest("uid"),)


@pytest.mark.parametrize("end", ["-0", "-01", "-100", "-", "-x", "-1-1", "-1\n", ".1"])
def test_what_is_no_age_is_no_token(end: str) -> None:
    name = f"vireo-vol-{ONE}.3.restored-{'a' * 32}{end}"
    assert names.content_of(name) is None
    assert names.Content(names.Kind.VOLUME, ONE, 3).tokens_in([name]) == []


@pytest.mark.parametrize(
    "volume",
    [
        f"vireo-vol-{ONE}.qcow2",
        f"vireo-vol-{ONE}.01.qcow2",
        f"vireo-vol-{ONE}.-1.qcow2",
        f"vireo-vol-{ONE}.0.img",
        f"vireo-vol-{ONE.upper()}.0.qcow2",
        f"vireo-disk-{ONE}.0.qcow2",
        f"vireo-vol-{ONE}.0.qcow2\n",
        f"x/vireo-vol-{ONE}.0.qcow2",
        f"{ONE}-root.qcow2",
    ],
)
def test_other_volumes_are_no_contents(volume: str) -> None:
    assert names.content_of(volume) is None


@given(INSTANCES, LABELS)
def test_disks_are_found_again_by_their_names(instance: InstanceID, name: str) -> None:
    assert names.disk_of(names.disk(instance, name)) == (instance, name)
    assert names.disk_of(names.seed(instance, "0" * 64)) is None


@pytest.mark.parametrize("identity", ["", "../../etc/passwd", ONE.upper(), ONE + "\n", ONE[:-1]])
def test_what_is_no_uuid_is_never_part_of_a_name(identity: str) -> None:
    assert not names.is_uuid(identity)
    with pytest.raises(InvalidSpec):
        names.Content(names.Kind.VOLUME, identity, 0).file  # noqa: B018
    with pytest.raises(InvalidSpec):
        names.uuid_text(identity)
    with pytest.raises(InvalidSpec):
        names.console_log(InstanceID(identity))
