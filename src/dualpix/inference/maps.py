"""What is written beside a picture: disparity, in colours, confidence, depth mask, metres, a part's mask, a sweep.

`Maps` says which are wanted and where. `find_maps` finds them, `encode_maps` makes files of them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from torch import Tensor

from dualpix.errors import PictureError, option
from dualpix.inference.deblur import Deblurred, WeightsLike
from dualpix.inference.depth_mask import depth_mask
from dualpix.inference.disparity import (
    DISPARITY_FORMULA,
    Disparity,
    check_map,
    disparity,
    disparity_levels,
    finder_of,
    scale_px,
    signed_picture,
)
from dualpix.inference.metres import check_metres, describe_metres, encode_metres, meaning_of
from dualpix.inference.optics import Optics, check_given
from dualpix.inference.options import DeblurOptions
from dualpix.io import Metadata, check_output
from dualpix.io.animation import check_animation, encode_animation
from dualpix.io.formats import OUTPUTS
from dualpix.io.writing import encode_picture
from dualpix.machine.storage import exists, is_dir, same_name
from dualpix.machine.urls import Location, as_location
from dualpix.pairs import Views, restore_orientation

if TYPE_CHECKING:
    from dualpix.inference.all_in_focus import AllInFocus

ENDINGS = {
    "disparity": ".tif",
    "disparity_picture": ".png",
    "confidence": ".tif",
    "depth_mask": ".tif",
    "metres": ".tif",
    "mask_out": ".png",
    "sweep": ".webp",
}
"""The kinds of maps, which are fields of `Maps`, and how their files end in folders."""

WITH_PICTURE = ("mask_out", "sweep")
"""Those that come only of making the picture; the others are found in the views."""


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Which maps are written: for one pair the file of each, for many a folder of each.

    Files and folders are of this disk or URLs. In a folder a map has the name of its picture: `maps/trip/a.tif` beside
    `sharp/trip/a.png`. The mask and the disparity in colours are PNG files, the sweep is WebP, all others TIFF.

    Args:
        disparity: 16-bit levels, 32768 + 512 x pixels.
        disparity_picture: the same in colours.
        confidence: 16-bit levels, white where the disparity is sure.
        depth_mask: 16-bit levels, white for what is near.
        metres: the depth; needs the optics of each pair.
        mask_out: the mask that was used, where only a part is made sharp.
        sweep: the focus moving through a picture that is refocused.
        optics: what is known of the optics, as keywords of `Optics.of`; the rest is read from each pair's EXIF block.
    """

    disparity: Location | None = None
    disparity_picture: Location | None = None
    confidence: Location | None = None
    depth_mask: Location | None = None
    metres: Location | None = None
    mask_out: Location | None = None
    sweep: Location | None = None
    optics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def places(self) -> dict[str, Location]:
        """Files or folders of the maps that are wanted, by kind."""
        return {kind: as_location(place) for kind in ENDINGS if (place := getattr(self, kind)) is not None}

    @property
    def need_disparity(self) -> bool:
        """Whether a disparity must be found for them."""
        return any(kind not in WITH_PICTURE for kind in self.places)

    def __bool__(self) -> bool:
        return bool(self.places)

    def inside(self, place: str) -> "Maps":
        """The files of one picture, which lies at `place` in its folder, where these are folders."""
        files = {kind: folder / with_ending(place, ENDINGS[kind]) for kind, folder in self.places.items()}
        return replace(self, **files)  # type: ignore[arg-type]

    def without(self, *kinds: str) -> "Maps":
        """The same without some kinds."""
        return replace(self, **dict.fromkeys(kinds))  # type: ignore[arg-type]

    def check_options(self, options: DeblurOptions, sharp: bool = True) -> None:
        """Find out before anything is read whether the options give such maps; `sharp` if the picture is made too.

        Raises:
            PictureError: There is no mask where all is made sharp, and no sweep where nothing is refocused.
            DataError: The optics are impossible.
        """
        for kind in WITH_PICTURE if not sharp else ():
            if kind in self.places:
                asked = option(kind.replace("_", "-"), None)
                raise PictureError(f"{asked} comes only of making the picture; make the pictures too, or leave it out.")
        if self.mask_out and options.keep_blur is None and options.mask is None:
            raise PictureError(
                f"There is a mask to write only where part of the picture is made sharp: give"
                f" {option('keep-blur', None)}"
                f" or {option('mask', None)} too, or leave {option('mask-out', None)} out."
            )
        if self.sweep:
            _check_sweep(options)
        check_given(self.optics)

    def check_files(self, inputs: Collection[str | Location], overwrite: bool, output: Location | None = None) -> None:
        """Find out before any work whether the files can be written, beside `output`.

        Raises:
            PictureError: They cannot, or two have one name.
        """
        files = list(self.places.values())
        if (twice := _twice([*files, *([output] if output else [])])) is not None:
            raise PictureError(f"{twice} would be written twice; give every file a name of its own.")
        for kind, path in self.places.items():
            if kind == "sweep":
                check_animation(path, overwrite, inputs)
                continue
            check_output(path, overwrite, inputs, grey=kind != "disparity_picture")
            if kind == "metres":
                check_metres(path)
            elif kind not in ("disparity_picture", "mask_out"):
                check_map(path)

    def check_folders(self, taken: Iterable[Location]) -> None:
        """Find out before any work whether these can be folders of maps, beside those `taken` already.

        Raises:
            PictureError: One is a file, or is another's folder.
        """
        known = {same_name(folder) for folder in taken}
        for folder in self.places.values():
            if not is_dir(folder) and (exists(folder) or folder.suffix.lower() in OUTPUTS):
                raise PictureError(
                    f"{folder} is a file, or named like one; for many pairs, give a folder for the maps."
                )
            if (real := same_name(folder)) in known:
                raise PictureError(
                    f"{folder} is a folder for something else already; give the maps of each kind a folder of their"
                    " own."
                )
            known.add(real)

    def check_network(self, weights: WeightsLike) -> None:
        """Raise `CheckpointError` if maps are wanted that these weights do not give."""
        if self.need_disparity:
            finder_of(weights)

    def optics_of(self, views: Views) -> Optics | None:
        """The optics of a pair, if metres are wanted. Raises `DataError` for what neither is given nor in its EXIF."""
        return Optics.of(views, **self.optics) if self.metres else None


