"""Pairs of every kind, and what the page's JavaScript and the package each find in them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from made_textures import natural_texture
from torch import Tensor

from dualpix.evaluation.demo import demo_pair
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.inspect import disparity_picture, scale_px
from dualpix.pairs.matching import noise_of
from dualpix.pairs.turning import inspection_of, lay_along_rows
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import render

SCRIPT = Path(__file__).parents[1] / "site" / "tests" / "verdicts.mjs"
Pair = tuple[Tensor, Tensor]
