"""What each node of a Ray cluster is asked before the work, and nodes that are lost as it begins."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpix import __version__
from dualpix.inference import batch
from dualpix.inference.batch.ray_nodes import look_around

pytest.importorskip("ray", reason="the extra `ray` is not installed")

Pairs = Callable[..., None]
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")
PATIENCE_S = 1200
"""More than a run takes where its processes get a tenth of a core."""


def test_a_node_says_why_it_cannot_take_part(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a")
    weights, inputs = batch.open_weights("w.safetensors").sha256, ["pairs/a_L.png", "pairs/a_R.png"]

    def ask(version: str = __version__, journal: str = "w.safetensors", file: str = "w.safetensors") -> str:
        return look_around(version, str(home), journal, inputs, file, weights)

    assert ask() == ""
    assert (
        ask(version="0.9.0") == f"it has dualpix {__version__}, and not 0.9.0; install the same version on every node."
    )
    assert "there is no " in ask(journal="out/none.jsonl") and "all nodes share" in ask(journal="out/none.jsonl")
    assert "none.safetensors" in ask(file="none.safetensors")
    assert "another file" in ask(file="other.safetensors")
    inputs.append("pairs/b_L.png")
    assert "pairs/b_L.png" in ask()
    inputs[:] = ["memory://none/b_L.png"]
    assert ask().startswith("it does not find memory://none/b_L.png; ")


@pytest.mark.slow
def test_a_node_that_is_lost_as_the_work_begins_is_done_without(
    home: Path, make_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raylet that has stopped counts as alive until its heartbeats have been missed for a while."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    make_pairs(home / "pairs", "a", "b")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})  # type: ignore[no-untyped-call]
    try:
        lost = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        (raylet,) = lost.all_processes["raylet"]
        os.kill(raylet.process.pid, signal.SIGSTOP)
        words = [sys.executable, "-m", "dualpix", *WORDS, "--ray", cluster.address]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
        os.kill(raylet.process.pid, signal.SIGCONT)
        assert done.returncode == 0 and done.stdout.startswith("out: 2 pictures made"), done.stdout + done.stderr
        assert done.stdout.count("\n") == 1 and not done.stderr, "Ray has a paragraph for a node that is lost"
    finally:
        cluster.shutdown()
