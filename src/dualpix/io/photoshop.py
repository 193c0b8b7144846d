"""Photoshop's image resources, which is how JPEG and TIFF files carry IPTC: caption, keywords, by-line."""

import struct
from collections.abc import Iterator

MARK = b"Photoshop 3.0\0"
IPTC = 0x0404
# What describes the photograph: IPTC, the flag that it is protected by copyright, its address, the digest of the IPTC.
# The others are of the old file: its thumbnails, its layers, its print settings.
KEPT = {IPTC, 0x040A, 0x040B, 0x0425}


def resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each. Raises ValueError where they are damaged."""
    at = 0
    while at + 12 <= len(data):
        if data[at : at + 4] not in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
            raise ValueError("damaged image resources")
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        at += 6 + name + name % 2
        if at + 4 > len(data):
            raise ValueError("damaged image resources")
        (length,) = struct.unpack_from(">I", data, at)
        content = data[at + 4 : at + 4 + length]
        if len(content) < length:
            raise ValueError("damaged image resources")
        yield number, content
        at += 4 + length + length % 2


def of_photograph(data: bytes) -> bytes:
    """Those of `KEPT`, as resources. Raises ValueError where they are damaged."""
    return b"".join(resource(number, content) for number, content in resources(data) if number in KEPT and content)


def resource(number: int, content: bytes) -> bytes:
    """One, as bytes."""
    head = b"8BIM" + struct.pack(">HHI", number, 0, len(content))
    return head + content + b"\0" * (len(content) % 2)


def iptc_of(data: bytes) -> bytes:
    """The records of IPTC among resources; empty if there are none, or where they are damaged."""
    try:
        return next((content for number, content in resources(data) if number == IPTC), b"")
    except ValueError:
        return b""


def to_text(data: bytes) -> bytes:
    """Resources as PNG files carry them: a name, a length, hexadecimal digits (ImageMagick's convention)."""
    digits = data.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\niptc\n%8d\n%s\n" % (len(data), lines)
