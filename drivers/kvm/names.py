"""Names of what is made on a host: they are derived, so that each can be found again, and checked, so that none leaves its place.

| object | name |
|---|---|
| domain | `<name>-<first 8 of the instance>` |
| disk volume | `<instance>-<disk>.qcow2` |
| seed volume | `<instance>-seed-<digest>.iso` |
| image volume | `vireo-image-<image>.qcow2`, complete once `vireo-image-<image>.complete` exists |
| volume | `vireo-vol-<volume>.<n>.qcow2`, complete once `vireo-vol-<volume>.<n>.complete` exists; the largest n that is counts |
| token of the restore that gave a volume its content n | `vireo-vol-<volume>.<n>.restored-<digest>`, an empty file |
| tokens of those before it, the last one first | the same with `-1`, `-2` … |
| snapshot of a volume | `vireo-snap-<snapshot>.<n>.qcow2` and `.complete`, likewise |
| where disks and volumes are block devices | `.raw` instead of `.qcow2`; a disk has its `<instance>-<disk>.complete` too |
| what such a one is filled from | the same with `.draft` |
| storage pool | `vireo-<pool>`, with a UUID that follows from that name and the cloud |
| secret with the key of a Ceph pool | `vireo-<pool>`, with a UUID that follows from that name |
| volume in a Ceph pool | `vireo-vol-<volume>` |
| volume group | the storage pool `vireo-lvm_<group>`, which can be no other pool's name, with such a UUID |
| initiator of iSCSI | `iqn.2026-01.dev.vireo:<UUID of the host>` |
| bridge of a segment | `vireo-b<segment>` |
| the bridge's way out | `vireo-u<segment>` |
| console log | `vireo-<instance>.log`, and what virtlogd makes of that for older parts |
| in an NFS export | `vireo-nfs.mounted`, an empty file: the export is really there |
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from drivers.errors import InvalidSpec
from drivers.types import InstanceID, ISCSITarget, NFSExport, RBDPool, StoredKind, VolumeID

MAX_DOMAIN_NAME = 60

QCOW2 = "qcow2"
RAW = "raw"
"""What disks and volumes are: files of that format, or block devices. It ends their names."""

INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
"""Names of interfaces that are accepted: at most 15 characters (IFNAMSIZ), and none that a shell or ip(8) reads as more."""

COOKIE = "0x766972656f"
"""What our OpenFlow rules are known by on a host's Open vSwitch."""

CONSOLE_LOGS = "/var/log/libvirt/qemu"
"""Directory of console logs, where libvirt has its own logs of domains."""

_OF_VMS = (".qcow2", ".iso")
_OF_BLOCKS = (".raw", ".complete", ".draft", ".iso")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_PART = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_POOL = re.compile(r"[a-z0-9]([a-z0-9.-]{0,198}[a-z0-9])?")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_INSTANCE = re.compile(_UUID)
_DISK = re.compile(rf"({_UUID})-([a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?)\.(?:qcow2|raw)")
_SEED = re.compile(rf"({_UUID})-seed-[^/]+\.iso")
_STORED_IMAGE = re.compile(rf"vireo-image-({_IMAGE.pattern})\.qcow2")
_CONTENT = re.compile(
    rf"vireo-(vol|snap)-({_UUID})\.(0|[1-9][0-9]{{0,8}})\.(qcow2|raw|complete|draft|restored-[0-9a-f]{{32}}(?:-[1-9][0-9]?)?)"
)
_PATH = re.compile(r"(/[^/\x00-\x1f\x7f]+)+")
_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_EXPORT = re.compile(r"/|(/[A-Za-z0-9._-]+)+")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+_.-]{0,62}")
_CEPH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_RBD_VOLUME = re.compile(rf"vireo-vol-({_UUID})")
_SECRETS = uuid.UUID("6f1a2f0e-3c58-5d0b-9c1e-0d6f7c1b9a44")
_IQN = re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9][a-z0-9.:-]{0,209}")
_SYSTEM = frozenset({"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr"})


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidSpec(f"{what} has characters or a length that are not allowed: {text[:64]!r}")
    return text


