"""A kind of file that holds both views: an array whose rows belong to the left and the right view in turns."""

import numpy as np

from dualpix.io.metadata import Metadata
from dualpix.pairs.sources.record import Source, as_view, views_of


def _read(path, limit_megapixels):
    rows = np.load(path).astype(np.float32) / 255
    views = {"left": as_view(rows[0::2]), "right": as_view(rows[1::2])}
    return views_of({**views, "name": path.stem, "depth": 8, "notes": [], "grey": False, "metadata": Metadata()})


INTERLEAVED = Source(
    "example-source", _read, lambda path, start: path.suffix == ".rows", (".rows",), False, "rows in turns"
)
