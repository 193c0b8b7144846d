"""How a pair is deblurred: one record for functions, commands, folders, evaluation, the demonstration and the page.

It is checked when it is made, so that every entry refuses the same things, in the same sentence, before any work.
"""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from os import PathLike
from typing import Any, TypedDict

import torch

from dualpix.errors import PictureError, option
from dualpix.inference import engines, planning, scales
from dualpix.inference.blending import check_strength
from dualpix.inference.focus import Refocus
from dualpix.inference.kept import parse_kept
from dualpix.io import PictureLike
from dualpix.pairs import SOURCES, TURNS
from dualpix.pairs.turning import AUTO
from dualpix.tables import pick

DEPTHS = (8, 16)

SHAPING = ("precision", "device", "engine", "mirror", "depth", "strip_metadata", "layout", "swap")
"""Fields that the finished picture depends on, in the order in which the first journals had them."""
LATER = ("turn", "scale", "strength", "keep_blur", "mask", "refocus", "guard", "only_blurred")
"""Such fields that journals did not have from the beginning: only where they are not as usual."""


@dataclass(frozen=True, kw_only=True)
class DeblurOptions:
    """How a picture is made; the fields are options of `dualpix deblur` and keywords of `dualpix.deblur`.

    Args:
        memory: the most the process may use ("2GB" or bytes); None leaves room for other programs, and tries smaller
            bands should the memory run out.
        band_rows: cut into bands of that many rows, whatever the memory; None decides.
        precision: "auto", "fp32", "bf16" or "fp16", with OpenVINO "int8" too.
        device: "auto", "cpu", "cuda", ...
        engine: "torch", "openvino" or "onnx"; "auto" is the engine of a file that `dualpix export` wrote, or else
            torch, or OpenVINO for large pictures where it is installed and was measured to be faster.
        mirror: the mean of four results, of the pair as it is, mirrored, upside down, and both: a little better, in
            four times the time.
        scale: "1/4" deblurs at a quarter of the size as well, and joins both, for what is blurred widely; "1" at full
            size alone; "auto" as the pair's disparity asks.
        turn: "auto" finds out whether the disparity runs along the columns, as in photographs taken upright, and turns
            such views before processing; "left", "right" and "half" turn them that way, "none" does not. The picture
            lies as the views do.
        strength: how much of the result is taken, from 0, the mean of the views as they were taken, to 1, all of it.
        keep_blur: what stays as blurred as it was taken: "behind" the plane in focus or "in-front" of it, from 0.5
            pixels of disparity on, or from another number ("behind 2"); "beyond 2" is both; "1..3", "..-1" or "4.." is
            a range of disparity in pixels, positive behind. None makes all sharp.
        mask: a picture of the same size, white where the result is to be sharp and black where it is to stay as taken:
            instead of `keep_blur`. For folders, a folder of masks, named like the pictures that are made.
        refocus: give the sharp picture another plane in focus and another aperture; None leaves it sharp everywhere.
        guard: mix the views in where the result has colours, brightness or patterns that cannot come from them.
        only_blurred: leave what is sharp already as it was taken (the mean of the views), and run the network on the
            rest alone, which takes less time.

    Those that say how files are read and written, of no meaning where arrays come and go:

    Args:
        layout: how one file holds both views, a key of `pairs.SOURCES`; None finds out.
        swap: exchange the views.
        depth: bits of the picture file, 8 or 16; None for that of the views.
        strip_metadata: write neither colour profile nor EXIF nor XMP.
        force: go on if the pair looks odd, as if swapped.
        software: what the note in the picture calls this program.

    Raises:
        MachineError: for an engine, precision, device, memory, number of rows or scale that nothing can be run with.
        RecipeError: for a layout, a turn or a blur to keep that does not exist.
        PictureError: for another depth or strength, and for a mask together with `keep_blur`; a refocus that
            is none, or that is asked for with `strength`, `keep_blur` or `mask`.

    Example:
        >>> options = DeblurOptions(memory="2GB", scale="1")
        >>> options.limits_memory
        True
        >>> DeblurOptions(precision="fp8")
        Traceback (most recent call last):
        dualpix.errors.MachineError: There is no precision 'fp8'; choose from: auto, fp32, bf16, fp16, int8.
    """

    memory: str | int | None = None
    band_rows: int | None = None
    precision: str = "auto"
    device: str | torch.device = "auto"
    engine: str = "auto"
    mirror: bool = False
    scale: str = "auto"
    turn: str = AUTO
    layout: str | None = None
    swap: bool = False
    depth: int | None = None
    strip_metadata: bool = False
    force: bool = False
    software: str = "dualpix"
    strength: float = 1.0
    keep_blur: str | None = None
    mask: PictureLike | None = None
    refocus: Refocus | None = None
    guard: bool = True
    only_blurred: bool = False

    def __post_init__(self) -> None:
        engines.check(self.engine, self.precision, self.device)
        if self.memory is not None:
            planning.parse_memory(self.memory)
        if self.band_rows is not None:
            planning.check_band_rows(self.band_rows)
        scales.largest_of(self.scale)
        if self.layout is not None:
            pick(SOURCES, self.layout, "layout")
        pick(TURNS, self.turn, "turn")
        if self.refocus is not None and not isinstance(self.refocus, Refocus):
            raise PictureError(f"What to focus on cannot be {self.refocus!r}; give a `Refocus`, or None.")
        if self.refocus is not None and (self.strength != 1 or self.keep_blur is not None or self.mask is not None):
            others = " and ".join(option(name, None) for name in ("strength", "keep-blur", "mask"))
            raise PictureError(
                f"To refocus, the picture must be sharp everywhere first, and {others} leave blur; leave them out."
            )
        if self.depth is not None and self.depth not in DEPTHS:
            raise PictureError(f"A picture file cannot have {self.depth!r} bits; choose a depth of 8 or 16.")
        check_strength(self.strength)
        if self.keep_blur is not None:
            parse_kept(self.keep_blur)
            if self.mask is not None:
                raise PictureError(
                    f"{option('mask', None)} and {option('keep-blur', None)} both say what is made sharp; give one of"
                    " them."
                )

    @property
    def limits_memory(self) -> bool:
        """Whether the user decided how much memory is used; what does not fit then is an error."""
        return self.memory is not None or self.band_rows is not None

    def shaping(self) -> dict[str, object]:
        """The fields that the finished picture depends on, as JSON holds them.

        Journals of folders hold a hash of them: what is added later may be among them only where it is not as usual,
        and goes to the end, or else finished pictures are made again.
        """
        first = {name: str(self.device) if name == "device" else getattr(self, name) for name in SHAPING}
        usual = {field.name: field.default for field in fields(self)}
        later = {name: getattr(self, name) for name in LATER}
        if self.mask is not None:
            later["mask"] = str(self.mask) if isinstance(self.mask, str | PathLike) else "given"
        if self.refocus is not None:
            later["refocus"] = asdict(self.refocus)
        return first | {name: value for name, value in later.items() if value != usual[name]}


class Keywords(TypedDict, total=False):
    """The fields of `DeblurOptions` that matter where arrays come and go, as functions take them one by one."""

    memory: str | int | None
    band_rows: int | None
    precision: str
    device: str | torch.device
    engine: str
    mirror: bool
    scale: str
    turn: str
    strength: float
    keep_blur: str | None
    mask: PictureLike | None
    guard: bool
    only_blurred: bool


def options_of(options: DeblurOptions | None, keywords: Keywords) -> DeblurOptions:
    """`options`, or the usual ones, with what was given one by one.

    Raises:
        TypeError: for a keyword that there is not.
        DualpixError: as `DeblurOptions` does.
    """
    known = [field.name for field in fields(DeblurOptions)]
    for name in keywords:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; choose from: {', '.join(known)}."
            raise TypeError(f"There is no option {name!r}{meant}")
    given: dict[str, Any] = dict(keywords)
    return replace(options or DeblurOptions(), **given)