def instance_id(instance: str) -> InstanceID:
    """`instance` if it is a UUID in lower case with dashes. Raises InvalidSpec."""
    return InstanceID(_checked(_INSTANCE, instance, "the identity of the VM"))


def domain(name: str, instance: InstanceID) -> str:
    """Name of the domain: what is safe of `name`, unique by its instance, at most MAX_DOMAIN_NAME characters of ASCII."""
    suffix = instance_id(instance)[:8]
    safe = _UNSAFE.sub("-", name)[: MAX_DOMAIN_NAME - len(suffix) - 1].strip("-.")
    return f"{safe or 'vm'}-{suffix}"


def label(name: str) -> str:
    """`name` if a disk may have it. Raises InvalidSpec unless it is a DNS label."""
    return _checked(_PART, name, "the disk name")


def disk(instance: InstanceID, name: str, form: str = QCOW2) -> str:
    """Volume of the disk `name`. Raises InvalidSpec for a name that is not a DNS label."""
    return f"{instance_id(instance)}-{label(name)}.{form}"


def marker(file: str) -> str:
    """Empty volume whose presence says that the block device `file` of a VM's disk is complete."""
    return f"{file.removesuffix(f'.{RAW}')}.complete"


def draft(file: str) -> str:
    """Volume that the block device `file` is filled from."""
    return f"{file.removesuffix(f'.{RAW}')}.draft"


def disk_of(volume: str) -> tuple[InstanceID, str] | None:
    """VM and disk name of a disk volume; None for any other volume."""
    found = _DISK.fullmatch(volume)
    return (InstanceID(found[1]), found[2]) if found else None


def seed(instance: InstanceID, digest: str) -> str:
    """Volume of the seed with that digest: a new seed is another volume, so a half-written one is never booted from."""
    return f"{instance_id(instance)}-seed-{digest[:16]}.iso"


def stored(volume: str) -> tuple[StoredKind, str] | None:
    """What a volume is by its name, and of which VM, volume, snapshot or image; None for a marker and for what is not ours."""
    content = content_of(volume)
    if content is not None:
        kind = StoredKind.VOLUME if content.kind is Kind.VOLUME else StoredKind.SNAPSHOT
        return (kind, content.identity) if volume == content.file else None
    for kind, pattern in ((StoredKind.DISK, _DISK), (StoredKind.SEED, _SEED), (StoredKind.IMAGE, _STORED_IMAGE)):
        if found := pattern.fullmatch(volume):
            return kind, found[1]
    return None


def belongs(volume: str, instance: InstanceID, form: str = QCOW2) -> bool:
    """Whether the volume is a disk or a seed of the instance, or was made with its disk, in a pool where disks are of that form."""
    return volume.startswith(f"{instance_id(instance)}-") and volume.endswith(_OF_BLOCKS if form == RAW else _OF_VMS)


def is_seed(volume: str, instance: InstanceID) -> bool:
    """Whether the volume is a seed of the instance."""
    return volume.startswith(f"{instance_id(instance)}-seed-") and volume.endswith(".iso")


def is_of_others(file: str, instance: InstanceID) -> bool:
    """Whether a file is one that Vireo made for anything but this VM: a volume, a snapshot, an image, the disk of another VM."""
    disk = disk_of(file)
    return content_of(file) is not None or file.startswith("vireo-image-") or (disk is not None and disk[0] != instance)


def image(name: str) -> str:
    """Volume of a template image. Raises InvalidSpec for a name that would not be one file."""
    return f"vireo-image-{_checked(_IMAGE, name, 'the image name')}.qcow2"


def image_marker(name: str) -> str:
    """Empty volume whose presence says that the image is complete: libvirt cannot rename a volume."""
    return f"vireo-image-{_checked(_IMAGE, name, 'the image name')}.complete"


def pool(name: str) -> str:
    """Name of the pool in libvirt. Raises InvalidSpec unless it is a DNS subdomain."""
    return f"vireo-{_checked(_POOL, name, 'the pool name')}"


