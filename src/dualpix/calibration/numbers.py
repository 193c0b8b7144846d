"""A camera's parameters, by name, from what the other calibration files find.

Each function takes what was found and gives numbers; what cannot be determined is added to `missing` as a sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dualpix.calibration.blind import fit_blind
from dualpix.calibration.fit import Field, robust_fit
from dualpix.calibration.views import coding_error, equal_quality, fit_noise, fit_shading
from dualpix.simulation.sensor import Tone

MIN_WINDOWS = 12
DISPARITY_EDGES = (-4.0, -2.0, -1.0, -0.3, 0.3, 1.0, 2.0, 4.0, 8.0)
BLUR_EDGES = (1.0, 3.0, 6.0, 10.0, 15.0, 24.0)
RHO_BLURS = (2.0, 4.0, 8.0, 16.0, 28.0)
RHO_PLACES = (0.0, 0.33, 0.67, 1.0)


@dataclass(frozen=True)
class Number:
    """A measured number.

    Attributes:
        value: The median, or a share.
        low: 10th percentile over places, or over pairs where there are several; None for shares of one pair.
        high: 90th percentile.
        count: How many windows, blocks, patches or edges it is based on.
    """

    value: float
    low: float | None
    high: float | None
    count: int


Numbers = dict[str, Number]


def number(values: Tensor) -> Number:
    """Median, 10th and 90th percentile of values, of any unit."""
    low, middle, high = values.double().quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    return Number(middle, low, high, len(values))


def _shares(what: str, unit: str, values: Tensor, edges: Sequence[float]) -> Numbers:
    """The share of the values in each range between edges, and beyond them."""
    index = torch.bucketize(values, torch.tensor(edges, dtype=values.dtype))
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    names = [
        f"{low} to {high}" if low and high else f"below {high}" if high else f"above {low}"
        for low, high in pairwise(ends)
    ]
    return {
        f"share of {what} {name} {unit}": Number(float((index == i).double().mean()), None, None, len(values))
        for i, name in enumerate(names)
    }


def of_disparity(disparity: Tensor) -> Numbers:
    """Disparity in pixels, from `match_rows`: its distribution, and the share of windows in ranges."""
    known = disparity[disparity.isfinite()]
    return {"disparity px": number(known)} | _shares("disparity", "px", known, DISPARITY_EDGES)


def of_shading(left: Tensor, right: Tensor) -> Numbers:
    """Opposite shading of the two views, H x W in linear light: its tilt, and the difference of exposure."""
    line = fit_shading(left, right)
    if line.tilt != line.tilt:
        return {}
    tilt, offset = (Number(v, v - line.tilt_error, v + line.tilt_error, line.blocks) for v in (line.tilt, line.offset))
    return {"shading tilt": tilt, "shading offset": offset}


def of_blind(left: Tensor, right: Tensor, missing: list[str]) -> Numbers:
    """Blur and rho from two views alone, H x W in linear light."""
    found = fit_blind(left, right)
    known = found.rho.isfinite()
    if int(known.sum()) < MIN_WINDOWS:
        missing.append("Too little is visibly blurred to determine rho from the views alone.")
        return {}
    return {
        "rho from views alone": number(found.rho[known]),
        "blur from views alone px": number(found.blur_px[known]),
    }


def of_blur(found: Field) -> Numbers:
    """Blur radii of a scene: their distribution, the shares in focus and in front of the focus, and slants."""
    blur = found.blur_px[found.good]
    out_of_focus = blur.abs() > 1
    numbers = {"blur px": number(blur)} | _shares("blur", "px either sign", blur.abs(), BLUR_EDGES)
    numbers["share in focus"] = Number(float((~out_of_focus).double().mean()), None, None, len(blur))
    if bool(out_of_focus.any()):
        in_front = float((blur[out_of_focus] < 0).double().mean())
        numbers["share in front of what is out of focus"] = Number(in_front, None, None, int(out_of_focus.sum()))
    slants = [_slants(found, axis) for axis in (0, 1) if found.good.shape[axis] > 3]
    if slants and len(torch.cat(slants)):
        numbers["slant px per 100 px"] = number(torch.cat(slants))
    return numbers


def _slants(found: Field, axis: int) -> Tensor:
    """How much the blur changes over 96 px along one axis, per 100 px."""
    count = found.good.shape[axis] - 3
    (a, b), (fine_a, fine_b) = (
        (plane.narrow(axis, 0, count), plane.narrow(axis, 3, count)) for plane in (found.blur_px, found.good)
    )
    return (b - a)[fine_a & fine_b].abs() / 0.96


def of_rho(found: Field, disparity: Tensor, ratio: float, missing: list[str]) -> Numbers:
    """Measure rho: its distribution, its dependence on place and blur, and its fall towards the sides of the frame.

    Args:
        found: The fitted field of the pair.
        disparity: From `match_rows`, for comparison.
        ratio: rho under the measured kernels over rho under the typical ones that the field was fitted with.
        missing: Gets a sentence if too little is blurred.
    """
    split, rho = found.split, found.rho * ratio
    if int(split.sum()) < MIN_WINDOWS:
        missing.append("Too little is blurred by 2 px or more to determine rho.")
        return {}
    numbers = {"rho": number(rho[split])}
    for what, values, edges in (("|x|", found.x.abs(), RHO_PLACES), ("|blur| px", found.blur_px.abs(), RHO_BLURS)):
        for low, high in pairwise(edges):
            here = split & (values >= low) & (values < high)
            if int(here.sum()) >= MIN_WINDOWS:
                numbers[f"rho at {what} {low:g} to {high:g}"] = number(rho[here])
    x = found.x[split]
    middle, fall = robust_fit(torch.stack([torch.ones_like(x), -x * x], 1), rho[split], 0.1).tolist()
    numbers["rho at the middle"] = Number(middle, None, None, int(split.sum()))
    numbers["rho's share lost at the sides"] = Number(fall / middle, None, None, int(split.sum()))
    return numbers | _of_slope(found, disparity)


def _of_slope(found: Field, disparity: Tensor) -> Numbers:
    """Measure rho independently, as the slope of matched disparity over blur."""
    # The matched windows lie half a block further to the right.
    width = disparity.shape[1]
    pairs = [(plane[:, :-1], plane[:, 1:]) for plane in (found.blur_px, found.split)]
    (a, b), (fine_a, fine_b) = ((x[:, :width], y[:, :width]) for x, y in pairs)
    blur = (a + b) / 2
    there = disparity[: blur.shape[0], : blur.shape[1]]
    usable = fine_a & fine_b & there.isfinite() & ((a - b).abs() < 1)
    if int(usable.sum()) < MIN_WINDOWS:
        return {}
    slope = robust_fit(blur[usable][:, None], there[usable], 0.5)
    return {"rho by matching": Number(float(slope), None, None, int(usable.sum()))}


def of_noise(left: Tensor, right: Tensor, tone: Tone, depth: int, missing: list[str]) -> Numbers:
    """Shot and read noise of the views, H x W, display-encoded, from files with `depth` bits."""
    noise = fit_noise(left, right, tone, depth)
    if noise is None:
        missing.append("No flat places to measure noise in.")
        return {}
    return {
        "noise shot": Number(noise.shot, *noise.shot_range, noise.blocks),
        "noise read": Number(noise.read, *noise.read_range, noise.blocks),
    }


def of_coding(left: Tensor, right: Tensor, disparity: Tensor, missing: list[str]) -> Numbers:
    """How much the views differ in focus, in levels of 255, and the JPEG quality that would cause as much.

    Args:
        left: Left view, 3 x H x W, display-encoded.
        right: Right view, of the same shape.
        disparity: From `match_rows`.
        missing: Gets a sentence if nothing is in focus.
    """
    error = coding_error(left[1], right[1], disparity)
    if error is None:
        missing.append("Nothing is in focus, which is needed to measure the loss by coding.")
        return {}
    windows = int((disparity.abs() < 0.08).sum())
    numbers = {"difference of views in focus levels": Number(error * 255, None, None, windows)}
    quality = equal_quality(left, disparity, error)
    if quality is not None:
        numbers["JPEG quality at most"] = Number(quality, None, None, windows)
    return numbers
