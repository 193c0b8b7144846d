"""What shells and `man` show of the command."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "dualpix.1"


def test_the_manual_page_is_what_the_commands_say() -> None:
    """Should this fail: `python docs/manual.py`."""
    assert runpy.run_path(str(PAGE.with_name("manual.py")))["manual"]() == PAGE.read_text()


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_page_can_be_set() -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", PAGE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(".\b", "", done.stdout)  # bold letters are printed twice
    assert "--strip-metadata" in shown and "photo.CR3 -o sharp.tif" in shown


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    command = tmp_path / "dualpix"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dualpix "$@"\n')
    command.chmod(0o755)
    script = f"""
    PATH="{tmp_path}:$PATH"; eval "$(dualpix --show-completion bash)"
    complete_last() {{ COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _dualpix_completion dualpix; echo ${{COMPREPLY[@]}}; }}
    complete_last dualpix ex; complete_last dualpix deblur --strip
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.stdout.splitlines(), done.stderr) == (["export extract", "--strip-metadata"], "")
