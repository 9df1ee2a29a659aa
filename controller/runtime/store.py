"""The latest version of every object, as the API server sent it."""

from __future__ import annotations

import enum
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

from controller.runtime.conditions import READY
from controller.runtime.keys import Key
from controller.runtime.objects import Resource
from controller.runtime.pieces import Pieces

T = TypeVar("T", bound=Resource)

_PARSED_PER_KIND = 256  # parsed objects kept, 17 KB each for a VM; the rest is parsed again from JSON, about 50 µs each
_TOMBSTONES = 16384  # deleted keys whose late events are still recognised
_VOLATILE = ("managedFields", "resourceVersion", "generation")  # not part of what "metadata changed" means


class Part(enum.Flag):
    """What of an object changed."""

    NONE = 0
    CREATED = enum.auto()
    DELETED = enum.auto()
    SPEC = enum.auto()
    """Generation or spec."""
    DELETION = enum.auto()
    """Deletion was asked for."""
    ANNOTATIONS = enum.auto()
    LABELS = enum.auto()
    FINALIZERS = enum.auto()
    """Finalizers, or metadata other than the above."""
    STATUS = enum.auto()


@dataclass(frozen=True, slots=True)
class Change:
    """One accepted change of one object.

    `before` and `after` parse on demand and give None where there is no object, or none that fits its model.  `gone` is the
    uid that
    no longer exists: of a deleted object, or of one that was deleted and created again between two looks.
    """

    key: Key
    parts: Part
    gone: str | None
    before: Callable[[], Any | None]
    after: Callable[[], Any | None]


class Unparsable(ValueError):
    """The stored object doesn't fit its model: written past the schema, or by a version that this one can't read."""

    def __init__(self, key: Key, cause: ValueError) -> None:
        super().__init__(f"{key} does not fit its model: {cause}")
        self.key = key


@dataclass(slots=True)
class _Entry:
    """One object: packed JSON in pieces, so that comparing pieces tells what changed and 10,000 of them stay small."""

    uid: str
    version: int
    generation: int
    metadata: bytes
    spec: bytes
    status: bytes
    settled: bool | None = None
    """See `Store.settled`; None as long as nobody has asked."""


class _Packing:
    """How the pieces of a kind are packed."""

    def __init__(self) -> None:
        self.metadata, self.spec, self.status = Pieces(), Pieces(), Pieces()

    def entry(self, raw: Mapping[str, Any]) -> _Entry:
        """Return what is kept of an object as the API server sent it."""
        metadata = raw["metadata"]
        return _Entry(
            uid=metadata["uid"],
            version=int(metadata["resourceVersion"]),
            generation=int(metadata.get("generation") or 0),
            metadata=self.metadata.pack({name: value for name, value in metadata.items() if name not in _VOLATILE}),
            spec=self.spec.pack(raw.get("spec") or {}),
            status=self.status.pack(raw.get("status") or {}),
        )

    def json(self, entry: _Entry) -> bytes:
        """Return the JSON of an object."""
        head, kept = (
            b'{"resourceVersion":"%d","generation":%d' % (entry.version, entry.generation),
            self.metadata.text(entry.metadata),
        )
        metadata = head + (b"," + kept[1:] if kept != b"{}" else b"}")
        return b'{"metadata":%s,"spec":%s,"status":%s}' % (metadata, self.spec.text(entry.spec), self.status.text(entry.status))

    def difference(self, old: _Entry, new: _Entry) -> Part:
        """Return which parts differ between two versions."""
        parts = Part.NONE
        if old.generation != new.generation or old.spec != new.spec:
            parts |= Part.SPEC
        if old.status != new.status:
            parts |= Part.STATUS
        if old.metadata != new.metadata:
            parts |= _metadata_difference(self.metadata.value(old.metadata), self.metadata.value(new.metadata))
        return parts


_Values = tuple[str | tuple[str, ...], ...]
"""What one object is found under, by index in the order of their declaration; a single text, as nearly always, without a tuple."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is kept per kind."""

    type: type[Any]
    packing: _Packing
    indexes: Mapping[str, Callable[[Any], Iterable[str]]]
    entries: dict[Key, _Entry]
    parsed: OrderedDict[Key, Any]
    by_value: Mapping[str, dict[str, set[Key]]]
    values: dict[Key, _Values]


