"""Write numbers that are no levels of a picture, infinity among them: a TIFF of one channel of 32-bit floats."""

from io import BytesIO

import numpy as np
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.io.embedding import embed, select
from dualpix.io.formats.tiff import TIFF
from dualpix.io.metadata import Metadata
from dualpix.io.writing import as_stored, check_output
from dualpix.machine.later import tifffile
from dualpix.machine.urls import Location


def encode_floats(path: Location, plane: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False) -> bytes:
    """A plane as it is, as a TIFF compressed by Deflate without a predictor, which most programs read.

    Args:
        path: Where it will be written, a file that ends in .tif or .tiff.
        plane: 1 x H x W.
        metadata: As in `write_picture`.
        overwrite: The file may be there already.

    Returns:
        The bytes of the file.

    Raises:
        PictureError: Another ending, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in TIFF.endings:
        endings = " or ".join(TIFF.endings)
        raise PictureError(f"{path} cannot hold floating-point numbers; end its name in {endings}.")
    check_output(path, overwrite)
    stored, metadata = as_stored(path, plane, metadata or Metadata())
    values = np.ascontiguousarray(stored[0].cpu().numpy(), dtype="<f4")
    metadata, _ = select(metadata, suffix, 1, (values.shape[1], values.shape[0]))
    buffer = BytesIO()
    tifffile.imwrite(
        buffer, values, byteorder="<", photometric="minisblack", metadata=None, software=False, compression="zlib"
    )
    return embed(buffer.getvalue(), suffix, metadata)
