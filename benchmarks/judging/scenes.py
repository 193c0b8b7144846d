"""Twelve scenes, fixed for ever: a Kodak photograph as the background, parts of others as objects before or behind.

Nothing is drawn at random but the noise, and that from a fixed seed: the training simulator may draw its scenes as it
likes, these stay.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualpix.simulation import render
from dualpix.simulation.coding import as_h264, as_jpeg
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer
from dualpix.simulation.sensor import Tone
from judging import pupils
from judging.pupils import Pupil

HEIGHT, WIDTH, MARGIN = 384, 512, 32
NATIVE_MARGIN = 16
NOISES = (1, 4, 8, 12)  # deviation of a view in levels of 255 at mid grey
CODINGS = ("uncoded", "JPEG 85", "H.264 16") if find_spec("av") else ("uncoded", "JPEG 85")
SIMULATED = (*CODINGS, *(f"noise {sigma}" for sigma in NOISES))
KERNELS = ("one-sided 1.6", "one-sided 2.2", "bright rim 0.8", "calibrated-like")
TONE = Tone()


@dataclass(frozen=True)
class Thing:
    """An object cut from a photograph: `shape` "disc", "bars" or "blob" about (x, y) in units of width and height,
    `size_px` its radius, or half the space between bars; `blur_px` its signed blur radius."""

    shape: str
    photo: int
    x: float
    y: float
    size_px: float
    blur_px: float


@dataclass(frozen=True)
class Scene:
    """`photo`: the background. `blur_px`: its signed blur radius, either at the (top left, top right, bottom left,
    bottom right) corners of a plane, or (farthest, nearest) of its depth map. `bright`: how many times brighter its
    highlights were than white."""

    photo: int
    blur_px: tuple[float, ...]
    things: tuple[Thing, ...]
    lens: Lens
    width: float
    bright: float = 1.0


def _lens(rho: float, rim: float, split: float, softness_rel: float) -> Lens:
    return Lens(rho=rho, rim=rim, split=split, softness_px=0.3, softness_rel=softness_rel)


SCENES = (
    Scene(1, (6, 8, 11, 13), (Thing("disc", 5, 0.3, 0.55, 70, 0), Thing("bars", 23, 0.75, 0.5, 22, 4)),
          _lens(0.30, 0.0, 0.0, 0.06), 1.0),
    Scene(5, (12, -3), (Thing("disc", 3, 0.7, 0.4, 60, 0),), _lens(0.42, -0.2, 0.3, 0.05), 0.7),
    Scene(8, (2, 16, 2, 16), (Thing("blob", 23, 0.4, 0.5, 60, 0), Thing("disc", 24, 0.8, 0.7, 50, 7)),
          _lens(0.22, 0.1, 0.0, 0.08), 1.6, 4.0),
    Scene(13, (16, 0), (Thing("bars", 2, 0.3, 0.4, 26, -6),), _lens(0.36, 0.0, 0.5, 0.05), 0.8),
    Scene(14, (8, -8), (Thing("disc", 1, 0.25, 0.3, 55, 0),), _lens(0.50, 0.2, 0.2, 0.04), 0.5),
    Scene(24, (14, 2), (Thing("blob", 5, 0.6, 0.6, 50, 0), Thing("bars", 3, 0.2, 0.5, 30, 9)),
          _lens(0.28, -0.3, 0.0, 0.07), 1.2),
    Scene(6, (17, 17, -2, -2), (Thing("disc", 7, 0.5, 0.35, 65, 3),), _lens(0.33, 0.0, 0.3, 0.06), 0.9, 4.0),
    Scene(22, (5, 0), (Thing("bars", 8, 0.7, 0.3, 24, 2), Thing("disc", 20, 0.2, 0.6, 45, -3)),
          _lens(0.40, 0.15, 0.0, 0.05), 0.7),
    Scene(11, (3, 3, 7, 7), (Thing("blob", 13, 0.3, 0.4, 60, 0),), _lens(0.18, 0.0, 0.0, 0.09), 2.0),
    Scene(21, (10, -10), (Thing("disc", 24, 0.75, 0.6, 60, 5),), _lens(0.45, -0.1, 0.6, 0.04), 0.6, 6.0),
    Scene(7, (12, 12, 12, 12), (Thing("blob", 14, 0.65, 0.5, 70, 0), Thing("disc", 1, 0.2, 0.5, 40, -4)),
          _lens(0.25, 0.2, 0.2, 0.07), 1.4),
    Scene(2, (14, 1), (Thing("bars", 11, 0.4, 0.6, 28, 6), Thing("disc", 5, 0.8, 0.3, 50, 0)),
          _lens(0.35, 0.0, 0.0, 0.05), 1.0),
)  # fmt: skip

NATIVE = (
    (1, (0.3, 1.5, 0.3, 1.5)), (5, (3, 0)), (8, (0, 0, 2, 2)), (13, (1, 1, 3, 3)), (14, (2, -2)), (24, (1.5, 0)),
    (6, (3, 3, 0, 0)), (22, (0.3, 0.6, 0.3, 0.6)), (11, (-0.3, -3, -0.3, -3)), (21, (2.5, -0.5)),
    (16, (1, 0.3, 2, 1)), (20, (3, 0.3)),
)  # fmt: skip
"""Photograph and its signed blur radius, as in `Scene`: small blur on photographs reduced to be sharp at each pixel."""

CRESCENT_RATIOS = ((8.0, 3.3), (10.0, 3.3), (14.0, 2.0), (16.0, 1.4))
"""Area ratios at the sides of a phone's frame by blur radius, as measured on a Pixel 4."""


