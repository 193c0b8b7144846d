"""Packages with entry points, for tests: wheels put together and installed into a folder of their own."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

HOME = Path(__file__).parents[1]
EXAMPLE = HOME / "examples" / "plugin"


def install(place: Path, name: str, files: dict[str, bytes], entries: dict[str, dict[str, str]]) -> None:
    """Put a wheel together and let pip install it, into a folder of its own and without a network."""
    wheel, facts = (
        place / f"{name.replace('-', '_')}-0.1.0-py3-none-any.whl",
        f"{name.replace('-', '_')}-0.1.0.dist-info",
    )
    groups = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in entries.items())
    files |= {
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n".encode(),
        f"{facts}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{facts}/entry_points.txt": groups.encode(),
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{facts}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, content in (files | {f"{facts}/RECORD": record.encode()}).items():
            archive.writestr(file, content)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(place / "site"), "--upgrade", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)


def python(place: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys\nsys.path[:0] = ['site', '{HOME / 'src'}']\n{code}"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=400)


def install_example(place: Path) -> Path:
    """The example package in `place`, which is returned."""
    sources = sorted((EXAMPLE / "src").rglob("*.py"))
    files = {path.relative_to(EXAMPLE / "src").as_posix(): path.read_bytes() for path in sources}
    install(
        place,
        "dualpix-example",
        files,
        tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"],
    )
    return place
