"""What is to be done in a folder: which files become which picture."""

import os
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dualpix.errors import PairError, PictureError, option
from dualpix.inference.batch.manifest import is_pattern, read_manifest
from dualpix.inference.maps import ENDINGS, Maps, with_ending
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import check_depth
from dualpix.inference.selective import mask_for
from dualpix.io import PictureLike
from dualpix.io.endings import output_ending
from dualpix.io.formats import OUTPUTS
from dualpix.machine.storage import exists, is_dir, same_name, told_as
from dualpix.machine.urls import Location, Url, as_location
from dualpix.pairs.elsewhere import find_elsewhere
from dualpix.pairs.pairing import Found, find_tree, find_two


class Shard(NamedTuple):
    """Part `number` (from 1) of `total` parts of the work, for different machines."""

    number: int = 1
    total: int = 1


@dataclass(frozen=True)
class PairJob:
    """One picture to make.

    Args:
        left: The left view, or the file that holds both.
        right: The right view; None where `left` holds both.
        folder: The output folder.
        place: The output's path inside `folder`, with slashes.
        problem: Why it cannot be made; empty if it can.
        mask: The picture that says what is made sharp, if there is one.
        maps: The files of its maps.
        sharp: Whether the sharp picture is made; if not, `place` is that of the first map.
    """

    left: Location
    right: Location | None
    folder: Location
    place: str
    problem: str = ""
    mask: Path | None = None
    maps: Maps = field(default_factory=Maps)
    sharp: bool = True

    @property
    def inputs(self) -> tuple[Location, ...]:
        """The files that are read."""
        return tuple(path for path in (self.left, self.right, self.mask) if path is not None)

    @property
    def output(self) -> Location:
        """The file to write."""
        return self.folder / self.place

    @property
    def outputs(self) -> tuple[Location, ...]:
        """All files to write: the picture, if it is made, and its maps."""
        return (*([self.output] if self.sharp else []), *self.maps.places.values())


def list_jobs(
    source: str | Location,
    output: str | Location,
    options: DeblurOptions | None = None,
    *,
    right: str | Location | None = None,
    format: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: Shard | None = None,
    allow_outside: bool = False,
    maps: Maps | None = None,
    sharp: bool = True,
) -> list[PairJob]:
    """Return the pictures to make from `source`.

    They are sorted by place, or in the manifest's order. If two would become the same file, also on a disk that ignores
    case, the second has that as its problem.

    Args:
        source: A folder (see `pairs.pairing.find_tree`); that of the left views, where `right` is that of the others; a
            manifest (`read_manifest`); or a pattern such as `trip/*_L.tif`. Of this disk, or by URL.
        output: The folder of the pictures, of this disk or by URL.
        options: Of these, `layout` says how files hold both views, `depth` what the pictures' format must
            hold, and `mask` in which folder their masks lie.
        right: The folder of the right views.
        format: An extension for all pictures; None for that of the left view (.tif for files that hold both views and
            are no pictures).
        include: Patterns of names to take.
        exclude: Patterns of names to leave out.
        shard: Take only every n-th job, for this part of the work.
        allow_outside: A manifest may name files outside its folder.
        maps: The folders of maps to be written too.
        sharp: Make the pictures; if not, only the maps are made, and `output` is not used.

    Raises:
        PairError: There is nothing to do, the manifest is wrong, or `output` is the folder of the inputs or is a file.
        PictureError: The format cannot be written, or not at that depth; `mask` is no folder, or maps cannot be made.
        DataError: The optics that `maps` names are impossible.
    """
    source, options, maps = as_location(source), options or DeblurOptions(), maps or Maps()
    right = None if right is None else as_location(right)
    output = as_location(output) if sharp else _first_of(maps)[1]
    maps.check_options(options, sharp)
    _check_mask(options)
    suffix = _suffix(format)
    if suffix:
        check_depth(output / f"NAME{suffix}", options.depth)
    with told_as(PairError):
        _check_folders([source, *([] if right is None else [right])], output, options, maps, sharp)
        leave_out = [output, *maps.places.values()]
        if pattern := is_pattern(source):
            source, include = _split_pattern(source, include)
        if right is not None:
            find = partial(_find_two, include=include, exclude=exclude)
            found = find_elsewhere([source, right], leave_out, find)
        elif pattern or is_dir(source):
            find = partial(_find_tree, layout=options.layout, include=include, exclude=exclude)
            found = find_elsewhere([source], leave_out, find)
        else:
            found = read_manifest(source, allow_outside)
    jobs = [with_mask(_job(one, output, suffix, options.depth), options.mask) for one in found]
    if not sharp:
        ending = ENDINGS[_first_of(maps)[0]]
        jobs = [replace(job, place=with_ending(job.place, ending), sharp=False) for job in jobs]
    jobs = _without_clashes([replace(job, maps=maps.inside(job.place)) for job in jobs])
    return jobs if shard is None else jobs[shard.number - 1 :: shard.total]


