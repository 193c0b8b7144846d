"""Folders of ordinary photographs, as the simulator wants them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dualpix.data.samples import check_folder, list_pictures
from dualpix.errors import DataError
from dualpix.images import read_picture


def read_photos(folders: Sequence[str | Path], smallest_px: int = 64) -> list[Tensor]:
    """All pictures directly inside the folders, as bytes 3 x H x W, in the order of their names.

    Raises `DataError` if a folder does not exist or no picture in them is at least `smallest_px` on both sides.
    """
    pictures = [path for folder in folders for path in list_pictures(check_folder(folder))]
    photos = [(read_picture(path).pixels * 255).round().to(torch.uint8) for path in pictures]
    photos = [photo for photo in photos if min(photo.shape[1:]) >= smallest_px]
    if not photos:
        places = ", ".join(str(folder) for folder in folders)
        raise DataError(f"There is no photograph of {smallest_px} px or more in {places}; name a folder of pictures.")
    return photos
