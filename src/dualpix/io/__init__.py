"""Read and write picture files: formats, colour profiles and metadata.

No other package knows how a picture lies in a file. Everything here handles one picture at a time; pairs are in
`dualpix.pairs`.
"""

from dualpix.io import formats
from dualpix.io.given import Given, PictureLike, as_picture
from dualpix.io.metadata import Metadata
from dualpix.io.reading import Picture, read_picture, suffix_of
from dualpix.io.writing import check_output, refuse_overwriting_inputs, write_picture

__all__ = [
    "Given",
    "Metadata",
    "Picture",
    "PictureLike",
    "as_picture",
    "check_output",
    "read_picture",
    "refuse_overwriting_inputs",
    "suffix_of",
    "write_picture",
]

formats.add_plugins()
