"""The formats of picture files: one file for each format, and one line here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from dualpix.errors import PictureError
from dualpix.io.formats.avif import AVIF
from dualpix.io.formats.heif import HEIF
from dualpix.io.formats.jpeg import JPEG
from dualpix.io.formats.jpegxl import JPEG_XL
from dualpix.io.formats.netpbm import NETPBM
from dualpix.io.formats.png import PNG
from dualpix.io.formats.record import Format, Output
from dualpix.io.formats.tiff import TIFF
from dualpix.io.formats.webp import WEBP
from dualpix.io.opening import Header
from dualpix.plugins import Guarded, Origin, each_of, load, other_than

FORMATS: dict[str, Format] = {
    kind.name: kind
    for kind in (
        PNG,
        TIFF,
        JPEG,
        WEBP,
        JPEG_XL,
        AVIF,
        HEIF,
        NETPBM,
    )
}
"""By the name in `Picture.format`. Messages and the page list formats in this order."""

ENDINGS = {ending for kind in FORMATS.values() for ending in kind.endings}
"""The usual name endings of all formats that can be read."""

OUTPUTS: dict[str, Output] = {
    ending: output for kind in FORMATS.values() for output in kind.outputs for ending in output.endings
}
"""How pictures are written, by the ending of the file name."""

FORMAT_OF: dict[str, Format] = {
    ending: kind for kind in FORMATS.values() for output in kind.outputs for ending in output.endings
}
"""The format in which pictures are written, by the ending of the file name."""


def format_of(start: bytes) -> Format | None:
    """The format of a file that starts with these bytes, up to 64 of them; None where it cannot be read."""
    return next((kind for kind in FORMATS.values() if kind.start.match(start)), None)


def any_of(words: Sequence[str]) -> str:
    """A choice between words: "A, B or C"."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def names_of_formats() -> str:
    """All formats that can be read, for a sentence: "PNG, TIFF or JPEG"."""
    return any_of([name for kind in FORMATS.values() for name in kind.names])


def advice(suits: Callable[[Output], bool]) -> str:
    """The first two endings whose formats suit, for advice in an error message: ".png or .tif"."""
    outputs = [output for kind in FORMATS.values() for output in kind.outputs if suits(output)]
    return any_of([output.endings[0] for output in outputs[:2]])


def add_plugins() -> None:
    """Add the formats of other packages, whose modules may import whatever they like of `dualpix.io`."""
    for kind in load("formats", FORMATS, other_than(Format, FORMATS), _guarded, PictureError).values():
        FORMATS[kind.name] = kind
        ENDINGS.update(kind.endings)
        OUTPUTS.update({ending: output for output in kind.outputs for ending in output.endings})
        FORMAT_OF.update({ending: kind for output in kind.outputs for ending in output.endings})


def _guarded(kind: Format, origin: Origin) -> Format:
    """A format of another package: what its functions raise names it, the file and the package."""

    def guarded(record: Any, *names: str) -> Any:
        there = {name: getattr(record, name) for name in names if getattr(record, name) is not None}
        return replace(record, **{name: Guarded(each, origin) for name, each in there.items()})

    outputs = tuple(guarded(output, "encode", "embed", "takes_text", "fit") for output in kind.outputs)
    further = kind.further and Guarded(kind.further, origin, each_of)
    blocks = Guarded(kind.read_blocks, origin, each_of)
    header = Guarded(kind.read_header, origin, _header)
    told = replace(kind, outputs=outputs, read_header=header, read_blocks=blocks, further=further)
    whole: Format = guarded(told, "decode", "tell_colours")
    return whole


def _header(made: Any, file: BinaryIO) -> Header:
    if not isinstance(made, Header):
        raise TypeError(f"read_header gives {type(made).__name__} and not a Header")
    return made
