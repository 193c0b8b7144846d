"""Training and evaluation need PyTorch, NumPy, Pillow, safetensors and pydantic, and no other package of the index."""

import subprocess
import sys
from pathlib import Path

from made_textures import pack_of_noise

PROGRAM = """
import sys

FORBIDDEN = {"imagecodecs", "tifffile", "typer", "click", "rich", "matplotlib", "scipy", "skimage", "av", "starlette",
             "openvino", "onnx", "onnxruntime", "h5py", "lpips", "torchmetrics", "huggingface_hub", "rawpy", "pi_heif"}

for name in FORBIDDEN:
    sys.modules[name] = None  # as if it were not there

from dataclasses import replace
from dualpix.evaluation import score
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import Simulated
from dualpix.training import sources, train
from dualpix.training.recipes import RECIPES
from dualpix.weights import checkpoint

sources.VALIDATION_PICTURES = 1
photos, run = sys.argv[1:]
recipe = replace(RECIPES["tiny"], steps=2, crop=32, scene=48, pool=2, compressed=0.0, fresh=0.0)
weights = train(recipe, run, photos=[photos])
assert "torch._dynamo" not in sys.modules, "a compiler that takes longer to import than short trainings last"
samples = Simulated(read_photos([photos]), 48, 1)
print(sorted(score(checkpoint.load(weights).network, samples, "dpdd-8bit").mean()))
"""


def test_training_and_evaluation_need_five_packages(tmp_path: Path) -> None:
    photos = pack_of_noise(tmp_path, 2)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(photos), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "psnr" in done.stdout
