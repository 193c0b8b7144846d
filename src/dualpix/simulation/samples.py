"""Simulated dual-pixel samples, drawn on the fly: photographs made into scenes and seen through a random lens."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.io.reading import MIN_SIDE_PX
from dualpix.simulation.coding import as_h264, as_jpeg, as_vp8, video_library
from dualpix.simulation.kernels import Lens, stopped_down
from dualpix.simulation.light import MOST_CONTRAST, Light, draw_lens, draw_sensor
from dualpix.simulation.render import Layer, composite, margin_px, render
from dualpix.simulation.scenes import Layout, draw_scene
from dualpix.simulation.sensor import Sensor, Tone, quantise

Coding = Callable[[Tensor], Tensor]

DRAWING = 5  # to be increased whenever a change makes the same settings, seed and index give other pictures
SHOWN = ("left", "right", "center", "sharp", "blur_px")  # the pictures and maps of a sample
SHOTS_PER_LENS = 16  # kernels are cached for each lens; a new lens for every scene would spend most time on kernels


def check_request(count: int, size: int, seed: int) -> None:
    """Raise `DataError` if no such pairs can be made, before photographs are read."""
    if count < 1 or size < MIN_SIDE_PX or seed < 0:
        wanted = f"1 pair or more of {MIN_SIDE_PX} px or more, and a seed from 0"
        raise DataError(f"{count} pairs of {size} px with the seed {seed} cannot be made; give {wanted}.")


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
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        lens = self.lens(index)
        rng = np.random.default_rng([self.seed, index, 0])
        tone = Tone(contrast=float(rng.uniform(0, MOST_CONTRAST)))
        layers = self._scene(rng, lens, tone)
        margin = (layers[0].alpha.shape[-1] - self.size) // 2
        sample = expose(
            layers,
            lens,
            margin,
            draw_sensor(rng, tone, self.light),
            self.sharp_aperture,
            int(rng.integers(2**31)),
            names,
        )
        finished = self._store(rng, sample)
        return {**finished, "name": self.name(index)}

    def name(self, index: int) -> str:
        """The name of a sample: its seed and index."""
        return f"{self.seed}-{index:06d}"

    def lens(self, index: int) -> Lens:
        """The lens of a sample; its `rho` times the sample's `blur_px` is the disparity in pixels."""
        return _lens(self.seed, index // SHOTS_PER_LENS, self.light)

    def _scene(self, rng: np.random.Generator, lens: Lens, tone: Tone) -> list[Layer]:
        """Layers with margins just wide enough for their own blur."""
        margin = 48
        layers = draw_scene(rng, self.photos, self.size + 2 * margin, tone, self.layout, lens.rho)
        spare = margin - min(margin, margin_px(lens, layers))
        inner = slice(spare, self.size + 2 * margin - spare)
        return [Layer(x.colour[:, inner, inner], x.alpha[inner, inner], x.blur_px[inner, inner]) for x in layers]

    def _store(self, rng: np.random.Generator, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        if rng.random() < self.compressed:
            code = draw_coding(rng, self.codecs)
            sample |= {view: code(sample[view]) for view in ("left", "right", "center") if view in sample}
        pictures = {name: quantise(x, self.depth) for name, x in sample.items() if name != "blur_px"}
        return sample | pictures


@lru_cache(maxsize=16)
def _lens(seed: int, number: int, light: Light) -> Lens:
    """Drawing a lens takes as long as rendering a picture, since its largest rho has to be found; hence the cache."""
    return draw_lens(np.random.default_rng([seed, number, 1]), light)


def draw_coding(rng: np.random.Generator, codecs: Sequence[str]) -> Coding:
    """Draw a random lossy coding, by one of the `codecs`, for the pictures of one sample."""
    turns = [codec for codec in codecs for _ in range(2 if codec == "h264" else 1)]
    return CODECS[turns[rng.integers(len(turns))]](rng)


def _draw_jpeg(rng: np.random.Generator) -> Coding:
    subsampling: Literal["444", "420"] = "444" if rng.random() < 0.5 else "420"
    return partial(as_jpeg, quality=int(rng.integers(75, 98)), subsampling=subsampling)


def _draw_vp8(rng: np.random.Generator) -> Coding:
    return partial(as_vp8, quality=int(rng.integers(60, 98)))


def _draw_h264(rng: np.random.Generator) -> Coding:
    return partial(as_h264, rate_factor=int(rng.integers(8, 23)))


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
