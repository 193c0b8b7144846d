"""Install the lowest versions that pyproject.toml allows, and run the tests with them that depend on versions.

    python benchmarks/lowest.py                      all packages; downloads some GB
    python benchmarks/lowest.py --only typer,pillow  these, the others as pinned
    python benchmarks/lowest.py -- tests/io -x       what follows goes to pytest, in place of the tests of `VERSIONED`
    python benchmarks/lowest.py --installed          with what an earlier call has installed

What these need in turn is taken as new as it comes, as an installer would; tools of this project (TOOLS) are as pinned.
A sum or a sentence of ours is the same with every version: such tests are left to `make test`.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HOME = Path(__file__).parents[1]
TOOLS = ("dev", "docs")
"""Extras that no user needs."""

VERSIONED = (
    *("tests/test_imports.py", "tests/test_packaging.py", "tests/test_cli.py", "tests/test_cli_bad_input.py"),
    *("tests/test_cli_streams.py", "tests/test_evaluation.py", "tests/classical/test_jnb.py", "tests/datasets"),
    *("tests/io", "tests/pairs/sources", "tests/machine/test_modes.py", "tests/machine/test_storage.py"),
    *("tests/networks/test_contract.py", "tests/weights", "tests/evaluation/test_metrics.py"),
    *("tests/evaluation/test_torchmetric.py", "tests/evaluation/test_figures.py", "tests/inference/test_deblur.py"),
    *("tests/inference/test_engines.py", "tests/inference/test_export.py", "tests/inference/batch/test_manifest.py"),
    *("tests/inference/batch/test_report_parts.py", "tests/inference/batch/test_on_ray.py"),
    *("tests/inference/batch/test_ray_connection.py", "tests/inference/batch/test_ray_nodes.py"),
    *("tests/training/test_learner.py", "tests/training/test_optimisers.py", "tests/training/test_state.py"),
    *("tests/training/test_curve.py", "tests/training/test_tracking.py", "tests/web/test_app.py"),
    *("tests/web/test_connections.py", "tests/web/test_guard.py", "tests/web/test_uploads.py"),
)
"""Tests that reach a package through what is only ours in between: readers, engines, command, page, optimisers."""


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
    parser.add_argument("--installed", action="store_true", help="install nothing")
    parser.add_argument("tests", nargs="*", help="what pytest is given")
    asked = parser.parse_args()
    chosen = pins({name for name in asked.only.lower().split(",") if name})
    print(*chosen, sep="\n", flush=True)
    if asked.show:
        return
    python = asked.folder / "bin" / "python"
    if not asked.installed:
        install(python, chosen)
    # Old versions warn of what new ones no longer do; that is not what is asked here.
    run = [python, "-m", "pytest", "-W", "default", "-n", "2", "--dist", "loadfile", *(asked.tests or VERSIONED)]
    sys.exit(subprocess.run(run, cwd=HOME, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode)


def install(python: Path, chosen: list[str]) -> None:
    """Make an environment in which `python` runs."""
    folder = python.parents[1]
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (folder / "lowest.txt").write_text("\n".join(chosen) + "\n")
    wanted = ["-m", "pip", "install", "--quiet", "-c", folder / "lowest.txt", "-e", f"{HOME}[dev]"]
    subprocess.run([python, *wanted], check=True)


if __name__ == "__main__":
    main()
