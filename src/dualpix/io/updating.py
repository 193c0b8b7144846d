"""Bring the metadata of a photograph up to date with the file that they are written into.

What they say about the photograph is kept byte for byte. What they say about the file they came from (its size, its
thumbnail, further pictures and films in it) is corrected or removed.
"""

from dataclasses import replace
from io import BytesIO

from dualpix.io import exif as blocks
from dualpix.io import xmp
from dualpix.io.exif_edits import with_size, without_thumbnail
from dualpix.io.metadata import Metadata, orientation_of

ORIENTATION = (xmp.TIFF, "Orientation")
FORMAT = ("http://purl.org/dc/elements/1.1/", "format")

GOOGLE, APPLE = "http://ns.google.com/photos/", "http://ns.apple.com/"
# XMP namespaces that only describe what is attached to the picture in its file: gain maps, depth maps, films, sounds.
ATTACHMENTS = (
    "http://ns.adobe.com/hdr-gain-map/",
    *(
        GOOGLE + name
        for name in ("1.0/container/", "dd/1.0/", "1.0/depthmap/", "1.0/image/", "1.0/audio/", "1.0/focus/")
    ),
    *(APPLE + name for name in ("HDRGainMap/", "HDRToneMap/", "depthData/", "depthBlurEffect/", "pixeldatainfo/")),
    *(APPLE + name for name in ("portraitEffectsMatte/", "semanticSegmentationMatte/")),
)
FILMS = (GOOGLE + "1.0/camera/", ("MotionPhoto", "MicroVideo", "RelatedMedia"))
EXTENSION = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")
THUMBNAILS = (xmp.XAP, "Thumbnails")
# XMP properties of how the pixels were stored in the old file.
STORED = {(xmp.TIFF, name) for name in ("BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel",
                                        "PlanarConfiguration", "YCbCrSubSampling")}  # fmt: skip
# The same as tags of EXIF's main directory, which are needed in TIFF files only.
STORED_TAGS = frozenset({258, 259, 262, 273, 277, 278, 279, 284, 530})

NO_ATTACHMENTS = "XMP described a gain map, a depth map, a film or a sound in the file, which is not carried over"
NO_THUMBNAIL = "The thumbnail showed the blurred view: it is left out."


def updated(
    metadata: Metadata, mime_type: str, size: tuple[int, int], takes_density: bool
) -> tuple[Metadata, list[str]]:
    """Bring metadata up to date with the file they are going to be written into.

    Args:
        metadata: Of the picture that was read, with the orientation and the processing note to be written.
        mime_type: Of the new file.
        size: Width and height of the new picture in pixels.
        takes_density: Whether the format has a place of its own for pixels per inch, so that EXIF need not state them.

    Returns:
        The metadata to be written, and a sentence for each part that is left out.
    """
    packet, notes = _updated_xmp(metadata, mime_type, size)
    metadata = replace(metadata, xmp=packet)
    exif, more = _updated_exif(metadata, size, takes_density)
    return replace(metadata, exif=exif), list(dict.fromkeys([*more, *notes]))


def _updated_exif(metadata: Metadata, size: tuple[int, int], takes_density: bool) -> tuple[bytes | None, list[str]]:
    given = (metadata.exif or b"").removeprefix(blocks.MARK)
    try:
        exif = without_thumbnail(given) if given else blocks.EMPTY
        notes = [] if not given or exif == given else [NO_THUMBNAIL]
        exif = with_size(exif, *size)
        block = blocks.open_block(BytesIO(exif))
        blocks.check(exif)
        first = blocks.read_directory(block, block.first)
        stored = STORED_TAGS & first.keys()
        changes = _changes(metadata, first, block.order, takes_density)
        if changes or stored:
            exif = blocks.amend(exif, changes, stored)
    except ValueError as error:
        fresh, notes = _updated_exif(replace(metadata, exif=None), size, takes_density)
        return fresh, [f"The EXIF block cannot be used ({error}): it is left out.", *notes]
    return (exif if given or changes else None), notes


def _changes(metadata: Metadata, first: blocks.Directory, order: str, takes_density: bool) -> blocks.Directory:
    """The entries to be set in EXIF's main directory."""
    changes: blocks.Directory = {}
    told = blocks.ORIENTATION in first or orientation_of(metadata.xmp) != metadata.orientation
    if told and metadata.orientation != blocks.orientation_of(first, order):
        changes[blocks.ORIENTATION] = blocks.short(metadata.orientation, order)
    if metadata.software:
        changes[blocks.SOFTWARE] = blocks.text(metadata.software)
    if metadata.density and not takes_density and blocks.X_RESOLUTION not in first:
        changes |= blocks.density(*metadata.density, order)
    return changes


def _updated_xmp(metadata: Metadata, mime_type: str, size: tuple[int, int]) -> tuple[bytes | None, list[str]]:
    if metadata.xmp is None:
        return None, []
    width, height = (b"%d" % side for side in size)
    values = {
        ORIENTATION: b"%d" % metadata.orientation,
        (xmp.TIFF, "ImageWidth"): width,
        (xmp.TIFF, "ImageLength"): height,
        (xmp.EXIF, "PixelXDimension"): width,
        (xmp.EXIF, "PixelYDimension"): height,
        FORMAT: mime_type.encode(),
    }
    try:
        packet, gone = xmp.edit(metadata.xmp, values, _is_unwanted)
    except ValueError:
        return None, ["The XMP packet is not valid XML: it is left out."]
    notes = [NO_THUMBNAIL] if THUMBNAILS in gone else []
    if EXTENSION in gone:
        notes.append("Extended XMP, which lies outside of the main packet, is left out.")
    if any(_is_attachment(name) for name in gone):
        notes.append(f"{NO_ATTACHMENTS}; these entries are left out.")
    return packet, notes


def _is_unwanted(name: xmp.Name) -> bool:
    return name in STORED or name in (EXTENSION, THUMBNAILS) or _is_attachment(name)


def _is_attachment(name: xmp.Name) -> bool:
    namespace, local = name
    return namespace.startswith(ATTACHMENTS) or (namespace == FILMS[0] and local.startswith(FILMS[1]))
