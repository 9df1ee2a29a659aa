"""Contents of volumes and of their snapshots in a pool: each is complete, or does not count.

A content is written under the next number that its volume has not used, then an empty marker is made beside it: that is the
moment from which it is the volume's content. What went before is removed after that. So a volume has its old content or its new
one whenever somebody looks, and what an interrupted write left is nobody's and goes with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.errors import Busy, DriverError, InvalidSpec, NoRoom, NotFound
from drivers.kvm import errors, names
from drivers.kvm.names import Content, Kind
from drivers.kvm.store import blocks, pools, volumes
from drivers.kvm.store.groups import GroupPool
from drivers.kvm.xmltext import parse
from drivers.types import ObservedVolume, PoolContents, SnapshotID, VMDisk, VolumeID, VolumeSnapshot, remember


class Taken(Busy):
    """Somebody else has made, or is making, what was to be made under the same number."""


def find(pool: Any, kind: Kind, identity: str) -> Content | None:
    """The complete content of the volume or snapshot, or None."""
    listed = set(volumes.names_in(pool))
    whole = [content for content in _all(pool, listed, kind, identity) if {content.file, content.marker} <= listed]
    return max(whole, key=lambda content: content.number, default=None)


def get(pool: Any, kind: Kind, identity: str) -> Content:
    """Like `find`, but raises NotFound."""
    found = find(pool, kind, identity)
    if found is None:
        what = "volume" if kind is Kind.VOLUME else "snapshot"
        raise NotFound(f"the {what} {identity} is not in its pool")
    return found


def brought_by(pool: Any, content: Content, token: str) -> bool:
    """Whether the request `token` has brought this content, or one before it, as far back as that is remembered."""
    return names.token_digest(token) in content.digests_in(volumes.names_in(pool))


def note_tokens(pool: Any, file: str, token: str, replaced: Content) -> None:
    """Say which request brings the content that is being made in `file`, and which brought `replaced` and those before it.

    That counts from the moment when the content does, and goes with it. In between, the caller must see that `replaced` is still
    the volume's content: else what is carried over may be less than the volume had.
    """
    content = names.content_of(file)
    assert content is not None
    earlier = replaced.digests_in(volumes.names_in(pool))
    for age, digest in enumerate(remember(names.token_digest(token), earlier)):
        volumes.create_empty(pool, content.token(digest, age))


def make(pool: Any, kind: Kind, identity: str, fill: Callable[[str], None]) -> None:
    """Let `fill` write a content into the file that it is told, and make it that of the volume or snapshot.

    What somebody else has made under the same number meanwhile, as after a long sleep of ours, is theirs and stays.
    Raises Busy for that, and where the host is still writing a logical volume for it.
    """
    if blocks.form(pool) == names.RAW:
        _tidy(pool, kind, identity)
    used = _all(pool, set(volumes.names_in(pool)), kind, identity)
    content = Content(kind, identity, max((other.number for other in used), default=-1) + 1, blocks.form(pool))
    try:
        fill(content.file)
        volumes.create_empty(pool, content.marker)
    except Taken:
        raise
    except BaseException:
        with suppress(libvirt.libvirtError, DriverError):
            if volumes.find(pool, content.marker) is None:
                discard(pool, content)
        raise
    for other in sorted(used, key=lambda other: other.number):
        with suppress(Busy):
            discard(pool, other)


def _tidy(pool: Any, kind: Kind, identity: str) -> None:
    """Remove what broke off, and what an older content left: each would take its full size."""
    whole = find(pool, kind, identity)
    for content in _all(pool, set(volumes.names_in(pool)), kind, identity):
        if content != whole:
            discard(pool, content)


def drop_older(pool: Any, content: Content) -> None:
    """Remove what this complete content has replaced, where whoever made it did not live to do so."""
    used = _all(pool, set(volumes.names_in(pool)), content.kind, content.identity)
    for other in sorted(used, key=lambda other: other.number):
        if other.number < content.number:
            with suppress(Busy):
                discard(pool, other)


def drop_replaced(pool: Any) -> None:
    """Remove every content that a complete newer one has replaced: whoever made that did not live to do so.

    Nobody uses one: it is replaced only while no VM has it, and no call on its volume begins with it any more. One that can't be
    removed, as somebody has it open, stays until the next time.
    """
    listed = set(volumes.names_in(pool))
    contents = {replace(content, form=blocks.form(pool)) for content in map(names.content_of, listed) if content is not None}
    newest: dict[tuple[Kind, str], int] = {}
    for content in contents:
        if {content.file, content.marker} <= listed:
            newest[content.kind, content.identity] = max(content.number, newest.get((content.kind, content.identity), 0))
    for content in sorted(contents, key=lambda content: content.number):
        if content.number < newest.get((content.kind, content.identity), 0):
            with suppress(Busy, libvirt.libvirtError):
                discard(pool, content)


def remove(pool: Any, kind: Kind, identity: str) -> None:
    """Remove all contents, complete or not. Raises Busy while one is still being written."""
    for content in sorted(_all(pool, set(volumes.names_in(pool)), kind, identity), key=lambda content: content.number):
        discard(pool, content)


def discard(pool: Any, content: Content) -> None:
    """Remove the marker, then the content: half of it never counts. Raises Busy while it is being written."""
    volumes.remove(pool, content.marker)
    volumes.remove(pool, content.file)
    for token in content.tokens_in(volumes.names_in(pool)):
        volumes.remove(pool, token)
    if content.form == names.RAW:
        volumes.remove(pool, names.draft(content.file))


def copy(pool: Any, name: str, source: str, size: int) -> None:
    """Make the volume `name` of `size` bytes with the content of the volume `source`, on which it does not depend.

    Raises InvalidSpec if the source is larger, NoRoom if the pool has too little for what the source has in it, Taken for a name
    that is there.
    """
    volumes.check_size(size)
    original = volumes.get(pool, source)
    _kind, capacity, allocation = original.info()
    rounded = volumes.rounded(size)
    if capacity > rounded:
        raise InvalidSpec(f"a volume of {size} bytes is too small for its source, which has {capacity}")
    if isinstance(pool, GroupPool):
        blocks.write(pool, name, size, source)
        return
    available = int(pool.info()[3])
    if allocation > available:
        raise NoRoom.of("the pool", allocation, available)
    try:
        made = pool.createXMLFrom(volumes.description(name, rounded), original, 0)
    except libvirt.libvirtError as error:
        if errors.code(error) in volumes.EXISTS and _appeared(pool, name):
            raise Taken(f"somebody else has made {name} meanwhile") from None
        raise
    if int(made.info()[1]) < rounded:
        made.resize(rounded, 0)


def _appeared(pool: Any, name: str) -> bool:
    """Whether there is such a volume, known to libvirt yet or not."""
    pools.reread(pool)
    return volumes.find(pool, name) is not None


def path(pool: Any, name: str) -> str:
    """Where the volume is on the host, or will be."""
    if isinstance(pool, GroupPool) and name.endswith(f".{names.RAW}"):
        return pool.device(name)
    directory = parse(pool.XMLDesc(0)).findtext("target/path", "").rstrip("/")
    return str(PurePosixPath(directory) / name)


def read(pool: Any) -> PoolContents:
    """All in the pool under our names. Its directory must have been read just now."""
    known = {str(volume.name()): volume for volume in pool.listAllVolumes(0)}
    sizes = {name: int(volume.info()[1]) for name, volume in known.items() if _ours(name)}
    directory = PurePosixPath(path(pool, ""))
    paths = {name: path(pool, name) if name.endswith(f".{names.RAW}") else str(directory / name) for name in sizes}
    disks = [
        VMDisk(owner[0], owner[1], paths[name], size) for name, size in sizes.items() if (owner := names.disk_of(name)) is not None
    ]
    whole: dict[tuple[Kind, str], Content] = {}
    for content in sorted(filter(None, map(names.content_of, sizes)), key=lambda content: content.number):
        if content.marker in known:
            whole[content.kind, content.identity] = content
    found = [(content, paths[content.file], sizes[content.file]) for content in whole.values()]
    return PoolContents(
        disks=tuple(disks),
        volumes=tuple(ObservedVolume(VolumeID(c.identity), path, size) for c, path, size in found if c.kind is Kind.VOLUME),
        snapshots=tuple(VolumeSnapshot(SnapshotID(c.identity), path, size) for c, path, size in found if c.kind is Kind.SNAPSHOT),
    )


def _ours(name: str) -> bool:
    return name.endswith((".qcow2", ".raw")) and (names.disk_of(name) is not None or names.content_of(name) is not None)


def _all(pool: Any, listed: set[str], kind: Kind, identity: str) -> set[Content]:
    names.uuid_text(identity)
    contents = filter(None, map(names.content_of, listed))
    form = blocks.form(pool)
    return {replace(content, form=form) for content in contents if (content.kind, content.identity) == (kind, identity)}
