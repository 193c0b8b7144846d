"""Which files of a folder are pictures: by the usual endings of their names, and else by their content."""

from pathlib import Path

from dualpix.errors import PictureError
from dualpix.io.formats import ENDINGS, OUTPUTS, format_of
from dualpix.io.headers import stranger
from dualpix.io.opening import start_of
from dualpix.io.reading import suffix_of

SHORT_MARKS = {"BMP": ".bmp", "PBM": ".pbm", "PAM": ".pam"}  # two letters, with which a text may begin as well
NO_PICTURES = {"PDF"}
OTHERWISE = ".tif"


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture of a kind that is read, or is one whatever it is called."""
    return path.suffix.lower() in ENDINGS or format_of(start_of(path)) is not None


def unreadable_kind(path: Path) -> str | None:
    """The kind of a picture file that cannot be read ("GIF"), by its content; None for all other files."""
    kind = stranger(start_of(path))
    return (
        None if kind in NO_PICTURES or path.suffix.lower() != SHORT_MARKS.get(kind or "", path.suffix.lower()) else kind
    )


def output_ending(path: Path) -> str:
    """For what is made of a file: its own ending if that is written, else the usual one of its format, or .tif."""
    if path.suffix.lower() in OUTPUTS:
        return path.suffix
    try:
        return written_ending(suffix_of(path))
    except PictureError:
        return OTHERWISE


def written_ending(ending: str) -> str:
    """The same ending if it is one that is written, else .tif."""
    return ending if ending in OUTPUTS else OTHERWISE
