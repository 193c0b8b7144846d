"""What a picture file says about its photograph, kept as the bytes it is; pixels are not touched here."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice

from dualpix.errors import PictureError
from dualpix.io import exif as blocks
from dualpix.io import photoshop, xmp
from dualpix.io.opening import Header
from dualpix.io.texts import LARGEST_BYTES, Text, TooLongError

MOST_PARTS = 2**18
NAMES = {"icc": "Its colour profile", "exif": "Its EXIF block", "xmp": "Its XMP packet", "photoshop": "Its IPTC block"}
NAMES |= {"iptc": NAMES["photoshop"], "density": "Its pixel density"}


# What a format yields while its metadata are read: (name, block); a text; a description of what cannot be carried over;
# an error where a part is damaged or too long; None for everything else.
Found = Iterator[tuple[str, bytes] | Text | str | ValueError | None]
CREDENTIALS = "its content credentials (C2PA), which are signed for the old file"
GAIN_MAP, DEPTH_MAP = "a gain map", "a depth map"
INCH_M, INCH_CM = 0.0254, 2.54


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture besides the pixels.

    Attributes:
        icc: The ICC colour profile.
        exif: The EXIF block, a TIFF stream from its byte order mark on.
        xmp: The XMP packet.
        orientation: The EXIF orientation, 1 to 8; it takes precedence over what `exif` and `xmp` state.
        software: Processing note to be written as EXIF's Software.
        photoshop: Photoshop's image resources, which hold IPTC.
        density: Pixels per inch, horizontal and vertical.
        texts: Title, author, copyright or comment.
        left_out: What could not be read or cannot be carried over, one sentence each.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    software: str | None = None
    photoshop: bytes | None = None
    density: tuple[float, float] | None = None
    texts: tuple[Text, ...] = ()
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but perhaps an orientation and a pixel density."""
        return not (self.icc or self.exif or self.xmp or self.software or self.photoshop or self.texts)


def per_inch(across: float, down: float) -> tuple[str, bytes]:
    """A resolution in pixels per inch, horizontal and vertical, as an item of `Found`."""
    return "density", struct.pack("dd", across, down)


def counts_of(density: tuple[float, float] | None, unit_inch: float, limit: int) -> list[int]:
    """A resolution as whole numbers per unit of length.

    Args:
        density: Pixels per inch, horizontal and vertical.
        unit_inch: The unit in inches, for example INCH_M for pixels per metre.
        limit: The first number that the file format can no longer hold.

    Returns:
        Two numbers, horizontal and vertical; an empty list if either is 0 or reaches the limit.
    """
    counts = [round(min(value / unit_inch, limit)) for value in density or ()]
    return counts if all(0 < count < limit for count in counts) else []


def sealed(data: bytes) -> str:
    """A description of a JUMBF block, most of which hold content credentials (C2PA)."""
    return CREDENTIALS if b"c2pa" in data[:4096] else "a JUMBF block"


def read_metadata(parts: Found, header: Header) -> Metadata:
    """Collect the metadata of a picture file.

    A damaged block is left out and mentioned in `Metadata.left_out`; it is no error, since the picture itself is still
    good.

    Args:
        parts: What the file's format yields.
        header: The file's header; an orientation in it takes precedence over EXIF and XMP.
    """
    found: dict[str, bytes] = {}
    texts, gone, notes = [], [], []
    try:
        for item in islice(parts, MOST_PARTS):
            if isinstance(item, Text):
                texts.append(item)
            elif isinstance(item, str):
                gone.append(item)
            elif isinstance(item, ValueError):
                notes.append(
                    TOO_LONG if isinstance(item, TooLongError) else "A part of its metadata is damaged: it is left out."
                )
            elif item and len(item[1]) > LARGEST_BYTES:
                notes.append(f"{NAMES[item[0]]} is longer than {LARGEST_BYTES // 2**20} MB: it is left out.")
            elif item and item[1]:
                found.setdefault(*item)
    except (ValueError, IndexError, PictureError):
        notes.append("Its metadata is damaged: what follows the damage is left out.")
    if sum(len(text.text) for text in texts) > LARGEST_BYTES:
        texts = []
        notes.append(TOO_LONG)
    if gone:
        notes.append(f"Left out: {', '.join(dict.fromkeys(gone))}.")
    exif, more = _sound_exif(found.get("exif"))
    metadata = Metadata(
        found.get("icc"),
        exif,
        found.get("xmp"),
        photoshop=_of_photograph(found),
        density=_density(found),
        texts=tuple(texts),
        left_out=tuple(dict.fromkeys([*notes, *more])),
    )
    return replace(metadata, orientation=_orientation(metadata, header))


TOO_LONG = f"A part of its metadata is longer than {LARGEST_BYTES // 2**20} MB: it is left out."


def _sound_exif(exif: bytes | None) -> tuple[bytes | None, list[str]]:
    """The block if it can be read and changed; otherwise None and a sentence that says why."""
    if exif is None:
        return None, []
    try:
        blocks.check(exif)
    except ValueError as error:
        return None, [f"Its EXIF block cannot be used ({error}): it is left out."]
    return exif, []


def _of_photograph(found: dict[str, bytes]) -> bytes | None:
    """The image resources that describe the photograph, and IPTC records that the file keeps outside of them."""
    kept = b""
    with suppress(ValueError):  # a damaged one counts as none
        kept = photoshop.of_photograph(found.get("photoshop", b""))
    if not photoshop.iptc_of(kept) and (iptc := found.get("iptc")):
        kept += photoshop.resource(photoshop.IPTC, iptc)
    return kept or None


def _density(found: dict[str, bytes]) -> tuple[float, float] | None:
    across, down = struct.unpack("dd", found.get("density", bytes(16)))
    return (across, down) if across > 0 and down > 0 else None


def _orientation(metadata: Metadata, header: Header) -> int:
    """The header's orientation if it has one, else that of EXIF, else that of XMP, else 1."""
    if header.orientation is not None:
        return header.orientation
    if metadata.exif is not None:
        block = blocks.open_block(BytesIO(metadata.exif))
        first = blocks.read_directory(block, block.first)
        if blocks.ORIENTATION in first:
            return blocks.orientation_of(first, block.order)
    return orientation_of(metadata.xmp) or 1


def orientation_of(packet: bytes | None) -> int | None:
    """The orientation that an XMP packet states, 1 to 8; None where it states none."""
    try:
        value = (xmp.value_of(packet or b"<x/>", (xmp.TIFF, "Orientation")) or b"").strip()
    except ValueError:
        return None
    return int(value) if value in {b"%d" % number for number in range(1, 9)} else None


def fits_channels(icc: bytes | None, channels: int) -> bool:
    """Whether a profile suits pictures of so many channels; data that are not an ICC profile at all are let through."""
    return icc is None or icc[36:40] != b"acsp" or icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ")
