"""Small data for the methods of Table 1: pairs with their true blur, and one that holds nothing to go by."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data as pictures

from dualpix.evaluation.methods import TYPICAL_LENS
from dualpix.io import write_picture
from dualpix.simulation.render import Layer
from dualpix.simulation.samples import expose
from dualpix.simulation.sensor import Sensor, Tone

SIDE_PX = 64


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`face`, all of it 2 px out of focus, and `wall`, which is one grey; both with sharp picture and blur."""
    root = tmp_path_factory.mktemp("simulated")
    pixels = torch.from_numpy(pictures.astronaut()[60:140, 180:260].copy()).permute(2, 0, 1) / 255
    layer = Layer(Tone().decode(pixels), torch.ones(80, 80), torch.full((80, 80), 2.0))
    face = expose([layer], TYPICAL_LENS, 8, Sensor(read=1e-3), seed=0)
    wall = {key: torch.full((3, SIDE_PX, SIDE_PX), 0.5) for key in ("left", "right", "center", "sharp")}
    (root / "blur").mkdir()
    for name, sample in {"face": face, "wall": {**wall, "blur_px": torch.zeros(1, SIDE_PX, SIDE_PX)}}.items():
        for key in wall:
            (root / key).mkdir(exist_ok=True)
            write_picture(root / key / f"{name}.png", sample[key], depth=16)
        np.save(root / "blur" / f"{name}.npy", sample["blur_px"][0].numpy())
    return root
