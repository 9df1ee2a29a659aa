"""XML in and out: elements are built, never formatted, and what comes in is parsed without entities."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from drivers.errors import InvalidSpec, Transient

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(tag: str, attributes: dict[str, str] | None = None, text: str | None = None) -> ET.Element:
    """An element; raises InvalidSpec for text that XML 1.0 cannot carry (control characters, lone surrogates)."""
    made = ET.Element(tag, {key: legal(value) for key, value in (attributes or {}).items()})
    made.text = None if text is None else legal(text)
    return made


def add(parent: ET.Element, tag: str, attributes: dict[str, str] | None = None, text: str | None = None) -> ET.Element:
    """Like `element`, as the last child of `parent`."""
    made = element(tag, attributes, text)
    parent.append(made)
    return made


def legal(text: str) -> str:
    """`text` if XML 1.0 can carry it. Raises InvalidSpec."""
    if _FORBIDDEN.search(text):
        raise InvalidSpec(f"text with control characters cannot be given to libvirt: {text[:40]!r}")
    return text


def render(tree: ET.Element) -> str:
    """The document as text."""
    return ET.tostring(tree, encoding="unicode")


def parse(document: str) -> ET.Element:
    """The root of a document that libvirt sent. Raises Transient for one that is not XML or has a DTD."""
    if "<!DOCTYPE" in document or "<!ENTITY" in document:
        raise Transient("libvirt sent a document with a DTD, which it never does")
    try:
        return ET.fromstring(document)  # noqa: S314  # no DTD, so no entities
    except ET.ParseError as error:
        raise Transient(f"libvirt sent a document that is not XML: {error}") from None