def pupil_of(variant: str, number: int) -> Pupil:
    """The kernels of scene `number` in a variant of `KERNELS`; one-sided ones favour either view in turn."""
    width, to_left = SCENES[number].width, number % 2 == 0

    def sided(ratios: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        return tuple((radius, 1 / ratio) for radius, ratio in ratios) if to_left else ratios

    if variant.startswith("one-sided"):
        return Pupil(sided(((0.0, float(variant.split()[1])),)), width)
    if variant == "calibrated-like":
        centre = number % 6 == 5  # on the axis the two views of the phone are alike
        return Pupil(((0.0, 1.0),) if centre else sided(CRESCENT_RATIOS), 0.5, -0.3)
    return Pupil(width=width, rim=0.8)


def photo_files(data: Path, numbers: tuple[int, ...]) -> list[Path]:
    """The photographs and depth maps that scenes are made of."""
    return [data / folder / "kodak" / f"{number}.png" for number in numbers for folder in ("photos", "depth")]


def scene_photos(number: int) -> tuple[int, ...]:
    return (SCENES[number].photo, *(thing.photo for thing in SCENES[number].things))


def layers_of(data: Path, number: int) -> list[Layer]:
    """Layers of scene `number`, from back to front, `MARGIN` wider than the picture on each side."""
    scene = SCENES[number]
    height, width = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    light = _light(data, scene.photo)[:, :height, :width]
    if scene.bright > 1:  # what a file shows as white may have been many times brighter
        light = light * (1 + ((TONE.encode(light) - 0.85) / 0.15).clamp(0, 1) * (scene.bright - 1))
    blur = _background(data, scene.photo, scene.blur_px)[:height, :width]
    layers = [Layer(light, torch.ones(height, width), blur)]
    for thing in sorted(scene.things, key=lambda thing: -thing.blur_px):
        surface = _light(data, thing.photo)[:, -height:, -width:]
        alpha = mask(thing, height, width)
        layers.append(Layer(surface, alpha, torch.full((height, width), float(thing.blur_px))))
    return layers


def mask(thing: Thing, height: int, width: int) -> Tensor:
    """H W in [0, 1], anti-aliased."""
    y, x = torch.meshgrid(torch.arange(height) - thing.y * height, torch.arange(width) - thing.x * width, indexing="ij")
    if thing.shape == "disc":
        return (thing.size_px - torch.hypot(x, y) + 0.5).clamp(0, 1)
    if thing.shape == "bars":  # six slanted bars of 3, 4, ... 8 px
        across = x * 0.94 + y * 0.34
        bars = [((3 + k) / 2 - (across - (k - 2.5) * thing.size_px).abs() + 0.5).clamp(0, 1) for k in range(6)]
        return torch.stack(bars).amax(0)
    angle = torch.atan2(y, x)
    ragged = 1 + 0.25 * torch.sin(3 * angle + 1) + 0.15 * torch.sin(7 * angle) + 0.1 * torch.sin(17 * angle + 2)
    return (thing.size_px * ragged - torch.hypot(x, y) + 0.5).clamp(0, 1)


def _light(data: Path, number: int, reduced: int = 1) -> Tensor:
    """A photograph, 3 H W in linear light."""
    picture = Image.open(data / "photos" / "kodak" / f"{number}.png").convert("RGB")
    if reduced > 1:
        picture = picture.resize((picture.width // reduced, picture.height // reduced), Image.Resampling.LANCZOS)
    return TONE.decode(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)


def _background(data: Path, number: int, blur_px: tuple[float, ...], height: int = 512, width: int = 768) -> Tensor:
    if len(blur_px) == 4:
        share = torch.linspace(0, 1, width)
        top, bottom = (torch.lerp(torch.tensor(a), torch.tensor(b), share)
                       for a, b in (map(float, blur_px[:2]), map(float, blur_px[2:])))  # fmt: skip
        return torch.lerp(top[None], bottom[None], torch.linspace(0, 1, height)[:, None])
    far, near = blur_px
    depth = Image.open(data / "depth" / "kodak" / f"{number}.png").convert("F")
    depth = depth.resize((width, height), Image.Resampling.BILINEAR)
    return far + (near - far) * torch.from_numpy(np.array(depth)) / 255


def simulated(data: Path, number: int) -> dict[str, np.ndarray]:
    """Scene `number` through a lens like those of training: "sharp" 3 H W, each variant 2 3 H W, bytes; "blur_px"."""
    layers = layers_of(data, number)
    light = render.render(layers, SCENES[number].lens, MARGIN)
    sharp, blur_px = render.composite(layers, MARGIN)
    views = _whole(TONE.encode(light))
    made: dict[str, Tensor] = {"sharp": TONE.encode(sharp), "uncoded": views}
    made["JPEG 85"] = torch.stack([as_jpeg(view, 85, "420") for view in views])
    if "H.264 16" in SIMULATED:
        made["H.264 16"] = torch.stack([as_h264(view, 16) for view in views])
    for sigma in NOISES:
        made[f"noise {sigma}"] = _noisy(light, sigma, number)
    return {name: _bytes(picture) for name, picture in made.items()} | {"blur_px": blur_px.numpy()}


def strange(data: Path, number: int) -> dict[str, np.ndarray]:
    """Scene `number` through kernels never trained on, as `simulated`."""
    layers = layers_of(data, number)
    sharp, blur_px = render.composite(layers, MARGIN)
    pictures = {"sharp": sharp} | {v: pupils.render(layers, pupil_of(v, number), MARGIN) for v in KERNELS}
    return {name: _bytes(TONE.encode(x)) for name, x in pictures.items()} | {"blur_px": blur_px.numpy()}


def native(data: Path, number: int) -> dict[str, np.ndarray]:
    """Small blur on a reduced photograph, as `simulated`: "sharp", "native" and "blur_px"."""
    photo, corners = NATIVE[number]
    light = _light(data, photo, 2)
    blur = _background(data, photo, corners, *light.shape[1:])
    layers = [Layer(light, torch.ones_like(blur), blur)]
    pupil = Pupil(width=0.6 + 0.1 * number, softness_px=0.15, softness_rel=0.05)
    sharp, blur_px = render.composite(layers, NATIVE_MARGIN)
    pictures = {"sharp": sharp, "native": pupils.render(layers, pupil, NATIVE_MARGIN)}
    return {name: _bytes(TONE.encode(x)) for name, x in pictures.items()} | {"blur_px": blur_px.numpy()}


def _noisy(light: Tensor, sigma: int, number: int) -> Tensor:
    """Views in display values, with shot noise of `sigma` levels at mid grey and a tenth of it as read noise."""
    grey = float(TONE.decode(torch.tensor([0.5])))
    slope = float(TONE.encode(torch.tensor([grey + 1e-3])) - TONE.encode(torch.tensor([grey - 1e-3]))) / 2e-3
    deviation = sigma / 255 / slope
    random = np.random.default_rng([sigma, number])
    noise = torch.from_numpy(random.standard_normal(light.shape, dtype=np.float32))
    return TONE.encode(light + noise * deviation * (light.clamp(0, 1) / grey + 0.01).sqrt())


def _whole(picture: Tensor) -> Tensor:
    return (picture * 255).round() / 255


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().numpy()
