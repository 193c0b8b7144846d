"""JNB: blur from how few atoms of a dictionary describe a patch.

Shi, Xu and Jia, "Just noticeable defocus blur detection and estimation", CVPR 2015.

The dictionary holds patches of slightly blurred photographs: a sharp patch needs many of them, a blurred one few. It is
a method for small blur: beyond a sigma of 2 pixels the count hardly falls any more, and what has no texture looks
blurred.

Steps and constants are those of the authors' demonstration: `_counts` (orthogonal matching pursuit until the residual
is below 8 x 2 x 1.15 grey levels of 255), `_smoothed` (domain transform, guided by the picture), and from the count to
sigma by a curve.

Choices the paper leaves open, or that are ours:
- The dictionary and the curve are our own, learned from photographs by `examples/train_jnb_dictionary.py`; the authors'
  may not be passed on.
- `holes` was set by hand for each picture. It is off here unless asked for: with it on, sharp but empty places are
  filled from beside them, but so are places that are empty because they are far out of focus.
- `fast` codes every second patch each way and filters at that size.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import scipy
import skimage
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.classical.pictures import Array, colours, grey
from dualpix.classical.propagation import domain_transform, spread
from dualpix.errors import PictureError
from dualpix.tables import pick

PATCH_PX = 8
CENTRE_PX = 3  # a patch tells of its fourth pixel each way
LEAST_PX = 16
RESIDUAL = PATCH_PX * 2 * 1.15 / 255
MOST_ATOMS = 64
BATCH = 512  # patches whose working set stays in a processor's cache
RELIABLE_COUNT = 3
STRIDES = {"fast": 2, "faithful": 1}


@dataclass(frozen=True)
class Dictionary:
    """Small patches of sharp photographs, and how many of them blurred photographs need.

    Args:
        atoms: 64 x 128, unit norm, no mean.
        counts_whole: The smoothed count, falling, that textured photographs show at each blur of `sigmas_px`.
        counts_holes: The same with `holes`.
    """

    atoms: Array
    sigmas_px: Array
    counts_whole: Array
    counts_holes: Array

    def sigma_px(self, sharpness: Array, holes: bool) -> Array:
        """The blur at which photographs show so many atoms, within the range of `sigmas_px`."""
        counts = self.counts_holes if holes else self.counts_whole
        return np.interp(sharpness, counts[::-1], self.sigmas_px[::-1]).astype(np.float32)


def blur_map(picture: Tensor, mode: str = "fast", holes: bool = False) -> Tensor:
    """Standard deviation of the Gaussian blur, in pixels, from 0 to 4: H W, of one picture 3 H W in [0, 1].

    mode: "faithful" codes every patch; "fast" every second each way. holes: ignore patches with 3 atoms or fewer and
    fill from beside them. Raises `PictureError` for a picture without texture, below 16 pixels a side, or with NaN;
    `RecipeError` for an unknown mode.
    """
    stride = pick(STRIDES, mode, "mode")
    dictionary = load_dictionary()
    brightness = grey(colours(picture, LEAST_PX))
    counts = count_atoms(brightness, dictionary.atoms, stride)
    if not counts.any():
        raise PictureError(
            "The picture has no texture anywhere, so JNB has nothing to tell its blur by;"
            " give a picture with visible detail."
        )
    sigma_px = dictionary.sigma_px(smooth(counts, brightness, stride, holes), holes)
    return torch.from_numpy(_full_size(sigma_px, stride, brightness.shape))


def smooth(counts: Array, brightness: Array, stride: int, holes: bool) -> Array:
    """The counts of `count_atoms` made smooth within the surfaces of grey H W, for one patch each as given."""
    rows, columns = (slice(CENTRE_PX, CENTRE_PX + stride * side, stride) for side in counts.shape)
    guide = scipy.ndimage.gaussian_filter(brightness, 1, radius=2)[rows, columns]
    return (
        _filled(counts, guide[None], stride)
        if holes
        else domain_transform(counts[None], guide[None], 10 / stride, 0.2)[0]
    )


def _filled(counts: Array, guide: Array, stride: int) -> Array:
    reliable = scipy.ndimage.binary_erosion(counts > RELIABLE_COUNT, np.hypot(*np.ogrid[-2:3, -2:3]) <= 2)
    if not reliable.any():
        raise PictureError(
            "No place of the picture is sharp enough to fill its empty places from;"
            " leave `holes` off, or give a picture with sharper detail."
        )
    dense = spread(counts, reliable, guide, 15 / stride, 0.15)
    scale = dense.max()
    evened = skimage.restoration.denoise_bilateral(
        dense / scale, win_size=11, sigma_color=0.1, sigma_spatial=5 / stride, mode="edge"
    )
    return np.asarray(evened * scale, dtype=np.float32)


def count_atoms(brightness: Array, atoms: Array, stride: int = 1) -> Array:
    """How many atoms bring each patch's residual below `RESIDUAL`: one number for each `stride`-th patch of grey H W.

    Patches of 8 x 8 start at 0, `stride`, 2 `stride`, ...; their mean is no part of the code.
    """
    height, width = ((side - PATCH_PX) // stride + 1 for side in brightness.shape)
    patches = F.unfold(torch.from_numpy(brightness)[None, None], PATCH_PX, stride=stride)[0].T  # N 64
    patches = patches - patches.mean(dim=1, keepdim=True)
    return pursue(patches, torch.from_numpy(atoms), RESIDUAL).reshape(height, width).numpy()


def pursue(signals: Tensor, atoms: Tensor, residual: float, most: int = MOST_ATOMS) -> Tensor:
    """Count the atoms that each signal takes, by orthogonal matching pursuit.

    Args:
        signals: N n.
        atoms: n m, of unit norm.
        residual: The norm of what may be left of a signal.
        most: The largest count.

    Returns:
        N, as float32.
    """
    counts = torch.zeros(len(signals))
    energy = signals.square().sum(dim=1)
    live = (energy > residual**2).nonzero()[:, 0]
    gram = atoms.T @ atoms
    # Of one size, patches of one batch are likely to finish together.
    for batch in torch.split(live[energy[live].argsort()], BATCH):
        counts[batch] = _pursue_together(signals[batch], atoms, gram, residual**2, most)
    return counts


def _pursue_together(signals: Tensor, atoms: Tensor, gram: Tensor, enough: float, most: int) -> Tensor:
    """The counts of one batch.

    Each chosen atom is made orthogonal to those before it, but only its products with all atoms are kept: `products[i]`
    (N m) are those of the i-th direction, so the Gram matrix gives the next without a system of equations.
    """
    counts = torch.zeros(len(signals))
    who = torch.arange(len(signals))
    correlations, energy = signals @ atoms, signals.square().sum(dim=1)
    products: list[Tensor] = []
    for _ in range(most):
        busy = energy > enough
        counts[who] += busy
        if busy.sum() < 0.8 * len(who):
            who, correlations, energy = who[busy], correlations[busy], energy[busy]
            products = [earlier[busy] for earlier in products]
        if len(who) == 0:
            break
        best = correlations.abs().argmax(dim=1, keepdim=True)
        product = gram[best[:, 0]]
        for earlier in products:
            product.addcmul_(earlier.gather(1, best), earlier, value=-1)
        norm = product.gather(1, best).clamp_(min=1e-6).sqrt_()
        product /= norm
        share = correlations.gather(1, best) / norm
        correlations = correlations.addcmul_(share, product, value=-1)
        energy = energy - share[:, 0].square()
        products.append(product)
    return counts


def _full_size(grid: Array, stride: int, shape: tuple[int, ...]) -> Array:
    """Between the patches linearly, beyond the outermost unchanged: H W."""
    rows, columns = ((np.arange(side, dtype=np.float32) - CENTRE_PX) / stride for side in shape)
    where = np.meshgrid(rows, columns, indexing="ij")
    full: Array = scipy.ndimage.map_coordinates(grid, where, order=1, mode="nearest", output=np.float32)
    return full


@lru_cache(maxsize=1)
def load_dictionary() -> Dictionary:
    """The dictionary and curve that ship with the package."""
    with resources.files("dualpix.classical").joinpath("jnb_dictionary.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return Dictionary(**{name: arrays[name] for name in Dictionary.__dataclass_fields__})
