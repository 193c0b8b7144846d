"""XMP packets as bytes: properties are found by name, changed or cut out where they stand; all else is kept as it is.

A property may be written as an attribute or as an element, and its prefix is the writer's choice, so names are resolved
by namespace (XMP specification, part 1; ISO 16684-1).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from xml.parsers import expat

MARK = b"http://ns.adobe.com/xap/1.0/\0"
"""Stands before the packet in JPEG files, and in PNG texts made from them."""

Name = tuple[str, str]
"""Namespace and local name."""

TIFF, EXIF, XAP = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/", "http://ns.adobe.com/xap/1.0/"
# For packets that do not declare the prefixes they use.
USUAL_PREFIXES = {"tiff": TIFF, "exif": EXIF, "xmp": XAP, "dc": "http://purl.org/dc/elements/1.1/"}
MOST_DEPTH = 1000

TAG = re.compile(rb"<[^\s/>]+((?:\s+[^\s=>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(/?)>")
END_TAG = re.compile(rb"</[^>]*>")
ATTRIBUTE = re.compile(rb"(\s+)([^\s=>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


class Property(NamedTuple):
    """An attribute or element of a packet and its place there.

    Attributes:
        name: Namespace and local name.
        begin: Offset in bytes, with the white space before an attribute.
        end: Offset behind it.
        value: Offsets of the begin and the end of its value.
        plain: Whether the value is text, without elements in it.
    """

    name: Name
    begin: int
    end: int
    value: tuple[int, int]
    plain: bool = True


def properties(packet: bytes) -> list[Property]:
    """All properties, in the order of their ends. Raises ValueError for a packet that is not XML in UTF-8."""
    return _Reader(packet).found


def value_of(packet: bytes, name: Name) -> bytes | None:
    """The first plain value of that name, None if there is none. Raises ValueError as `properties` does."""
    values = (packet[slice(*one.value)] for one in properties(packet) if one.name == name and one.plain)
    return next(values, None)


def edit(packet: bytes, values: Mapping[Name, bytes], unwanted: Callable[[Name], bool]) -> tuple[bytes, list[Name]]:
    """Change and remove properties of a packet.

    Args:
        packet: The packet.
        values: New values by name, for plain properties that are there already; others are not added.
        unwanted: Says by name which properties to remove.

    Returns:
        The new packet, and the names of what was removed.

    Raises:
        ValueError: The packet is not XML in UTF-8.
    """
    changes: list[tuple[int, int, bytes]] = []
    gone = []
    for one in properties(packet):
        if unwanted(one.name):
            changes.append((one.begin, one.end, b""))
            gone.append(one.name)
        elif one.plain and packet[slice(*one.value)] != values.get(one.name, packet[slice(*one.value)]):
            changes.append((*one.value, values[one.name]))
    return _spliced(packet, changes), gone


def _spliced(packet: bytes, changes: Iterable[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for begin, end, value in sorted(changes, key=lambda change: (change[0], -change[1])):
        if begin >= at:  # otherwise it lies inside of what was cut out already
            parts += [packet[at:begin], value]
            at = end
    return b"".join([*parts, packet[at:]])


class _Reader:
    """One pass over a packet: expat reports where tags begin, and regular expressions find their parts from there."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.found: list[Property] = []
        self.open: list[tuple[Name, int, int, dict[str, str]]] = []  # name, begin, end of the tag, prefixes in force
        self.has_children = [False]
        self.start = len(packet) - len(packet.lstrip())
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse
        try:
            packet.decode()
            self.parser.Parse(packet[self.start :].rstrip(b"\0 \r\n\t"), True)
        except expat.ExpatError as error:
            raise ValueError("not XML") from error

    def _refuse(self, *_: Any) -> None:
        raise ValueError("a packet with a document type declaration")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        begin = self.start + self.parser.CurrentByteIndex
        tag = TAG.match(self.packet, begin)
        if tag is None or len(self.open) > MOST_DEPTH:
            raise ValueError("not the XML of a packet")
        declared = {key[6:]: uri for key, uri in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}
        prefixes = (self.open[-1][3] if self.open else USUAL_PREFIXES) | declared
        self.has_children[-1] = True
        self.has_children.append(False)
        self.open.append((_resolved(name, prefixes), begin, tag.end(), prefixes))
        for one in ATTRIBUTE.finditer(self.packet, tag.start(1), tag.end(1)):
            key = one[2].decode()
            quoted = one.span(3) if one[3] is not None else one.span(4)
            # A declaration is removed together with the properties of its namespace, and kept with them.
            is_declaration = key == "xmlns" or key.startswith("xmlns:")
            known = (declared[key[6:]], "") if is_declaration else _resolved(key, prefixes | {"": ""})
            self.found.append(Property(known, one.start(), one.end(), quoted, plain=not is_declaration))

    def _end(self, _: str) -> None:
        name, begin, inside, _prefixes = self.open.pop()
        plain = not self.has_children.pop()
        if self.packet[inside - 2 : inside] == b"/>":
            self.found.append(Property(name, begin, inside, (inside, inside), plain=False))
            return
        at = self.start + self.parser.CurrentByteIndex
        end = END_TAG.match(self.packet, at)
        if end is None:
            raise ValueError("not the XML of a packet")
        self.found.append(Property(name, begin, end.end(), (inside, at), plain))


def _resolved(name: str, prefixes: Mapping[str, str]) -> Name:
    prefix, _, local = name.rpartition(":")
    return prefixes.get(prefix, prefix), local
