"""Train the dictionary of JNB from photographs, and measure how its count of atoms falls with blur.

    pip install scikit-learn
    python examples/train_jnb_dictionary.py photos/cid22 src/dualpix/classical/jnb_dictionary.npz

The file in the package came from CID22 (245 photographs, CC BY-SA 4.0), in about two minutes on one core. Every tenth
photograph is kept from the training and measures the curve.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.decomposition import MiniBatchDictionaryLearning

from dualpix.classical.jnb import PATCH_PX, RESIDUAL, Dictionary, count_atoms, smooth
from dualpix.classical.pictures import Array, colours, grey
from dualpix.errors import PictureError
from dualpix.io import read_picture
from dualpix.machine.files import write_whole

ATOMS = 128
PATCHES_PER_PHOTO = 150
LEARNING_BLUR_PX = (0.5, 2.0)
SPARSITY = 0.05
PASSES = 2
ALIKE = 0.99
SIGMAS_PX = np.arange(0, 4.01, 0.25, dtype=np.float32)
MEASURED_SIDE_PX = 160
STRIDE = 2
TEXTURED_COUNT = 5  # of the smoothed count in the sharp photograph
FALL = 1e-3  # the curve must fall, or it has no inverse


def read_grey(path: Path) -> Array:
    return grey(colours(read_picture(path).pixels, 2 * PATCH_PX))


def blurred(photo: Array, sigma_px: float) -> Array:
    """As a camera would save it, in 8 bits."""
    return np.round(ndimage.gaussian_filter(photo, sigma_px) * 255).astype(np.float32) / 255


def patches_of(photo: Array, random: np.random.Generator) -> Array:
    """Some patches N 64 of a photograph that is slightly blurred, without their mean, those with texture."""
    picture = blurred(photo, random.uniform(*LEARNING_BLUR_PX))
    rows, columns = (random.integers(0, side - PATCH_PX + 1, 2 * PATCHES_PER_PHOTO) for side in picture.shape)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH_PX, PATCH_PX))
    patches = windows[rows, columns].reshape(-1, PATCH_PX**2)
    patches = patches - patches.mean(axis=1, keepdims=True)
    return patches[np.linalg.norm(patches, axis=1) > RESIDUAL][:PATCHES_PER_PHOTO]


def learn(patches: Array) -> Array:
    """Atoms 64 x 128 of unit norm; patches are what they start from."""
    starts = patches[:: len(patches) // ATOMS][:ATOMS]
    learner = MiniBatchDictionaryLearning(
        ATOMS,
        alpha=SPARSITY,
        max_iter=PASSES,
        batch_size=128,
        dict_init=starts / np.linalg.norm(starts, axis=1, keepdims=True),
        tol=0,
        max_no_improvement=None,
        random_state=0,
    )
    atoms = learner.fit(patches).components_.T
    atoms = atoms - atoms.mean(axis=0)
    return np.ascontiguousarray(atoms / np.linalg.norm(atoms, axis=0), dtype=np.float32)


def distinct(atoms: Array) -> Array:
    """Without those that say the same as an earlier one."""
    kept: list[int] = []
    for place, row in enumerate(np.abs(atoms.T @ atoms)):
        if not kept or row[kept].max() < ALIKE:
            kept.append(place)
    return np.ascontiguousarray(atoms[:, kept])


def measure(photos: Sequence[Array], atoms: Array) -> dict[str, Array]:
    """The median smoothed count over the textured places of all photographs, at each blur of `SIGMAS_PX`."""
    counts: dict[bool, list[list[Array]]] = {holes: [[] for _ in SIGMAS_PX] for holes in (False, True)}
    for photo in photos:
        textured = None
        for place, sigma_px in enumerate(SIGMAS_PX):
            picture = blurred(photo[:MEASURED_SIDE_PX, :MEASURED_SIDE_PX], sigma_px)
            raw = count_atoms(picture, atoms, STRIDE)
            for holes in (False, True):
                try:
                    smoothed = smooth(raw, picture, STRIDE, holes)
                except PictureError:  # nothing in it is sharp enough to fill holes from
                    continue
                textured = smoothed > TEXTURED_COUNT if textured is None else textured
                counts[holes][place].append(smoothed[textured])
    return {name: falling(counts[holes]) for name, holes in (("counts_whole", False), ("counts_holes", True))}


def falling(counts: Sequence[Sequence[Array]]) -> Array:
    """Their medians; each a little below the one before, also where no photograph has a count."""
    medians = [np.median(np.concatenate(each)) if each else np.inf for each in counts]
    return (np.minimum.accumulate(medians) - FALL * np.arange(len(medians))).astype(np.float32)


def main(folder: Path, target: Path) -> None:
    paths = sorted(folder.glob("*.png"))
    random = np.random.default_rng(0)
    training = [path for place, path in enumerate(paths) if place % 10]
    patches = np.concatenate([patches_of(read_grey(path), random) for path in training])
    print(f"{len(patches)} patches of {len(training)} photographs")
    atoms = distinct(learn(patches))
    print(f"{atoms.shape[1]} atoms")
    curves = measure([read_grey(path) for path in paths[::10]], atoms)
    for name, curve in curves.items():
        print(name, np.round(curve, 2))
    dictionary = Dictionary(atoms, SIGMAS_PX, **curves)
    file = io.BytesIO()
    np.savez(file, **vars(dictionary))
    write_whole(target, file.getvalue())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("target", type=Path)
    asked = parser.parse_args()
    main(asked.photos, asked.target)
