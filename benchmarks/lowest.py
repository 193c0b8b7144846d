"""Install the lowest versions that pyproject.toml allows, and run the tests with them.

    python benchmarks/lowest.py                      all of them; downloads some GB
    python benchmarks/lowest.py --only typer,pillow  these, the others as pinned; and -- what follows goes to pytest

What these need in turn is taken as new as it comes, as an installer would; tools of this project (TOOLS) are as pinned.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HOME = Path(__file__).parents[1]
TOOLS = ("dev", "docs")
"""Extras that no user needs."""


def lowest(requirements: list[str]) -> dict[str, str]:
    """Name -> the version after `>=`."""
    found = (re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement) for requirement in requirements)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def pins(only: set[str]) -> list[str]:
    """What to hold fast: the lowest version of all direct needs, or of `only` with the others as the project pins."""
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    extras = [needs for name, needs in project["optional-dependencies"].items() if name not in TOOLS]
    needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
    least = lowest(needs)
    if unknown := only - set(least):
        sys.exit(f"{', '.join(sorted(unknown))}: nothing that pyproject.toml needs; choose from: {', '.join(least)}.")
    lowered = only or set(least)
    pinned = [line for line in (HOME / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    direct = {*least, *lowest([need for name in TOOLS for need in project["optional-dependencies"][name]])}
    kept = [pin for pin in pinned if _name(pin) in direct - lowered]
    return [*kept, *(f"{name}=={least[name]}" for name in sorted(lowered))]


def _name(pin: str) -> str:
    return pin.split("==")[0].lower().replace("_", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAMES", help="lower these alone, separated by commas")
    parser.add_argument("--folder", type=Path, default=HOME / ".venv-lowest", help="where the environment is made")
    parser.add_argument("--show", action="store_true", help="print the versions and stop")
    parser.add_argument("tests", nargs="*", help="what pytest is given")
    asked = parser.parse_args()
    chosen = pins({name for name in asked.only.lower().split(",") if name})
    print(*chosen, sep="\n", flush=True)
    if asked.show:
        return
    subprocess.run([sys.executable, "-m", "venv", asked.folder], check=True)
    (asked.folder / "lowest.txt").write_text("\n".join(chosen) + "\n")
    python = asked.folder / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "-c", asked.folder / "lowest.txt", "-e", f"{HOME}[dev]"]
    subprocess.run([python, *install], check=True)
    # Old versions warn of what new ones no longer do; that is not what is asked here.
    run = [python, "-m", "pytest", "-W", "default", *asked.tests]
    sys.exit(subprocess.run(run, cwd=HOME).returncode)


if __name__ == "__main__":
    main()
