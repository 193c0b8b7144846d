"""From the files of a pair to the file of its sharp picture, and what that takes over from its views.

Three steps, which may be taken at different times: `load_pair` reads, `deblur_views` computes, `save_result` writes.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from dualpix.errors import PictureError, option
from dualpix.inference.bands import Progress
from dualpix.inference.blending import with_choices
from dualpix.inference.deblur import Deblurred, deblur_pair, oriented
from dualpix.inference.options import DeblurOptions
from dualpix.io import Metadata, check_output, write_picture
from dualpix.io.formats import OUTPUTS, advice
from dualpix.io.writing import as_stored, encode_picture, make_folder
from dualpix.machine.urls import Location, Url, as_location
from dualpix.pairs import Views, open_views
from dualpix.pairs.names import common_name
from dualpix.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Inherited:
    """What a picture takes over from its views.

    Args:
        metadata: Colour profile, EXIF and XMP, with a note of how the picture was made.
        grey: Whether it is written in grey.
        depth: Bits per channel.
    """

    metadata: Metadata
    grey: bool
    depth: int


def output_profile(views: Views, opened: Checkpoint, options: DeblurOptions) -> Inherited:
    """What a picture made of `views` with the weights `opened` takes over; without metadata it still lies like them."""
    metadata = replace(views["metadata"], software=f"{options.software}, {opened.name}, weights {opened.path.stem}")
    if options.strip_metadata:
        metadata = Metadata(orientation=metadata.orientation)
    metadata = with_choices(metadata, options.strength, options.keep_blur)
    return Inherited(metadata, views["grey"], options.depth or views["depth"])


def name_output(asked: str, left: Location, right: Location | None, suffix: str) -> Location:
    """The file to write where `asked` is a file, a file without ending, or a folder: there, or ending in a slash.

    A URL is a folder only if it ends in a slash. A name that ends like a picture is that of a picture, even if a folder
    is called so. A folder that ends in a slash is made. Raises PictureError if that fails, and for a device or a pipe.
    """
    path = as_location(asked)
    if isinstance(path, Url):
        if asked.endswith("/"):
            return path / (common_name(left, right) + suffix)
        return path if path.suffix else path.with_name(path.name + suffix)
    if not asked or (os.path.exists(asked) and not os.path.isfile(asked) and not os.path.isdir(asked)):
        raise PictureError(
            f"{asked or 'An empty name'} is not a place for a picture; give the name of a file or folder."
        )
    if asked.endswith(("/", os.sep)):
        make_folder(path)
    if path.is_dir() and (asked.endswith(("/", os.sep)) or path.suffix.lower() not in OUTPUTS):
        return path / (common_name(left, right) + suffix)
    return path if path.suffix else path.with_name(path.name + suffix)


def check_depth(output: Location, depth: int | None) -> None:
    """Raise PictureError if `depth`, in bits, was asked for and is more than the format of `output` has."""
    kind = OUTPUTS.get(output.suffix.lower())
    if kind and depth and depth > max(kind.bits):
        most, choice = max(kind.bits), advice(lambda other: depth in other.bits)
        raise PictureError(
            f"{output} was not written: {output.suffix} holds {most} bits, not {depth}; leave out"
            f" {option('depth', 16)}, or choose {choice}."
        )


def load_pair(
    output: Location,
    left: Location,
    right: Location | None,
    opened: Checkpoint,
    options: DeblurOptions,
    *,
    overwrite: bool = False,
) -> tuple[Views, Inherited]:
    """Read a pair, and find out before any work is done whether `output` can be written.

    Raises what `open_views` and `check_output` do.
    """
    check_depth(output, options.depth)
    check_output(
        output, overwrite, [path for path in (left, right, options.mask) if isinstance(path, str | Path | Url)]
    )
    views = open_views(left, right, layout=options.layout, swap=options.swap, turn=options.turn)
    inherited = output_profile(views, opened, options)
    check_output(output, overwrite, metadata=inherited.metadata, grey=inherited.grey)
    return views, inherited


def deblur_views(
    views: Views, opened: Checkpoint, options: DeblurOptions, progress: Progress | None = None
) -> Deblurred:
    """`deblur_pair`, with its picture turned to lie as the views do in their files. Raises what that does."""
    done = deblur_pair(dict(views), opened, options, strict=not options.force, progress=progress)
    return oriented(done, dict(views))


def save_result(output: Location, picture: Tensor, inherited: Inherited, *, overwrite: bool = False) -> list[str]:
    """Write `picture` (3 x H x W, lying as the views do in their files) with all that it takes over from them.

    Returns a sentence for each block of metadata that the format cannot hold. Raises what `write_picture` does.
    """
    return write_picture(output, picture, inherited.depth, overwrite, inherited.metadata, inherited.grey)


def encode_result(
    output: Location, picture: Tensor, inherited: Inherited, *, overwrite: bool = False
) -> tuple[bytes, list[str]]:
    """The bytes that `save_result` would write, and what it returns."""
    return encode_picture(output, picture, inherited.depth, overwrite, inherited.metadata, inherited.grey)


def size_in_file(output: Location, picture: Tensor, inherited: Inherited) -> tuple[int, int]:
    """Width and height of the file that `save_result` writes, in which the picture may be turned upright."""
    stored, _ = as_stored(output, picture[:1], inherited.metadata)
    return stored.shape[2], stored.shape[1]
