"""Put metadata into a picture file that is already encoded, as far as its format has a place for it."""

from dataclasses import replace

from dualpix.errors import PictureError, option
from dualpix.io.formats import FORMAT_OF, OUTPUTS, advice
from dualpix.io.formats.record import Order, Size
from dualpix.io.metadata import Metadata, fits_channels
from dualpix.io.profiles import is_srgb
from dualpix.io.texts import named
from dualpix.io.updating import updated
from dualpix.machine.urls import Location


def check_metadata(path: Location, metadata: Metadata) -> None:
    """Check, before any work, that a file of this ending can keep the colours of a picture with this metadata.

    Raises:
        PictureError: The picture has a colour profile other than sRGB, and the format cannot hold one.
    """
    suffix = path.suffix.lower()
    if OUTPUTS[suffix].srgb_only and not is_srgb(metadata.icc):
        what = f"the views carry a colour profile other than sRGB, which a {suffix} written here cannot hold"
        others = advice(lambda output: output.embed is not None and not output.srgb_only)
        raise PictureError(
            f"{path} was not written: {what}; choose {others}, or leave the metadata out ({option('strip-metadata')})."
        )


def select(metadata: Metadata, suffix: str, channels: int, size: Size) -> tuple[Metadata, list[str]]:
    """Choose what of the metadata a file can hold, brought up to date with the new file (see `updating`).

    Args:
        metadata: Of the picture that was read.
        suffix: Ending of the file to be written, one of OUTPUTS.
        channels: 1 for grey, 3 for colour.
        size: Width and height in pixels.

    Returns:
        The metadata to be written, and a sentence for each part that is left out.
    """
    output = OUTPUTS[suffix]
    if output.embed is None:
        parts = {
            "the colour profile": metadata.icc,
            "EXIF": metadata.exif,
            "XMP": metadata.xmp,
            "IPTC": metadata.photoshop,
            "the pixels per inch": metadata.density,
            f"texts ({named(metadata.texts)})": metadata.texts,
        }
        lost = ", ".join(name for name, part in parts.items() if part)
        return Metadata(), [f"A {suffix} file holds no metadata; left out: {lost}."] if lost else []
    metadata, notes = updated(metadata, FORMAT_OF[suffix].mime_type, size, output.takes_density)
    kept = tuple(text for text in metadata.texts if output.takes_text(text))
    if unkept := [text for text in metadata.texts if text not in kept]:
        notes.append(f"A {suffix} file has no place for the texts {named(unkept)}: they are left out.")
    metadata = replace(metadata, texts=kept)
    if output.srgb_only:
        metadata = replace(metadata, icc=None)
    if not output.takes_iptc and metadata.photoshop:
        notes.append(f"A {suffix} file has no place for IPTC (caption, keywords, by-line): it is left out.")
        metadata = replace(metadata, photoshop=None)
    if not fits_channels(metadata.icc, channels if channels in output.channels else 3):
        notes.append("The colour profile is for pictures with another number of channels: it is left out.")
        metadata = replace(metadata, icc=None)
    if output.fit:
        metadata, more = output.fit(metadata, size)
        notes += more
    return metadata, notes


def embed(data: bytes, suffix: str, metadata: Metadata) -> bytes:
    """Insert `metadata`, as chosen by `select`, into the encoded file `data`, where its format keeps each block."""
    put = OUTPUTS[suffix].embed
    return put(data, metadata) if put and (metadata.density or not metadata.is_bare) else data


def byte_order(exif: bytes | None) -> Order:
    """The byte order of an EXIF block; a TIFF file that is to hold the block must be written in the same order."""
    return ">" if exif and exif.startswith(b"MM") else "<"
