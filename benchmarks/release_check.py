"""Install a wheel as a user would, far from any checkout, and use it: `make release-check` ends with this.

python benchmarks/release_check.py dist
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HOME = Path(__file__).parents[1]
PAIRS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, help="the folder with one wheel and one source archive")
    dist = parser.parse_args().dist.resolve()
    wheels, archives = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    if len(wheels) != 1 or len(archives) != 1:
        sys.exit(f"{dist} holds {len(wheels)} wheels and {len(archives)} source archives; one of each is released.")
    with tempfile.TemporaryDirectory() as folder:
        program = install(wheels[0], Path(folder))
        try_out(program, Path(folder))
    print(f"{wheels[0].name} and {archives[0].name} can be released.")


def install(wheel: Path, folder: Path) -> Path:
    """The command of a fresh environment with the wheel and what it needs, installed without a network.

    What it needs is fetched first, as one would to carry it to a machine that has none.
    """
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    carried, pinned = folder / "carried", HOME / "constraints.txt"
    subprocess.run([*pip, "download", "--only-binary", ":all:", "-d", carried, "-c", pinned, wheel], check=True)
    # Not even by mistake: the index is switched off, and what else the user's settings name.
    apart = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(carried)}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    subprocess.run([*pip, "install", "dualpix"], check=True, env=clean | apart)
    return folder / "venv" / "bin" / "dualpix"


def try_out(program: Path, folder: Path) -> None:
    """The demonstration, a folder of pairs, and a training on pairs with their sharp pictures."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words: str) -> None:
        print("dualpix", *words, flush=True)
        subprocess.run([program, *words], cwd=folder, env=clean, check=True)

    run("--version")
    run("doctor")
    run("demo", "-o", "demo")
    source = HOME / "src" / "dualpix" / "demo_pair"
    (folder / "pairs").mkdir()
    for number in range(PAIRS):
        for view, letter in (("left", "L"), ("right", "R")):
            shutil.copy(source / f"{view}.png", folder / "pairs" / f"{number:03}_{letter}.png")
            for place in (view, "sharp"):
                (folder / "real" / place).mkdir(parents=True, exist_ok=True)
                shutil.copy(source / f"{place}.png", folder / "real" / place / f"{number:03}.png")
    run("deblur", "pairs", "-o", "sharp")
    run("train", "tiny", "steps=2", "--data", "real", "-o", "run")
    run("evaluate", "real", "--method", "run/best.safetensors", "-o", "scores")
    made = sorted((folder / "sharp").glob("*.png"))
    if len(made) != PAIRS:
        sys.exit(f"dualpix deblur pairs -o sharp wrote {len(made)} pictures instead of {PAIRS}.")


if __name__ == "__main__":
    main()