class _Found(Sequence[T], Generic[T]):
    """Objects that are parsed when their turn comes: thousands of them are never in memory at once.

    Those that vanished meanwhile, or don't fit their model, are passed over.
    """

    def __init__(self, keys: Sequence[Key], parse: Callable[[Key, bool], T | None]) -> None:
        """`parse(key, keep)` gives an object or None; `keep` says that it may well be asked for again soon."""
        self._keys = keys
        self._parse = parse

    def __iter__(self) -> Iterator[T]:
        keep = len(self._keys) <= _PARSED_PER_KIND  # more than that would only push each other out
        found = (self._parse(key, keep) for key in self._keys)
        return (item for item in found if item is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return list(self)[index]


class Store:
    """Latest raw object per key, with declared indexes.

    What `get`, `list` and `by_index` return is shared and read only; the latter two parse while they are gone through, each time
    anew.  Not thread-safe: it lives in the event loop.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._tombstones: OrderedDict[Key, int] = OrderedDict()
        self._complete_at: dict[str, int] = {}

    def register(self, kind: type[T], indexes: Mapping[str, Callable[[T], Iterable[str]]] | None = None) -> None:
        """Accept objects of a kind, before the first of them arrives; each index maps an object to the values it is found
        under.
        """
        declared = dict(indexes or {})
        by_value: dict[str, dict[str, set[Key]]] = {name: defaultdict(set) for name in declared}
        self._kinds[kind.KIND] = _Kind(kind, _Packing(), declared, {}, OrderedDict(), by_value, {})

    def upsert(self, raw: Mapping[str, Any], *, unversioned: bool = False) -> Change | None:
        """Take in an object as the API server sent it, from an event, a list or the reply to a write; `unversioned`: one that it
        doesn't know any more, and so gives no new versions.

        Returns what changed; None when it isn't newer than what is known, deleted ones included.  Raises KeyError for a kind
        that isn't registered.
        """
        kind, metadata = self._kinds[raw["kind"]], raw["metadata"]
        key = Key(kind.type.KIND, sys.intern(metadata.get("namespace") or ""), metadata["name"])
        old = kind.entries.get(key)
        if not unversioned and int(metadata["resourceVersion"]) <= (old.version if old else self._absent_at(key)):
            return None
        new = kind.packing.entry(raw)
        self._tombstones.pop(key, None)
        replaced = old is not None and old.uid != new.uid
        parts = Part.CREATED if old is None or replaced else kind.packing.difference(old, new)
        kind.entries[key] = new
        before = kind.parsed.pop(key, None)
        self._index(kind, key)
        return Change(
            key,
            parts | Part.DELETED if replaced else parts,
            old.uid if old and replaced else None,
            lambda: before or self._parse_quietly(kind, key, old),
            lambda: self._parse_quietly(kind, key, new),
        )

    def delete(self, key: Key, resource_version: str | None = None) -> Change | None:
        """Drop an object; None when there is none, or when what is known is newer than `resource_version`."""
        kind = self._kinds[key.kind]
        old = kind.entries.get(key)
        version = int(resource_version) if resource_version else (old.version if old else -1)
        if old is not None and old.version > version:
            return None
        self._bury(key, version)
        if old is None:
            return None
        before = kind.parsed.pop(key, None)
        del kind.entries[key]
        self._index(kind, key)
        return Change(key, Part.DELETED, old.uid, lambda: before or self._parse_quietly(kind, key, old), lambda: None)

    def prune(self, kind: str, seen: set[Key], resource_version: str) -> Sequence[Change]:
        """Drop what a complete list of a kind didn't have, except what is newer than that list; return what was dropped."""
        missing = [key for key in self._kinds[kind].entries if key not in seen]
        changes = [self.delete(key, resource_version) for key in missing]
        self._complete_at[kind] = max(int(resource_version), self._complete_at.get(kind, -1))
        return [change for change in changes if change is not None]

    def get(self, kind: type[T], name: str, namespace: str = "") -> T | None:
        """Return an object, or None.  Raises Unparsable."""
        known = self._kinds[kind.KIND]
        key = Key(kind.KIND, namespace, name)
        return cast("T", self._parse(known, key)) if key in known.entries else None

    def list(self, kind: type[T], namespace: str | None = None) -> Sequence[T]:
        """Return all objects of a kind (in one namespace), by name; those that don't fit their model are left out."""
        known = self._kinds[kind.KIND]
        return self._found(known, (key for key in known.entries if namespace is None or key.namespace == namespace))

    def by_index(self, kind: type[T], index: str, value: str) -> Sequence[T]:
        """Return the objects that the index lists under a value, by name; those that don't fit their model are left out."""
        known = self._kinds[kind.KIND]
        return self._found(known, known.by_value[index].get(value, ()))

    def keys(self, kind: str) -> Sequence[Key]:
        """Return the keys of all objects of a kind."""
        return list(self._kinds[kind].entries)

    def keys_by_index(self, kind: type[Any], index: str, value: str) -> Sequence[Key]:
        """Return the keys that the index lists under a value, sorted; nothing is parsed: for watches."""
        return sorted(self._kinds[kind.KIND].by_value[index].get(value, ()))

    def size(self, kind: str) -> int:
        """Return how many objects of a kind there are, the kind by its name."""
        return len(self._kinds[kind].entries)

    def uid(self, key: Key) -> str | None:
        """Return the uid of an object, or None when there is none."""
        entry = self._kinds[key.kind].entries.get(key)
        return entry.uid if entry else None

    def version(self, key: Key) -> int | None:
        """Return the resourceVersion of an object, or None when there is none."""
        entry = self._kinds[key.kind].entries.get(key)
        return entry.version if entry else None

    def status(self, key: Key) -> Mapping[str, Any]:
        """Return the raw status of an object; empty when there is none."""
        kind = self._kinds[key.kind]
        entry = kind.entries.get(key)
        return kind.packing.status.value(entry.status) if entry else {}

    def settled(self, key: Key) -> bool:
        """Return whether the status says of the latest generation that it is as declared: nobody waits for this object."""
        kind = self._kinds[key.kind]
        entry = kind.entries.get(key)
        if entry is None:
            return False
        if entry.settled is None:
            status = kind.packing.status.value(entry.status)
            ready = any(each.get("type") == READY and each.get("status") == "True" for each in status.get("conditions") or ())
            entry.settled = ready and status.get("observedGeneration") == entry.generation
        return entry.settled

    def checkout(self, key: Key) -> tuple[Any, dict[str, Any]] | None:
        """Return a private copy of an object to work on, and its raw status; None when there is none.  Raises Unparsable."""
        kind = self._kinds[key.kind]
        entry = kind.entries.get(key)
        if entry is None:
            return None
        return _parse(kind, key, entry), kind.packing.status.value(entry.status)

    def _parse(self, kind: _Kind, key: Key, *, keep: bool = True) -> Any:
        if key in kind.parsed:
            kind.parsed.move_to_end(key)
            return kind.parsed[key]
        parsed = _parse(kind, key, kind.entries[key])
        if keep:
            kind.parsed[key] = parsed
            if len(kind.parsed) > _PARSED_PER_KIND:
                kind.parsed.popitem(last=False)
        return parsed

    def _found(self, kind: _Kind, keys: Iterable[Key]) -> Sequence[Any]:
        def parse(key: Key, keep: bool) -> Any | None:
            return self._parse_quietly(kind, key, kind.entries.get(key), keep=keep)

        return _Found(sorted(keys), parse)

    def _parse_quietly(self, kind: _Kind, key: Key, entry: _Entry | None, *, keep: bool = True) -> Any | None:
        """Parse one version; None when it doesn't fit: the object's own reconcile reports that."""
        if entry is None:
            return None
        try:
            return self._parse(kind, key, keep=keep) if kind.entries.get(key) is entry else _parse(kind, key, entry)
        except Unparsable:
            return None

    def _index(self, kind: _Kind, key: Key) -> None:
        if not kind.indexes:
            return
        obj = self._parse_quietly(kind, key, kind.entries.get(key))
        nothing: _Values = ((),) * len(kind.indexes)
        old, new = kind.values.get(key, nothing), _values(kind, obj) if obj is not None else nothing
        for table, before, after in zip(kind.by_value.values(), old, new, strict=True):
            if before != after:
                _move(table, key, before, after)
        if new != nothing:
            kind.values[key] = new
        else:
            kind.values.pop(key, None)

    def _absent_at(self, key: Key) -> int:
        """Return up to which version it is known that an object which isn't here doesn't exist."""
        return max(self._tombstones.get(key, -1), self._complete_at.get(key.kind, -1))

    def _bury(self, key: Key, version: int) -> None:
        self._tombstones[key] = max(version, self._tombstones.pop(key, -1))
        if len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)