def pool_uuid(native: str, cloud: str) -> str:
    """UUID of the libvirt pool `native`, which has no other place for a mark: a Vireo of that cloud defined it.

    "" for a cloud is the mark from before it said which.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://vireo.dev/libvirt/1/pool/{native}{cloud and f'/{cloud}'}"))


def pool_of(native: str, identity: str, cloud: str) -> str | None:
    """Our name of the libvirt pool with this name and UUID; None for one that this cloud did not define.

    One with the mark from before is every cloud's, since nobody can tell whose it is: a cloud that does not declare it lets it go,
    and another one that does defines it again, with its own mark.
    """
    name = native.removeprefix("vireo-")
    ours = name != native and (_POOL.fullmatch(name) or volume_group_of(native)) is not None
    return name if ours and identity in (pool_uuid(native, cloud), pool_uuid(native, "")) else None


def volume_group(name: str) -> str:
    """`name` if a volume group may have it. Raises InvalidSpec."""
    return _checked(_GROUP, name, "the name of the volume group")


def group_pool(group: str) -> str:
    """Name of the pool in libvirt that is the volume group. Raises InvalidSpec for a name that is none."""
    return f"vireo-lvm_{volume_group(group)}"


def volume_group_of(native: str) -> str | None:
    """The volume group that the libvirt pool is by its name; None for any other."""
    group = native.removeprefix("vireo-lvm_")
    return group if group != native and _GROUP.fullmatch(group) else None


def device(group: str, volume: str) -> str:
    """Path of a logical volume on the host, as libvirt names it. Raises InvalidSpec for a name that is none."""
    return f"/dev/{volume_group(group)}/{volume}"


def target(target: ISCSITarget) -> ISCSITarget:
    """`target` if server, port and IQN are well formed. Raises InvalidSpec."""
    _checked(_SERVER, target.server, "the name of the iSCSI server")
    _checked(_IQN, target.name, "the name of the iSCSI target")
    if not 1 <= target.port <= 65535:
        raise InvalidSpec(f"a TCP port is 1 to 65535, not {target.port}")
    return target


def rbd(pool: RBDPool) -> RBDPool:
    """`pool` if monitors, names of pool and user are well formed. Raises InvalidSpec."""
    _checked(_CEPH, pool.pool, "the name of the Ceph pool")
    _checked(_CEPH, pool.user, "the name of the Ceph user")
    if not pool.monitors:
        raise InvalidSpec("a Ceph pool needs a monitor")
    for each in pool.monitors:
        monitor(each)
    return pool


def monitor(text: str) -> dict[str, str]:
    """Name, and port if there is one, of a Ceph monitor, as libvirt's <host> has them. Raises InvalidSpec."""
    name, colon, port = text.partition(":")
    _checked(_SERVER, name, "the name of the Ceph monitor")
    if not colon:
        return {"name": name}
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 1 <= int(port) <= 65535):
        raise InvalidSpec(f"a TCP port is 1 to 65535, not {port[:16]!r}")
    return {"name": name, "port": str(int(port))}


def rbd_image(volume: str) -> str:
    """The image of a volume in a Ceph pool. Raises InvalidSpec for an identity that is not a UUID."""
    return f"vireo-vol-{uuid_text(volume)}"


def rbd_volume(image: str) -> VolumeID | None:
    """The volume of an image; None for any other image."""
    found = _RBD_VOLUME.fullmatch(image)
    return VolumeID(found[1]) if found else None


def secret(pool: str) -> str:
    """UUID of the secret with the key of a Ceph pool, the same on all hosts."""
    return str(uuid.uuid5(_SECRETS, pool))


def initiator(host: str) -> str:
    """The name that the host with this UUID logs in to iSCSI targets with."""
    return f"iqn.2026-01.dev.vireo:{uuid_text(host)}"


def pool_path(path: str) -> str:
    """`path` if a pool may be there: absolute, normal, and not in a directory of the system. Raises InvalidSpec."""
    parts = PurePosixPath(path).parts
    if not _PATH.fullmatch(path) or len(path.encode(errors="replace")) > 1024 or {".", ".."} & set(path.split("/")):
        raise InvalidSpec(f"the pool's path must be absolute and normal: {path[:64]!r}")
    if parts[1] in _SYSTEM:
        raise InvalidSpec(f"a pool cannot be inside the system directory /{parts[1]}")
    return path