def with_ending(place: str, ending: str) -> str:
    """The place of a map, by that of its picture."""
    return PurePosixPath(place).with_suffix(ending).as_posix()


def _twice(paths: list[Location]) -> Location | None:
    """The first that was there before, by whatever name."""
    seen: set[str] = set()
    for path in paths:
        real = same_name(path)
        if real in seen:
            return path
        seen.add(real)
    return None


@dataclass(frozen=True)
class FoundMaps:
    """What the maps of a pair hold, lying as the views do in their files.

    Args:
        mask: 1 x H x W, where only a part was made sharp.
        found: Disparity, confidence and depth, where needed.
        optics: By which the depth was found.
        guide: The mean of the views, 3 x H x W, whose edges a depth mask gets.
        scene: What a sweep is made of.
    """

    mask: Tensor | None = None
    found: Disparity | None = None
    optics: Optics | None = None
    guide: Tensor | None = None
    scene: "AllInFocus | None" = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What had to be done differently, one sentence each."""
        return () if self.found is None else self.found.warnings


def find_maps(
    maps: Maps,
    views: Views,
    weights: WeightsLike,
    options: DeblurOptions,
    optics: Optics | None = None,
    done: Deblurred | None = None,
) -> FoundMaps:
    """Find what is wanted of a pair; raises what `disparity` does.

    Args:
        maps: What is wanted.
        views: The pair, laid along the rows.
        weights: Of a network with cross-correlation.
        options: Memory and device count.
        optics: As `Maps.optics_of` gives them.
        done: The picture, where maps come of making it.
    """
    beside = FoundMaps() if done is None else FoundMaps(done.mask, scene=done.scene if maps.sweep else None)
    if not maps.need_disparity:
        return beside
    found = disparity(
        views["left"],
        views["right"],
        weights,
        memory=options.memory,
        band_rows=options.band_rows,
        device=options.device,
        turn="none",
        metres=optics,
    )
    return replace(lay_maps(maps, views, found, optics, beside.mask), scene=beside.scene)


def lay_maps(
    maps: Maps, views: Views, found: Disparity, optics: Optics | None = None, mask: Tensor | None = None
) -> FoundMaps:
    """Turn what was found of `views`, along the rows, the way they lie in their files.

    Args:
        maps: What is wanted.
        views: The pair, laid along the rows.
        found: What `disparity` found of it.
        optics: By which its depth was found.
        mask: As `find_maps` takes it.
    """
    turned = Disparity(
        restore_orientation(found.disparity_px, views),
        restore_orientation(found.confidence, views),
        found.warnings,
        None if found.depth_m is None else restore_orientation(found.depth_m, views),
    )
    guide = restore_orientation((views["left"] + views["right"]) / 2, views) if maps.depth_mask else None
    return FoundMaps(mask, turned, optics, guide)


@dataclass(frozen=True)
class MapFile:
    """A finished map: its file, the bytes to write there, and what they mean, in words."""

    path: Location
    data: bytes
    meaning: str


def encode_maps(maps: Maps, made: FoundMaps, metadata: Metadata, *, overwrite: bool = False) -> dict[str, MapFile]:
    """The files of the maps that are wanted, by kind.

    Args:
        maps: What is wanted.
        made: As `find_maps` gives it.
        metadata: Of the sharp picture: its orientation goes along, and the meaning of the levels after its software.
        overwrite: Files may be there already.
    """
    return {kind: _encoded(kind, path, made, metadata, overwrite) for kind, path in maps.places.items()}


def _check_sweep(options: DeblurOptions) -> None:
    if options.refocus is None:
        raise PictureError("A focus sweep needs a picture that is refocused; give a `Refocus` too.")
    if options.refocus.aperture == 0:
        raise PictureError(
            f"A focus sweep needs an aperture above 0, or all frames are alike; give a wider one, or leave"
            f" {option('sweep', None)} out."
        )


def _encoded(kind: str, path: Location, made: FoundMaps, metadata: Metadata, overwrite: bool) -> MapFile:
    if kind == "sweep":
        return _sweep(path, made, metadata)
    pixels, formula, told = _content(kind, path, made)
    software = metadata.software and f"{metadata.software}; {formula}" if formula else metadata.software
    plain = Metadata(orientation=metadata.orientation, software=software)
    if kind == "metres":
        data = encode_metres(path, pixels, plain, overwrite=overwrite)
    else:
        colours = kind == "disparity_picture"
        levels = pixels if colours else pixels.expand(3, -1, -1)
        data, _ = encode_picture(path, levels, 8 if colours else 16, overwrite, plain, grey=not colours)
    return MapFile(path, data, f"{formula}; {told}" if formula and told else formula or told)


def _sweep(path: Location, made: FoundMaps, metadata: Metadata) -> MapFile:
    from dualpix.inference.all_in_focus import SWEEP_MS  # with the renderer, which others need not wait for

    assert made.scene is not None
    frames = list(made.scene.sweep(made.scene.refocus))
    data = encode_animation(frames, SWEEP_MS, metadata)
    return MapFile(path, data, f"{len(frames)} pictures, {len(data) / 1e6:.1f} MB")


def _content(kind: str, path: Location, made: FoundMaps) -> tuple[Tensor, str, str]:
    """Levels or numbers of a map, 1 or 3 x H x W, what they mean, and what else there is to say of it."""
    if kind == "mask_out":
        assert made.mask is not None
        return made.mask, "", f"{float(made.mask.mean()):.0%} made sharp"
    found = made.found
    assert found is not None
    if kind == "disparity":
        return disparity_levels(found.disparity_px), DISPARITY_FORMULA, ""
    if kind == "disparity_picture":
        return signed_picture(found), "", f"full colour at {scale_px(found):.1f} px"
    if kind == "confidence":
        return found.confidence, "", "confidence"
    if kind == "depth_mask":
        mask = depth_mask(found, made.guide)
        return mask.levels, mask.formula, f"in focus {mask.focus_level:.2f}"
    assert found.depth_m is not None and made.optics is not None
    return found.depth_m, meaning_of(path), f"{describe_metres(found, made.optics)} ({made.optics})"
