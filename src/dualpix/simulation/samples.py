"""Simulated dual-pixel samples, drawn on the fly: photographs made into scenes and seen through a random lens."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.io.reading import MIN_SIDE_PX
from dualpix.simulation.coding import Coding, Subsampling, video_library
from dualpix.simulation.kernels import Lens, reach_px, stopped_down
from dualpix.simulation.light import MOST_CONTRAST, Light, draw_lens, draw_sensor
from dualpix.simulation.painting import Canvas
from dualpix.simulation.render import Layer, composite, render
from dualpix.simulation.scenes import Layout, PlannedScene, draw_scene
from dualpix.simulation.sensor import Sensor, Tone, quantise

DRAWING = 5  # to be increased whenever a change makes the same settings, seed and index give other pictures
MARGIN_PX = 48  # how far scenes extend beyond the picture
SHOWN = ("left", "right", "center", "sharp", "blur_px")  # the pictures and maps of a sample
CODED = ("left", "right", "center")
SHOTS_PER_LENS = 16  # kernels are cached for each lens; a new lens for every scene would spend most time on kernels


def check_request(count: int, size: int, seed: int) -> None:
    """Raise `DataError` if no such pairs can be made, before photographs are read."""
    if count < 1 or size < MIN_SIDE_PX or seed < 0:
        wanted = f"1 pair or more of {MIN_SIDE_PX} px or more, and a seed from 0"
        raise DataError(f"{count} pairs of {size} px with the seed {seed} cannot be made; give {wanted}.")


@dataclass(frozen=True)
class Shot:
    """All that is decided about a sample before a picture is computed; it can be sent to another process.

    Attributes:
        name: Of the sample.
        lens: The shape of the point-spread functions.
        scene: The scene, `MARGIN_PX` wider than the sample on each side.
        margin: How much of that its blur needs.
        sensor: Noise, tone curve and developer.
        seed: Of the noise.
        coding: The lossy coding that the views have been through, if any.
    """

    name: str
    lens: Lens
    scene: PlannedScene
    margin: int
    sensor: Sensor
    seed: int
    coding: Coding | None


@dataclass(frozen=True)
class Simulated:
    """A data set of simulated samples; a sample depends only on the settings, the seed and its index.

    Attributes:
        photos: Photographs, uint8, 3 x H x W each, or 4 x H x W with inverse depth; with none, surfaces have patterns
            only.
        size: Side of the square pictures in pixels.
        count: Number of samples.
        seed: Of all randomness.
        sharp_aperture: Aperture of the sharp picture as a share of that of the views: 0 for a pinhole, 4 / 22 for a
            sharp picture at f/22 with views at f/4, as in the DPDD data set.
        depth: Bits per channel, 8 or 16.
        compressed: Share of samples, in [0, 1], whose views have been through lossy coding.
        layout: What the scenes are like.
        codecs: One or more of "jpeg", "vp8" and "h264", each as often as the others, but "h264" twice as often.
        light: Distribution of lenses, sensors and developers.

    Raises:
        DataError: A codec is not known.
        MachineError: "h264" is to be used, and PyAV is not installed.

    Example:
        >>> sample = Simulated([], size=32, count=1)[0]
        >>> sample["name"], sample["left"].shape, sample["blur_px"].shape
        ('0-000000', torch.Size([3, 32, 32]), torch.Size([1, 32, 32]))
    """

    photos: Sequence[Tensor]
    size: int
    count: int
    seed: int = 0
    sharp_aperture: float = 0.0
    depth: int = 16
    compressed: float = 0.0
    layout: Layout = field(default_factory=Layout)
    codecs: tuple[str, ...] = ("jpeg", "vp8")
    light: Light = field(default_factory=Light)

    def __post_init__(self) -> None:
        if not self.codecs or not set(self.codecs) <= set(CODECS):
            raise DataError(f"codecs={list(self.codecs)} are not known; give one or more of {', '.join(CODECS)}.")
        if self.compressed and "h264" in self.codecs:
            video_library()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """`left`, `right`, `center`, `sharp`, 3 x H x W in [0, 1]; `blur_px`, 1 x H x W, signed; and `name`."""
        return self.sample(index, SHOWN)

    def sample(self, index: int, names: Collection[str]) -> dict[str, Tensor | str]:
        """Render only some parts of a sample, since each takes time.

        Args:
            index: Of the sample, from 0.
            names: What to render, names in SHOWN; `name` is always there.

        Raises:
            IndexError: There is no such sample.
        """
        shot = self.shot(index)
        sample = expose(self._layers(shot), shot.lens, shot.margin, shot.sensor, self.sharp_aperture, shot.seed, names)
        if shot.coding:
            sample |= {view: shot.coding(sample[view]) for view in CODED if view in sample}
        pictures = {name: quantise(x, self.depth) for name, x in sample.items() if name != "blur_px"}
        return {**sample, **pictures, "name": shot.name}

    def shot(self, index: int) -> Shot:
        """Decide everything about a sample, without computing any picture.

        Raises:
            IndexError: There is no such sample.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        lens = self.lens(index)
        rng = np.random.default_rng([self.seed, index, 0])
        tone = Tone(contrast=float(rng.uniform(0, MOST_CONTRAST)))
        scene = draw_scene(rng, self.photos, self.size + 2 * MARGIN_PX, self.layout, lens.rho)
        farthest = max(abs(end) for ends in scene.blur_ranges() for end in ends)
        margin = min(MARGIN_PX, reach_px(lens, farthest))
        sensor, seed = draw_sensor(rng, tone, self.light), int(rng.integers(2**31))
        coding = draw_coding(rng, self.codecs) if rng.random() < self.compressed else None
        return Shot(self.name(index), lens, scene, margin, sensor, seed, coding)

    def name(self, index: int) -> str:
        """The name of a sample: its seed and index."""
        return f"{self.seed}-{index:06d}"

    def lens(self, index: int) -> Lens:
        """The lens of a sample; its `rho` times the sample's `blur_px` is the disparity in pixels."""
        return _lens(self.seed, index // SHOTS_PER_LENS, self.light)

    def _layers(self, shot: Shot) -> list[Layer]:
        """The layers of a scene with margins just wide enough for their own blur."""
        inner = slice(MARGIN_PX - shot.margin, self.size + MARGIN_PX + shot.margin)
        layers = shot.scene.paint(shot.sensor.tone, Canvas(self.photos))
        return [Layer(x.colour[:, inner, inner], x.alpha[inner, inner], x.blur_px[inner, inner]) for x in layers]


@lru_cache(maxsize=16)
def _lens(seed: int, number: int, light: Light) -> Lens:
    """Drawing a lens takes as long as rendering a picture, since its largest rho has to be found; hence the cache."""
    return draw_lens(np.random.default_rng([seed, number, 1]), light)


def draw_coding(rng: np.random.Generator, codecs: Sequence[str]) -> Coding:
    """Draw a random lossy coding, by one of the `codecs`, for the pictures of one sample."""
    turns = [codec for codec in codecs for _ in range(2 if codec == "h264" else 1)]
    return CODECS[turns[rng.integers(len(turns))]](rng)


def _draw_jpeg(rng: np.random.Generator) -> Coding:
    subsampling: Subsampling = "444" if rng.random() < 0.5 else "420"
    return Coding("jpeg", int(rng.integers(75, 98)), subsampling)


def _draw_vp8(rng: np.random.Generator) -> Coding:
    return Coding("vp8", int(rng.integers(60, 98)))


def _draw_h264(rng: np.random.Generator) -> Coding:
    return Coding("h264", int(rng.integers(8, 23)))


# Ranges around what fits the DPDD previews: a rate factor of 16, or VP8 at quality 83 (results/real-errors.md).
CODECS: dict[str, Callable[[np.random.Generator], Coding]] = {
    "jpeg": _draw_jpeg,
    "vp8": _draw_vp8,
    "h264": _draw_h264,
}


def expose(
    layers: Sequence[Layer],
    lens: Lens,
    margin: int,
    sensor: Sensor,
    sharp_aperture: float = 0.0,
    seed: int = 0,
    names: Collection[str] = SHOWN,
) -> dict[str, Tensor]:
    """Photograph a scene wide open, for both views, and stopped down, for the sharp picture.

    The combined view is the mean of the two views in linear light, after noise.

    Args:
        layers: The scene, from back to front.
        lens: The shape of the point-spread functions.
        margin: Pixels of the layers to be cut off at each side.
        sensor: Adds shading and noise, and encodes for display.
        sharp_aperture: Aperture of the sharp picture as a share of that of the views; 0 for a pinhole.
        seed: Of the noise.
        names: What to compute, names in `SHOWN`.

    Returns:
        Display-encoded pictures in [0, 1], 3 x H x W, not quantised; and `blur_px`, 1 x H x W.
    """
    generator = torch.Generator().manual_seed(seed)
    views = sensor.expose(render(layers, lens, margin), generator).clamp(0, 1)
    light = {"left": views[0], "right": views[1]}
    if "center" in names:
        light["center"] = views.mean(0)
    if "sharp" in names and sharp_aperture:
        small = [replace(layer, blur_px=layer.blur_px * sharp_aperture) for layer in layers]
        light["sharp"] = render(small, stopped_down(lens), margin, whole=True)[0]
    if "blur_px" in names or ("sharp" in names and not sharp_aperture):
        sharp, blur_px = composite(layers, margin)
        light.setdefault("sharp", sharp)
    wanted = [name for name in light if name in names]
    pictures = sensor.developer.develop(sensor.tone.encode(torch.stack([light[name] for name in wanted])))
    shown = dict(zip(wanted, pictures, strict=True))
    return shown | ({"blur_px": blur_px[None]} if "blur_px" in names else {})
