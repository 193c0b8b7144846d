"""Pairs of every kind, and what the page's JavaScript finds in them beside what the package does."""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import dualpix
from dualpix.io import read_picture
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.inspect import disparity_picture, scale_px
from dualpix.pairs.matching import noise_of
from dualpix.pairs.turning import inspection_of, lay_along_rows
from made_textures import natural_texture

SCRIPT = Path(__file__).parents[1] / "site" / "tests" / "verdicts.mjs"
Pair = tuple[Tensor, Tensor]

DRAWN_STEP = 997
"""Every so manieth number of a picture of the disparity is compared."""


def bundled(name: str) -> Tensor:
    """A picture of the pair inside the package, 640 x 480."""
    return read_picture(Path(dualpix.__file__).parent / "demo_pair" / f"{name}.png").pixels


def noisy(view: Tensor, sigma: float, seed: int) -> Tensor:
    """With independent noise of `sigma` of 255 levels."""
    noise = torch.randn(view.shape, generator=torch.Generator().manual_seed(seed))
    return (view + sigma / 255 * noise).clamp(0, 1)


def coded(view: Tensor, quality: int) -> Tensor:
    """A JPEG of it, by Pillow."""
    buffer = BytesIO()
    Image.fromarray((255 * view).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(buffer)) / np.float32(255)).permute(2, 0, 1)


CHANGES: dict[str, Callable[[Tensor, Tensor], Pair]] = {
    "as it is": lambda left, right: (left, right),
    "swapped": lambda left, right: (right, left),
    "upright": lambda left, right: (left.rot90(1, (1, 2)), right.rot90(1, (1, 2))),
    "upright the other way": lambda left, right: (left.rot90(-1, (1, 2)), right.rot90(-1, (1, 2))),
    "brighter": lambda left, right: (left * 0.7, right),
    "coded twice": lambda left, right: (left, coded(left, 80)),
    "mirrored": lambda left, right: (left, right.flip(2)),
    "upside down": lambda left, right: (left, right.flip(1)),
    "moved across": lambda left, right: (left, left.roll(5, 2)),
    "moved down": lambda left, right: (left[:, 4:], right[:, :-4]),
    "another": lambda left, right: (left, natural_texture(*left.shape[1:])),
    "darker": lambda left, right: (left, right * 0.8),
    "much darker": lambda left, right: (left * 0.3, right),
    "noisy": lambda left, right: (noisy(left, 12, 1), noisy(right, 12, 2)),
    "noise alone": lambda left, right: (noisy(left * 0 + 0.4, 20, 1), noisy(left * 0 + 0.4, 20, 2)),
    "flat": lambda left, right: (left * 0 + 0.4, right * 0 + 0.4),
    "tiny": lambda left, right: (left[:, :40, :40], right[:, :40, :40]),
    "coded": lambda left, right: (coded(left, 70), coded(right, 70)),
    "enlarged": lambda left, right: (enlarged(left), enlarged(right)),
    "upright, noisy": lambda left, right: (
        noisy(left, 8, 1).rot90(1, (1, 2)),
        noisy(right, 8, 2).rot90(1, (1, 2)),
    ),
}


def enlarged(view: Tensor) -> Tensor:
    """A picture so large that it is reduced before its blocks are matched."""
    return view.repeat_interleave(3, 1).repeat_interleave(3, 2)


def found_by_package(pair: Pair) -> dict[str, Any]:
    """What `dualpix inspect` is made of."""
    laid = lay_along_rows({"left": pair[0], "right": pair[1]})
    found, left, right = inspection_of(laid), laid["left"], laid["right"]
    _, brightened, note = match_brightness(left, right)
    return {
        "verdict": found.verdict,
        "odd": found.odd,
        "order": found.order,
        "turns": laid["quarter_turns"],
        "notes": laid["notes"],
        "across": found.matches.across.tolist(),
        "down": found.matches.down.tolist(),
        "textured": found.matches.textured,
        "found": found.matches.found,
        "reduction": found.matches.reduction,
        "behind": found.behind,
        "in_front": found.in_front,
        "ratio": found.brightness_ratio,
        "noise": noise_of(left),
        "scale_px": scale_px(found),
        "matched": note,
        "mean": float(brightened.mean()),
        "drawn": disparity_picture(left, found).flatten()[::DRAWN_STEP].tolist(),
    }


def found_by_page(node: str, pairs: Iterable[Pair], folder: Path) -> list[dict[str, Any]]:
    """The same from JavaScript."""
    sizes = []
    with (folder / "pairs.bin").open("wb") as file:
        for pair in pairs:
            sizes.append({"height": pair[0].shape[1], "width": pair[0].shape[2]})
            for view in pair:
                file.write(view.contiguous().numpy().astype("<f4").tobytes())
    (folder / "pairs.json").write_text(json.dumps(sizes))
    done = subprocess.run([node, SCRIPT, folder], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Words and counts are the same; numbers differ by no more than rounding may make them."""
    for key in ("verdict", "odd", "order", "turns", "notes", "textured", "found", "reduction", "matched"):
        assert theirs[key] == ours[key], key
    for key in ("behind", "in_front"):  # of displacements near the threshold
        assert abs(theirs[key] - ours[key]) <= 1, key
    assert_near(theirs["across"], ours["across"], 2e-3)
    assert_near(theirs["down"], ours["down"], 2e-3)
    assert_near([theirs["ratio"], theirs["noise"], theirs["mean"]], [ours["ratio"], ours["noise"], ours["mean"]], 1e-4)
    assert_near([theirs["scale_px"]], [ours["scale_px"]], 5e-3)
    assert_near(theirs["drawn"], ours["drawn"], 5e-3)


def assert_near(found: Sequence[float], expected: Sequence[float], most: float) -> None:
    """Lists of one length, whose numbers differ by `most` at most."""
    assert len(found) == len(expected)
    assert all(abs(a - b) <= most for a, b in zip(found, expected, strict=True)), max(
        abs(a - b) for a, b in zip(found, expected, strict=True)
    )