def _values(kind: _Kind, obj: Any) -> _Values:
    """What the indexes find an object under: few different texts for thousands of objects, so each text is kept once."""
    found = (tuple(sys.intern(str(value)) for value in dict.fromkeys(values(obj))) for values in kind.indexes.values())
    return tuple(values[0] if len(values) == 1 else values for values in found)


def _move(table: dict[str, set[Key]], key: Key, before: str | tuple[str, ...], after: str | tuple[str, ...]) -> None:
    """Have one index find a key under other values."""
    for value in (before,) if isinstance(before, str) else before:
        table[value].discard(key)
        if not table[value]:
            del table[value]
    for value in (after,) if isinstance(after, str) else after:
        table[value].add(key)


def _metadata_difference(old: dict[str, Any], new: dict[str, Any]) -> Part:
    named = {"deletionTimestamp": Part.DELETION, "annotations": Part.ANNOTATIONS, "labels": Part.LABELS}
    changed = [part for name, part in named.items() if old.pop(name, None) != new.pop(name, None)]
    parts = Part.NONE
    for part in changed:
        parts |= part
    return parts if old == new else parts | Part.FINALIZERS


def _parse(kind: _Kind, key: Key, entry: _Entry) -> Any:
    try:
        return kind.type.model_validate_json(kind.packing.json(entry))
    except ValueError as error:
        raise Unparsable(key, error) from error
