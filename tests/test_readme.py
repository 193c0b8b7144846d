"""What we print works: every command of the README runs on small files; the commands and links of every page exist."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.checkpoint import WEIGHTS
from dualpix.data import DATASETS
from dualpix.losses import LOSSES
from dualpix.metrics import METRICS
from dualpix.networks import NETWORKS, create
from dualpix.networks.counting import count
from dualpix.recipes import RECIPES

HOME = Path(__file__).parents[1]
README = HOME / "README.md"
PAGES = [README, HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted((HOME / "docs").glob("*.md"))]
NETWORKS_PAGE = HOME / "docs" / "networks.md"
COMMAND = Path(sys.executable).with_name("dualpix")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    for line in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: two views and some photographs, with the names that the README uses."""
    root = tmp_path_factory.mktemp("readme")
    texture = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    # Content further right in the right view: all of it behind the focal plane.
    Image.fromarray(texture[:96, 2:130]).save(root / "left.png")
    Image.fromarray(texture[:96, :128]).save(root / "right.png")
    (root / "photos").mkdir()
    for number in range(2):
        Image.fromarray(texture[:, ::-1] if number else texture).save(root / "photos" / f"{number}.png")
    return root


def test_the_commands_of_the_readme_run(folder: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (HOME / "Makefile").read_text(), re.MULTILINE))
    ran = []
    for words in commands(README):
        if words[0] == "make":
            assert words[1] in targets
            continue
        assert words[0] == "dualpix", f"the README may promise only make and dualpix, not {words[0]}"
        done = subprocess.run([COMMAND, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        ran.append(words[1])
    assert {"deblur", "simulate", "train", "evaluate", "methods"} <= set(ran)
    assert (folder / "sharp.png").is_file()


def test_the_python_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert blocks(README, "python")
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (folder / "sharp-from-python.png").is_file()


@cache
def help_of(subcommand: str) -> str:
    done = subprocess.run(
        [COMMAND, subcommand, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLUMNS": "250", "TERM": "dumb"},
    )
    assert done.returncode == 0, f"there is no `dualpix {subcommand}`: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    for words in commands(page):
        if words[0] != "dualpix":
            continue
        assert help_of(words[1])
        for option in (word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(words[1])), f"{shlex.join(words)}: no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_on_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_table_of_networks_is_true() -> None:
    """Sizes and costs on the page are those counted, and no network is missing."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\w, ]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|", NETWORKS_PAGE.read_text(), re.M
    )
    counted = []
    for name in NETWORKS:
        with torch.device("meta"):
            network = create(name)
        counts = count(network, 1120, 1680)
        giga = (f"{macs / 1e9:.2f}" for macs in (counts.conv_macs, counts.attention_macs))
        counted.append((name, ", ".join(network.views), f"{counts.parameters:,}", *giga))
    assert rows == counted


@pytest.mark.parametrize("table", [LOSSES, METRICS, DATASETS, RECIPES, WEIGHTS], ids=lambda table: next(iter(table)))
def test_every_entry_of_a_table_is_on_a_page(table: dict[str, object]) -> None:
    pages = "".join(page.read_text() for page in PAGES)
    assert [name for name in table if f"`{name}`" not in pages] == []
