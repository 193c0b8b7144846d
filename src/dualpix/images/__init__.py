"""The only files that touch picture files: read, write, and find and check the two views of a photograph."""

from dualpix.images.metadata import Metadata
from dualpix.images.pairs import Pair, check_pair, find_pairs, read_pair, require_pair
from dualpix.images.reading import Picture, read_picture, suffix_of
from dualpix.images.writing import check_output, refuse_overwriting_inputs, write_picture

__all__ = [
    "Metadata",
    "Pair",
    "Picture",
    "check_output",
    "check_pair",
    "find_pairs",
    "read_pair",
    "read_picture",
    "refuse_overwriting_inputs",
    "require_pair",
    "suffix_of",
    "write_picture",
]
