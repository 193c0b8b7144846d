"""From values at a few pixels to a value at every pixel, along the picture's own surfaces.

The recursive filter of the domain transform: Gastal and Oliveira, "Domain transform for edge-aware image and video
processing", SIGGRAPH 2011, sections 4 and 6. A step between two neighbours counts as long as their colours differ, so
values flow within a surface and hardly across its border.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dualpix.classical.pictures import Array


def domain_transform(signal: Array, guide: Array, spatial_px: float, colour_range: float, iterations: int = 3) -> Array:
    """`signal` (planes H W) smoothed along rows and columns, but not across the edges of `guide` (C H W in [0, 1]).

    spatial_px: standard deviation of the smoothing where the guide is flat, in pixels.
    colour_range: the difference of colour, summed over the channels, that counts as `spatial_px` pixels of distance.
    Each plane keeps a constant exactly.
    """
    down, across = (_distances(guide, axis, spatial_px / colour_range) for axis in (1, 2))
    planes = np.moveaxis(signal, 0, 1).copy()  # H P W: what a pass goes along comes first
    for iteration in range(1, iterations + 1):
        step_px = spatial_px * math.sqrt(3) * 2 ** (iterations - iteration) / math.sqrt(4**iterations - 1)
        planes = np.ascontiguousarray(planes.transpose(2, 1, 0))  # W P H
        _both_ways(planes, np.exp(-math.sqrt(2) / step_px * across))
        planes = np.ascontiguousarray(planes.transpose(2, 1, 0))  # H P W
        _both_ways(planes, np.exp(-math.sqrt(2) / step_px * down))
    return np.ascontiguousarray(np.moveaxis(planes, 1, 0))


def spread(
    values: Array, known: NDArray[np.bool_], guide: Array, spatial_px: float, colour_range: float, iterations: int = 3
) -> Array:
    """A value at every pixel H W: the mean of the known `values` H W, weighted by nearness along `guide` (C H W).

    Where even the nearest known value is too far to have any weight, it is the median of all. Raises ValueError if none
    is known.
    """
    if not known.any():
        raise ValueError("There is no known value to spread.")
    weight = known.astype(np.float32)
    sums, weights = domain_transform(
        np.stack([np.where(known, values, 0).astype(np.float32), weight]), guide, spatial_px, colour_range, iterations
    )
    reached = weights > np.finfo(np.float32).tiny * 1e6
    middle = np.median(values[known]).astype(np.float32)
    return np.where(reached, sums / np.where(reached, weights, 1), middle)


def _distances(guide: Array, axis: int, stretch: float) -> Array:
    """Distance of each pixel from the next along `axis` of C H W; that axis comes first in the result."""
    jumps = np.abs(np.diff(guide, axis=axis)).sum(axis=0)
    distances = np.asarray(1 + stretch * jumps, dtype=np.float32)
    return np.ascontiguousarray(distances.T) if axis == 2 else distances


def _both_ways(planes: Array, kept: Array) -> None:
    """Apply the recursive filter forward and back, in place, along the first axis of `planes` (length, planes, lines).

    `kept` (length - 1, lines) is the share of a neighbour's value that is passed on.
    """
    for place in range(1, len(planes)):
        planes[place] += kept[place - 1] * (planes[place - 1] - planes[place])
    for place in range(len(planes) - 2, -1, -1):
        planes[place] += kept[place] * (planes[place + 1] - planes[place])