def bridge(segment: int) -> str:
    """Name of the bridge of a segment. Raises InvalidSpec for a number that is no VLAN id."""
    return f"vireo-b{_vlan(segment)}"


def port(segment: int) -> str:
    """Name of the bridge's way out. Raises InvalidSpec for a number that is no VLAN id."""
    return f"vireo-u{_vlan(segment)}"


def _vlan(segment: int) -> int:
    if not 1 <= segment <= 4094:
        raise InvalidSpec(f"a VLAN is 1 to 4094, not {segment}")
    return segment


def console_log(instance: InstanceID) -> str:
    """File of the VM's console log in CONSOLE_LOGS. Raises InvalidSpec for an identity that is not a UUID."""
    return f"vireo-{instance_id(instance)}.log"


def export(nfs: NFSExport) -> NFSExport:
    """`nfs` if it can be mounted: the command mount(8) gets it as one word. Raises InvalidSpec."""
    _checked(_SERVER, nfs.server, "the name of the NFS server")
    _checked(_EXPORT, nfs.export, "the path of the NFS export")
    if {".", ".."} & set(nfs.export.split("/")) or len(nfs.export) > 512:
        raise InvalidSpec(f"the path of the NFS export must be normal: {nfs.export[:64]!r}")
    return nfs


class Kind(StrEnum):
    """What a content in a pool is of."""

    VOLUME = "vol"
    SNAPSHOT = "snap"


@dataclass(frozen=True, slots=True)
class Content:
    """A content of a volume or a snapshot. Each that is written anew has the next number, so that none is written over."""

    kind: Kind
    identity: str
    number: int
    form: str = QCOW2

    @property
    def file(self) -> str:
        """The volume with the content. Raises InvalidSpec for an identity that is not a UUID."""
        return f"{self._stem}.{self.form}"

    @property
    def marker(self) -> str:
        """Empty volume whose presence says that the content is complete."""
        return f"{self._stem}.complete"

    def token(self, digest: str, age: int = 0) -> str:
        """Empty volume whose presence says that the request with this `token_digest` has brought the content, or, with an `age` of
        1 to 99, the one that the volume had so many restores before.
        """
        return f"{self._tokens}{digest}-{age}" if age else f"{self._tokens}{digest}"

    def tokens_in(self, listed: Iterable[str]) -> list[str]:
        """Those of `listed` that say which requests have brought the content and those before, the newest first."""
        found = [name for name in listed if name.startswith(self._tokens) and _CONTENT.fullmatch(name)]
        return sorted(found, key=self._age)

    def digests_in(self, listed: Iterable[str]) -> tuple[str, ...]:
        """The `token_digest` of each of these requests, the newest first."""
        return tuple(name.removeprefix(self._tokens).partition("-")[0] for name in self.tokens_in(listed))

    def _age(self, name: str) -> int:
        return int(name.removeprefix(self._tokens).partition("-")[2] or 0)

    @property
    def _tokens(self) -> str:
        return f"{self._stem}.restored-"

    @property
    def _stem(self) -> str:
        return f"vireo-{self.kind}-{uuid_text(self.identity)}.{self.number}"


def token_digest(token: str) -> str:
    """What stands for a request's token in names, since a token is any text: 32 hexadecimal digits."""
    return hashlib.sha256(token.encode(errors="backslashreplace")).hexdigest()[:32]


def content_of(volume: str) -> Content | None:
    """The content that the volume is the file, the marker, the draft or the token of; None for any other volume.

    A file tells its form.
    """
    found = _CONTENT.fullmatch(volume)
    return Content(Kind(found[1]), found[2], int(found[3]), RAW if found[4] == RAW else QCOW2) if found else None


def uuid_text(text: str) -> str:
    """`text` if it is a UUID in lower case with dashes. Raises InvalidSpec."""
    return _checked(_INSTANCE, text, "the identity")


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in lower case with dashes."""
    return _INSTANCE.fullmatch(text) is not None
