"""Random optics for training: the lenses, sensors and developers with which simulated photographs are taken.

One distribution serves all cameras. Its ranges are wider than what was measured on a Canon 5D Mark IV
(results/calibration-dpdd-preview.md), a Canon R6 Mark II and a Pixel 4; what each part contributed on real photographs
is in results/light.md.
"""

from dataclasses import dataclass, replace

import numpy as np

from dualpix.simulation.developer import Developer
from dualpix.simulation.kernels import Lens, largest_rho
from dualpix.simulation.sensor import Sensor, Tone

MOST_CONTRAST = 0.9  # `Tone.contrast`; real Canon pairs have 0.4 to 1 (results/calibration-dpdd-preview.md)


@dataclass(frozen=True)
class Light:
    """Distribution of lenses, sensors and developers. Shares are of lenses or of pairs, in [0, 1].

    Attributes:
        one_sided: Share of lenses whose views are one-sided (`Lens.side`); other lenses' views are mirror images of one
            another.
        rho: Range of disparity per blur radius of lenses that are not one-sided, lower values more often.
        one_sided_rho: Range of one-sided lenses, uniform: a narrow crescent lies far from the centre. Beyond 0.6 the
            dividing edge is nearly a step.
        falling: Share of lenses, not one-sided, whose rho decreases towards the sides of the frame.
        bright_rims: Share of lenses with a bright rim, up to 0.8.
        aberration_px: Standard deviation of each aberration at the pupil's edge, in pixels.
        uneven: Standard deviation of the gradients of the pupil's transmission.
        decentre: Largest offset of the opening from the centre, away from the side of the frame where the scene lies.
        noisy: Share of pairs with noise.
        shot: Range of the variance of shot noise at white, log-uniform.
        grainy: Share of noisy pairs whose noise was smoothed by a raw converter.
        sharpened: Share of pairs whose developer sharpened all pictures.
        local_tone: Share of pairs whose developer brightened and darkened parts of the pictures.
    """

    one_sided: float = 0.5
    rho: tuple[float, float] = (0.08, 0.65)
    one_sided_rho: tuple[float, float] = (0.3, 0.85)
    falling: float = 0.5
    bright_rims: float = 0.25
    aberration_px: float = 0.4
    uneven: float = 0.15
    decentre: float = 0.0
    noisy: float = 0.5
    shot: tuple[float, float] = (1e-6, 1e-2)
    grainy: float = 0.5
    sharpened: float = 0.0
    local_tone: float = 0.0


LIGHTS: dict[str, Light] = {
    "any": Light(),
    "canon-5d-mark-iv": Light(rho=(0.25, 0.44), one_sided=0.0, falling=1.0, bright_rims=0.1, noisy=0.2),
    "pixel-4": Light(rho=(0.3, 0.45), one_sided=0.5, falling=0.5, noisy=0.9),
}
"""By camera: "any" is what the shipped weights have learnt from. The others narrow rho to what was measured: 0.25 to
0.44, falling to the sides (`results/calibration-dpdd-preview.md`), and 0.42 in the middle with crescents at the sides
(`docs/simulator.md`). Their shares of noise and of bright rims are guesses, and no weights were trained on them."""


def draw_lens(rng: np.random.Generator, light: Light) -> Lens:
    """Draw a random lens, at a random position in the frame.

    A rho that the drawn shape cannot have is lowered to 95 % of the largest possible one.

    Args:
        rng: Source of randomness.
        light: The distribution.
    """
    x = float(rng.uniform(-1, 1))  # over the width of the frame
    one_sided = rng.random() < light.one_sided
    low, high = light.one_sided_rho if one_sided else light.rho
    rho = low + (high - low) * float(rng.random()) ** (1.0 if one_sided else 1.5)
    if rng.random() < light.falling and not one_sided:
        rho *= 1 - float(rng.uniform(0.2, 0.6)) * x * x
    clipped, bladed, bright = (rng.random() < share for share in (0.3, 0.3, light.bright_rims))
    rim = float(rng.uniform(0.2, 0.8) if bright else rng.uniform(-0.5, 0.2))
    side = float(x * rng.uniform(0, 0.9) + rng.normal(0, 0.1))
    lens = Lens(
        rho=max(rho, light.rho[0]),
        rim=rim,
        rim_order=float(rng.uniform(1, 4)),
        split=float(rng.uniform(0, 0.6)),
        skew=0.25 * x if rng.random() < 0.4 else 0.0,
        softness_px=float(rng.uniform(0.1, 0.5)),
        softness_rel=float(rng.uniform(0.03, 0.12)),
        blades=8 if bladed else 0,
        clip=(0.4 * x, float(rng.uniform(-0.2, 0.2))) if clipped else (0.0, 0.0),
        decentre=float(-light.decentre * x * rng.uniform(0, 1) + rng.normal(-0.015, 0.02)),
        side=side if one_sided else None,
        rim_growth=float(rng.normal(0, 0.15)),
        shade=_three(rng, light.uneven),
        uneven=_three(rng, light.uneven),
        aberrations=tuple(float(a) for a in rng.normal(0, light.aberration_px, 5)),  # type: ignore[arg-type]
    )
    return replace(lens, rho=min(lens.rho, 0.95 * largest_rho(lens)))


def _three(rng: np.random.Generator, deviation: float) -> tuple[float, float, float]:
    first, second, third = (float(amount) for amount in rng.normal(0, deviation, 3))
    return first, second, third


def draw_sensor(rng: np.random.Generator, tone: Tone, light: Light) -> Sensor:
    """Draw a clean or a noisy sensor with a trace of opposite shading in the two views, and its developer.

    Args:
        rng: Source of randomness.
        tone: The sensor's tone curve.
        light: The distribution.
    """
    noisy, grainy, sharpened, local = (
        rng.random() < share for share in (light.noisy, light.grainy, light.sharpened, light.local_tone)
    )
    shot = float(np.exp(rng.uniform(*np.log(light.shot))))
    read = float(10 ** rng.uniform(-4.5, -2.7))
    grain_px, amount, radius_px, field, seed = (
        float(rng.uniform(*span)) for span in ((0.4, 0.9), (0.2, 1.2), (0.5, 1.5), (0.05, 0.25), (0, 2**31))
    )
    return Sensor(
        tone=tone,
        shading=float(rng.uniform(-0.007, 0.007)),
        shot=shot if noisy else 0.0,
        read=read if noisy else 0.0,
        grain_px=grain_px if noisy and grainy else 0.0,
        developer=Developer(amount if sharpened else 0.0, radius_px, field if local else 0.0, int(seed)),
    )
