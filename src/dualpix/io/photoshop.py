"""Photoshop's image resources, in which JPEG and TIFF files keep IPTC: caption, keywords, by-line."""

import struct
from collections.abc import Iterator

MARK = b"Photoshop 3.0\0"
IPTC = 0x0404
# Those about the photograph: IPTC, the copyright flag, its web address, the digest of the IPTC. All others concern the
# old file: its thumbnails, layers and print settings.
KEPT = {IPTC, 0x040A, 0x040B, 0x0425}


def resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each image resource. Raises ValueError where they are damaged."""
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
    """Only the resources whose numbers are in `KEPT`. Raises ValueError where they are damaged."""
    return b"".join(resource(number, content) for number, content in resources(data) if number in KEPT and content)


def resource(number: int, content: bytes) -> bytes:
    """One image resource as bytes, without a name."""
    head = b"8BIM" + struct.pack(">HHI", number, 0, len(content))
    return head + content + b"\0" * (len(content) % 2)


def iptc_of(data: bytes) -> bytes:
    """The IPTC records among image resources; empty if there are none or the resources are damaged."""
    try:
        return next((content for number, content in resources(data) if number == IPTC), b"")
    except ValueError:
        return b""


def to_text(data: bytes) -> bytes:
    """Image resources as PNG files carry them: a text of name, length and hexadecimal digits (ImageMagick's way)."""
    digits = data.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\niptc\n%8d\n%s\n" % (len(data), lines)
