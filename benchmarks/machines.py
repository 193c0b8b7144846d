"""Run the tests as other machines would: with fewer instructions, one and two threads, in random order.

    python benchmarks/machines.py                     the whole suite under every setting; hours
    python benchmarks/machines.py tests/test_metrics.py -- -x
    python benchmarks/machines.py --settings avx2,plain tests/networks

What a processor has is taken away from PyTorch, oneDNN and NumPy by their variables; results may then differ in the
last bits, and no test may mind. Ends with the settings that failed.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[1]
SETTINGS = {
    "all": {},
    "two-threads": {"OMP_NUM_THREADS": "2"},
    "no-bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "NPY_DISABLE_CPU_FEATURES": "AVX512|X86_V4"},
    "plain": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": ".",
    },
}
"""Variables of the environment of each; one thread unless they say otherwise. Of NumPy, whose names for features change
from version to version, a pattern of those to take away."""


def features() -> list[str]:
    """Of NumPy, that can be taken away here: it warns of those that the processor lacks."""
    code = "from numpy._core._multiarray_umath import __cpu_features__ as f, __cpu_dispatch__ as d; "
    code += "print(*(name for name in d if f[name]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def files(paths: list[str], seed: int) -> list[str]:
    """The test files of `paths`, in random order."""
    places = [Path(path) for path in paths or ["tests"]]
    found = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("test_*.py")))]
    random.Random(seed).shuffle(found)
    return [str(file) for file in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default=",".join(SETTINGS), help="of: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order; printed")
    parser.add_argument("paths", nargs="*", help="test files and folders; without, all")
    own, more = (words := sys.argv[1:]), []
    if "--" in words:
        own, more = words[: words.index("--")], words[words.index("--") + 1 :]
    asked = parser.parse_args(own)
    os.chdir(HOME)
    there, failed = features(), []
    for name in asked.settings.split(","):
        chosen = {"OMP_NUM_THREADS": "1", **SETTINGS[name]}
        if disabled := chosen.get("NPY_DISABLE_CPU_FEATURES"):
            chosen["NPY_DISABLE_CPU_FEATURES"] = " ".join(one for one in there if re.match(disabled, one))
        print(f"\n== {name}, order {asked.seed}: {chosen}", flush=True)
        command = [sys.executable, "-m", "pytest", *files(asked.paths, asked.seed), *more]
        if subprocess.run(command, env=os.environ | chosen).returncode:
            failed.append(name)
    sys.exit(f"failed under: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
