"""The only files that touch picture files: read, write, and find and check the two views of a photograph."""

from dualpix.images.given import Given, PictureLike, as_picture
from dualpix.images.inspection import Inspection, check_pair, inspect_views
from dualpix.images.metadata import Metadata
from dualpix.images.pairs import Pair, find_pairs, name_of, read_pair, require_pair
from dualpix.images.reading import Picture, read_picture, suffix_of
from dualpix.images.views import SOURCES, Views, open_views, turn_back, usual_suffix
from dualpix.images.writing import check_output, refuse_overwriting_inputs, write_picture

__all__ = [
    "SOURCES",
    "Given",
    "Inspection",
    "Metadata",
    "Pair",
    "Picture",
    "PictureLike",
    "Views",
    "as_picture",
    "check_output",
    "check_pair",
    "find_pairs",
    "inspect_views",
    "name_of",
    "open_views",
    "read_pair",
    "read_picture",
    "refuse_overwriting_inputs",
    "require_pair",
    "suffix_of",
    "turn_back",
    "usual_suffix",
    "write_picture",
]
