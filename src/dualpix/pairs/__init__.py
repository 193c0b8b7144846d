"""The two views of one photograph: found in folders, read from one file or two, compared, mirrored and turned."""

from dualpix.pairs import sources
from dualpix.pairs.sources import SOURCES, Views, open_views, usual_suffix
from dualpix.pairs.turning import TURNS, inspection_of, lay_along_rows, restore_orientation
from dualpix.pairs.verdict import Inspection, check_pair, inspect_views
from dualpix.pairs.views import Pair, find_pairs, name_of, read_pair, require_pair
from dualpix.tables import former_names

__all__ = [
    "SOURCES",
    "TURNS",
    "Inspection",
    "Pair",
    "Views",
    "check_pair",
    "find_pairs",
    "inspect_views",
    "inspection_of",
    "lay_along_rows",
    "name_of",
    "open_views",
    "read_pair",
    "require_pair",
    "restore_orientation",
    "usual_suffix",
]

__getattr__ = former_names(__name__, {"turn_back": "restore_orientation"})

sources.add_plugins()
