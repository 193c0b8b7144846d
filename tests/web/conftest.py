"""A real server on a free port of this machine, with the weights of a small network, and small pairs to send to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import Client, pair_of, running

from dualpix.inference.options import DeblurOptions
from dualpix.web.jobs import Jobs
from dualpix.web.limits import Limits
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint
from small_networks import TINY, tiny

Start = Callable[..., Client]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tiny network's weights."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    return checkpoint.save(path, tiny(), "mccnet-fast", TINY)


@pytest.fixture(scope="session")
def small(weights: Path) -> Checkpoint:
    return checkpoint.load(weights)


@pytest.fixture(scope="module")
def client(small: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server with ordinary limits."""
    with running(Jobs(tmp_path_factory.mktemp("uploads"), small)) as made:
        yield made


@pytest.fixture
def start(small: Checkpoint, tmp_path: Path) -> Iterator[Start]:
    """`start(memory=None, body_bytes=1000, ...)`: a client of a server of its own, with these limits."""
    (tmp_path / "uploads").mkdir()
    opened = []

    def begin(memory: str | None = None, **limits: float) -> Client:
        context = running(Jobs(tmp_path / "uploads", small, DeblurOptions(memory=memory), Limits(**limits)))
        opened.append(context)
        return context.__enter__()

    yield begin
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def pair() -> dict[str, bytes]:
    return pair_of()
