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
    """The command of a fresh environment with nothing but the wheel and what it needs."""
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    torch = next(line for line in (HOME / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    subprocess.run([*pip, torch], check=True)
    subprocess.run([*pip, "-c", HOME / "constraints.txt", wheel], check=True)
    return folder / "venv" / "bin" / "dualpix"


def try_out(program: Path, folder: Path) -> None:
    """The demonstration, and a folder of pairs."""
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
    run("deblur", "pairs", "-o", "sharp")
    made = sorted((folder / "sharp").glob("*.png"))
    if len(made) != PAIRS:
        sys.exit(f"dualpix deblur pairs -o sharp wrote {len(made)} pictures instead of {PAIRS}.")


if __name__ == "__main__":
    main()
