"""Make `halves.npz`: one scene, path-traced through the left and through the right half of a lens.

    python -m venv tracing && tracing/bin/pip install mitsuba numpy
    tracing/bin/python tests/simulation/make_halves.py tests/simulation/halves.npz

Nothing here comes from the package: a thin lens of 50 mm at f/4, focused at 1 m, in metres, and an opaque card close
to the lens that covers one half of it. The camera looks down the z axis with y up and x to the right, so the right half
of the lens, as the photographer sees it, is that with x > 0, and the card of the right view covers x < 0. Each surface
is a shining rectangle with a texture whose texels, seen from the middle of the lens, fall on the sensor's pixels.
"""

import sys

import mitsuba as mi
import numpy as np

mi.set_variant("scalar_rgb")

WIDTH, HEIGHT, BORDER = 160, 120, 12  # the textures go on for BORDER pixels beyond the picture
FOCAL_M, F_NUMBER, FOCUS_M, PITCH_M = 0.050, 4.0, 1.0, 36e-3 / 1680
SAMPLES = 2025
# Rectangles: depth in metres; left, right, top, bottom in pixels of the picture, as seen from the middle of the lens.
SURFACES = {
    "behind": (2.0, -BORDER, WIDTH + BORDER, -BORDER, HEIGHT + BORDER),
    "in_focus": (FOCUS_M, 20, 80, 18, 66),
    "in_front": (0.8, 66, 134, 52, 104),
}


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise with a falling spectrum, bytes."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    white = np.fft.rfft2(rng.standard_normal((height, width)))
    field = np.fft.irfft2(white / np.maximum(frequency, 0.02) ** 0.9, s=(height, width))
    return np.clip(110 + 60 * field / field.std(), 10, 255).astype(np.uint8)


def checks(height: int, width: int, side: int = 6) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where((x // side + y // side) % 2, 220, 25).astype(np.uint8)


def rectangle(left: float, right: float, top: float, bottom: float, z: float) -> dict:
    transform = mi.ScalarTransform4f
    place = transform().translate([(left + right) / 2, (top + bottom) / 2, z])
    return {"type": "rectangle", "to_world": place.scale([(right - left) / 2, (top - bottom) / 2, 1])}


def shining(depth_m: float, left: float, right: float, top: float, bottom: float, pixels: np.ndarray) -> dict:
    scale = PITCH_M / (FOCAL_M * FOCUS_M / (FOCUS_M - FOCAL_M)) * depth_m  # a pixel's width at that depth
    x = [(edge - WIDTH / 2) * scale for edge in (left, right)]
    y = [(HEIGHT / 2 - edge) * scale for edge in (top, bottom)]
    light = np.repeat(pixels[::-1, :, None].astype(np.float32) / 255, 3, axis=2)  # v of the texture runs upwards
    bitmap = {"type": "bitmap", "bitmap": mi.Bitmap(light), "raw": True, "filter_type": "nearest"}
    return rectangle(*x, *y, -depth_m) | {"emitter": {"type": "area", "radiance": bitmap}}


def camera() -> dict:
    half_width = WIDTH / 2 * PITCH_M / (FOCAL_M * FOCUS_M / (FOCUS_M - FOCAL_M))
    look = mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0])
    film = {
        "type": "hdrfilm",
        "width": WIDTH,
        "height": HEIGHT,
        "rfilter": {"type": "box"},
        "pixel_format": "luminance",
    }
    return {
        "type": "thinlens",
        "to_world": look,
        "fov": float(np.degrees(2 * np.arctan(half_width))),
        "fov_axis": "x",
        "aperture_radius": FOCAL_M / F_NUMBER / 2,
        "focus_distance": FOCUS_M,
        "near_clip": 1e-6,
        "far_clip": 10.0,
        "film": film,
        "sampler": {"type": "multijitter", "sample_count": SAMPLES},
    }


def photograph(textures: dict[str, np.ndarray], side: str) -> np.ndarray:
    """The view through one half of the lens, H W, as bright as that through the whole."""
    far = 1.0
    card = rectangle(*((-far, 0) if side == "right" else (0, far)), far, -far, -1e-5)
    card["bsdf"] = {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}}
    surfaces = {name: shining(*SURFACES[name], pixels) for name, pixels in textures.items()}
    scene = {"type": "scene", "integrator": {"type": "path", "max_depth": 1}, "camera": camera(), "card": card}
    return 2 * np.array(mi.render(mi.load_dict(scene | surfaces), seed=0))[..., 0]


def main(path: str) -> None:
    rng = np.random.default_rng(0)
    sizes = {name: (bottom - top, right - left) for name, (_, left, right, top, bottom) in SURFACES.items()}
    textures = {name: texture(rng, *size) for name, size in sizes.items()}
    textures["in_front"] = checks(*sizes["in_front"]) // 2 + textures["in_front"] // 2
    views = {side: photograph(textures, side) for side in ("left", "right")}
    stored = {side: np.round(view.clip(0, 1) * 65535).astype(np.uint16) for side, view in views.items()}
    places = {f"{name}_place": np.array(place, dtype=np.float64) for name, place in SURFACES.items()}
    lens = np.array([FOCAL_M, F_NUMBER, FOCUS_M, PITCH_M])
    np.savez_compressed(path, **stored, **textures, **places, lens=lens)


if __name__ == "__main__":
    main(sys.argv[1])
