"""What the page computes in the browser, as far as it can be tried without packages and a browser: in Node."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from dualpix.errors import MachineError
from dualpix.inference import planning, scales
from dualpix.pairs.matching import Matches
from made_textures import natural_texture
from site_pairs import CHANGES, assert_near, assert_same, bundled, found_by_package, found_by_page

ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node: apt-get install nodejs")

FEW = ("as it is", "swapped", "upright", "coded twice", "moved down", "mirrored", "much darker", "flat")
BANDS = """
const { around, chooseBands, split } = await import(process.argv[1]);
const asked = JSON.parse(process.argv[2]);
console.log(JSON.stringify(asked.map(([height, multiple, reach, fixed, row, limit, comfort]) => {
  const bands = chooseBands(height, multiple, reach, { fixed, row }, limit, comfort);
  return bands && bands.map((band) => [band, around(band, height, multiple, reach)]);
})));
"""


@needs_node
def test_verdicts_are_those_of_the_package(tmp_path: Path) -> None:
    """The other kinds of pairs, and more of each, are tried by `make site-test`."""
    left, right = (bundled(name)[:, :320, :384].contiguous() for name in ("left", "right"))
    pairs = [CHANGES[kind](left, right) for kind in FEW]
    for pair, theirs in zip(pairs, found_by_page(str(NODE), pairs, tmp_path), strict=True):
        assert_same(found_by_package(pair), theirs)


@needs_node
def test_bands_are_those_of_the_package() -> None:
    asked = [
        (height, multiple, reach, 10**8, row, limit, comfort)
        for height in (16, 100, 1120, 3000)
        for multiple, reach in ((16, 146), (8, 12))
        for row in (10**5, 10**6)
        for limit, comfort in ((2 * 10**8, 2 * 10**8), (10**9, 10**9), (10**9, 3 * 10**8), (10**10, 10**9))
    ]
    call = [str(NODE), "--input-type=module", "-e", BANDS, str(SITE / "compute" / "bands.js"), json.dumps(asked)]
    found = json.loads(subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert len(found) == len(asked) and None in found
    for one, theirs in zip(asked, found, strict=True):
        height, multiple, reach, fixed, row, limit, comfort = one
        try:
            bands = planning.choose_bands(height, multiple, reach, planning.Cost(fixed, row), limit, comfort)
        except MachineError:
            assert theirs is None
            continue
        assert theirs == [[list(band), list(planning.around(band, height, multiple, reach))] for band in bands]


@needs_node
@pytest.mark.parametrize(("by", "ratio"), [(6, 3), (3, 3), (2, 2), (1, 2)])
def test_scales_are_chosen_and_joined_as_the_package_does(tmp_path: Path, by: int, ratio: int) -> None:
    """`by`: how many times smaller than the finer scale the disparity is; `ratio`: the same of the coarser result."""
    height, width = 53, 71
    made = torch.Generator().manual_seed(0)
    left, right, fine = torch.rand(3, 3, height, width, generator=made)
    soft = natural_texture(height, width)
    left, right = soft + (left - 0.5) / 50, soft + (right - 0.5) / 50
    found = torch.rand(2, -(-height // by), -(-width // by), generator=made)
    found[0] = 20 * found[0] - 10
    correction = torch.randn(3, -(-height // ratio), -(-width // ratio), generator=made) / 10
    times, noise = 1.5, 0.004
    pairs = [
        (apart, blocks, *size)
        for apart in (3, 9, 25, 60, 90)
        for blocks in (11, 40)
        for size in ((300, 900), (1600, 2499), (2500, 1600), (9000, 6000))
    ]
    case = {"left": left, "right": right, "fine": fine, "found": found, "correction": correction}
    asked = {name: value.flatten().tolist() for name, value in case.items()}
    asked |= {"shape": list(left.shape), "found_shape": list(found.shape), "correction_shape": list(correction.shape)}
    asked |= {"by": by, "ratio": ratio, "times": times, "noise": noise, "pairs": pairs}
    (tmp_path / "case.json").write_text(json.dumps(asked))
    call = [str(NODE), str(SITE / "tests" / "joined.mjs"), str(tmp_path / "case.json")]
    theirs = json.loads(subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout)
    finer = scales.share_of_finer(found[:1] * times, found[1:])
    fineness = scales.fineness_of((left, right), by, noise)
    views = scales.share_of_views(found[:1] * times, found[1:], noise, fineness)
    joined = scales.join(fine.clone(), (left, right), correction, ratio, finer, by, views)
    ours = {"small": scales.reduce(left, ratio), "finer": finer, "fineness": fineness, "views": views, "joined": joined}
    # Sums of squares differ in the last bits, and a quotient of small ones in more.
    loose = dict.fromkeys(("fineness", "views", "joined"), 2e-4 if by < 3 else 1e-5)
    for name, value in ours.items():
        assert_near(theirs[name], value.flatten().tolist(), loose.get(name, 2e-6))
    for (apart, blocks, *size), steps in zip(pairs, theirs["steps"], strict=True):
        nothing = torch.zeros(0)
        across = torch.full((blocks,), float(apart))
        matches = Matches(across, across * 0, nothing, nothing, nothing, blocks, blocks, 1)
        assert tuple(steps) == scales.choose(matches, (size[1], size[0]))


def test_packages_are_pinned_and_told_on_the_page() -> None:
    """Every package has one exact version, which the page of licences names."""
    packages = json.loads((SITE / "package.json").read_text())["dependencies"]
    about = (SITE / "about.html").read_text() + (SITE / "files" / "licences.json").read_text()
    for name, version in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert f"{name} {version}" in about
    assert not [*SITE.glob("package-lock.json"), *SITE.glob("npm-shrinkwrap.json")]


def test_what_the_page_computes_by_asks_no_other_host() -> None:
    for path in (*SITE.glob("*.js"), *SITE.glob("*.html"), *(SITE / "compute").glob("*.js")):
        shown = re.sub(r'<a href="https://[^"]+"', "", path.read_text())
        assert not re.findall(r"https?://", shown), path


def test_sentences_to_people_are_the_same_words() -> None:
    """Of verdicts, which other pages explain."""
    from dualpix.pairs.verdict import EITHER, GOOD, IN_FOCUS, UNKNOWN, VERDICTS

    script = (SITE / "compute" / "verdict.js").read_text()
    assert all(f'"{words}"' in script for words in (*VERDICTS.values(), EITHER, GOOD, IN_FOCUS, UNKNOWN))
