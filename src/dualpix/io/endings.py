"""Which files of a folder are pictures: decided by their name endings, otherwise by their content."""

from pathlib import Path

from dualpix.errors import PictureError
from dualpix.io.formats import ENDINGS, OUTPUTS, format_of
from dualpix.io.headers import stranger
from dualpix.io.opening import start_of
from dualpix.io.reading import suffix_of
from dualpix.machine.urls import Location, Url

SHORT_MARKS = {"BMP": ".bmp", "PBM": ".pbm", "PAM": ".pam"}  # known by two letters, which may also begin a text file
NO_PICTURES = {"PDF"}
OTHERWISE = ".tif"


def is_picture(path: Path) -> bool:
    """Whether a file has the ending of a format that can be read, or the content of one whatever its ending."""
    return path.suffix.lower() in ENDINGS or format_of(start_of(path)) is not None


def unreadable_kind(path: Path) -> str | None:
    """The format of a picture file that cannot be read, such as "GIF", by its content; None for all other files."""
    kind = stranger(start_of(path))
    return (
        None if kind in NO_PICTURES or path.suffix.lower() != SHORT_MARKS.get(kind or "", path.suffix.lower()) else kind
    )


def output_ending(path: Location) -> str:
    """The ending for a result made from `path`: its own if it can be written, else its format's usual one, or .tif.

    For a file elsewhere, which is not read only for that, the second is .tif too.
    """
    if path.suffix.lower() in OUTPUTS:
        return path.suffix
    if isinstance(path, Url):
        return OTHERWISE
    try:
        return written_ending(suffix_of(path))
    except PictureError:
        return OTHERWISE


def written_ending(ending: str) -> str:
    """The same ending if files of it can be written, else .tif."""
    return ending if ending in OUTPUTS else OTHERWISE