def _find_tree(folders: Sequence[Path], leave_out: Collection[Path], **wanted: Any) -> list[Found]:
    return find_tree(folders[0], leave_out=leave_out, **wanted)


def _find_two(folders: Sequence[Path], leave_out: Collection[Path], **wanted: Any) -> list[Found]:
    return find_two(*folders, leave_out=leave_out, **wanted)


def _first_of(maps: Maps) -> tuple[str, Location]:
    """Kind and folder of the first maps; the journal of a run that makes only maps lies there."""
    if not maps:
        raise PictureError(
            f"With neither pictures nor maps there is nothing to make; give for example {option('disparity', None)} a"
            " folder."
        )
    return next(iter(maps.places.items()))


def _check_mask(options: DeblurOptions) -> None:
    if isinstance(options.mask, str) and "://" in options.mask:
        raise PictureError(f"{options.mask} lies elsewhere; copy the folder of masks to this disk.")
    if options.mask is not None and not (isinstance(options.mask, str | os.PathLike) and os.path.isdir(options.mask)):
        raise PictureError(
            f"A folder of pairs cannot share one mask; give {option('mask', None)} a folder of masks, named like the"
            " pictures that are made."
        )


def _check_folders(sources: list[Location], output: Location, options: DeblurOptions, maps: Maps, sharp: bool) -> None:
    if exists(output) and not is_dir(output):
        raise PairError(f"{output} is a file; give a folder for the pictures.")
    for folder in sources:
        if _is_same_folder(folder, output):
            raise PairError(f"{output} is the folder of the inputs; give another one for the pictures.")
    masks = [as_location(options.mask)] if isinstance(options.mask, str | os.PathLike) else []
    maps.check_folders([*sources, *masks, *([output] if sharp else [])])


def _is_same_folder(folder: Location, output: Location) -> bool:
    if isinstance(folder, Url) or isinstance(output, Url):
        return folder == output
    return output.is_dir() and folder.is_dir() and folder.samefile(output)


def _split_pattern(source: Location, include: Sequence[str]) -> tuple[Location, list[str]]:
    """The deepest folder above the first wildcard, and the pattern for what lies in it."""
    whole = source.parts
    start = next(i for i, part in enumerate(whole) if any(letter in part for letter in "*?["))
    return type(source)(*whole[:start]), [*include, "/".join(whole[start:])]


def _suffix(format: str | None) -> str:
    suffix = "" if format is None else f".{format.lstrip('.')}"
    if suffix and suffix.lower() not in OUTPUTS:
        raise PictureError(f"There is no picture format {format!r}; choose one of: {', '.join(OUTPUTS)}.")
    return suffix


def _job(found: Found, folder: Location, suffix: str, depth: int | None) -> PairJob:
    ending = found.suffix or suffix or output_ending(found.left)
    place = found.place.with_name(found.place.name + ending)
    job = PairJob(found.left, found.right, folder, place.as_posix(), found.problem)
    try:
        check_depth(job.output, depth)
    except PictureError as error:
        return replace(job, problem=job.problem or str(error))
    return job


def with_mask(job: PairJob, masks: PictureLike | None) -> PairJob:
    """The job with its mask, from the folder of all."""
    if masks is None:
        return job
    try:
        return replace(job, mask=mask_for(Path(masks), job.place))  # type: ignore[arg-type]
    except PictureError as error:
        return replace(job, problem=job.problem or str(error))


def _without_clashes(jobs: list[PairJob]) -> list[PairJob]:
    inputs = {same_name(path) for job in jobs for path in job.inputs}
    taken: dict[str, PairJob] = {}
    checked = []
    for job in jobs:
        for output in job.outputs:
            name = unicodedata.normalize("NFC", str(output))  # objects differ by the case of letters, files may not
            first = taken.setdefault(name if isinstance(output, Url) else name.casefold(), job)
            if not job.problem and not first.problem and first is not job:
                job = replace(job, problem=f"{output} would also be made from {first.left}; rename one of the two.")
            if not job.problem and same_name(output) in inputs:
                job = replace(job, problem=f"{output} is one of the inputs and would be lost; choose another folder.")
        checked.append(job)
    return checked
