"""Weights from repositories, by a real server on this machine that answers as the hub does."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import dualpix
from dualpix.errors import CheckpointError
from dualpix.weights import hub
from small_networks import TINY

pytest.importorskip("huggingface_hub")
HOME = Path(__file__).parents[2]
COMMIT, EARLIER = "1" * 40, "2" * 40
REFUSALS = {
    "owner/refused": (409, ""),
    "owner/private": (401, ""),
    "owner/forbidden": (403, ""),
    "owner/gated": (403, "GatedRepo"),
    "owner/broken": (500, ""),
}
"""The status by which the host refuses a repository, and the code that the hub sends beside it."""


def renamed(content: bytes, network: str) -> bytes:
    """A file of weights that says it is of another network."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"]["dualpix"]) | {"network": network, "arguments": {}}
    header["__metadata__"]["dualpix"] = json.dumps(card)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return dualpix.save_pretrained(dualpix.create("mccnet-fast", **TINY), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def endpoint(tiny: Path) -> Iterator[str]:
    """The routes of the hub for a few repositories: files by revision, and what a revision holds."""
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    other = hashlib.sha256(b"not a network of ours").digest() * 4
    foreign = (header := json.dumps({"x": {"dtype": "U8", "shape": [128], "data_offsets": [0, 128]}}).encode()) + other
    repositories = {
        "owner/good": files,
        "owner/pickles": {"pytorch_model.bin": b"\x80\x02", "config.json": b"{}"},
        "owner/empty": {},
        "owner/foreign": {"model.safetensors": len(header).to_bytes(8, "little") + foreign},
        "owner/disguised": {"model.safetensors": pickle.dumps({"weight": [0.0] * 40})},
        "owner/short": {"model.safetensors": files["model.safetensors"][:-100]},
        "owner/cut": files,
        "owner/newer": {"model.safetensors": renamed(files["model.safetensors"], "mynet")},
        "owner/other": {"model.safetensors": renamed(files["model.safetensors"], "dpdnet")},
    }

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def answer(self, whole: bool) -> None:
            path = self.path.partition("?")[0].strip("/")
            if listing := re.fullmatch(r"api/models/(\w+/\w+)(/revision/(.+))?", path):
                names = repositories.get(listing[1], {})
                body = {"id": listing[1], "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
                return self.send(200, json.dumps(body).encode(), whole)
            asked = re.fullmatch(r"(\w+/\w+)/resolve/([^/]+)/(.+)", path)
            if asked is not None and asked[1] in REFUSALS:
                status, code = REFUSALS[asked[1]]
                return self.send(status, b"", whole, {"X-Error-Code": code} if code else {})
            if asked is None or asked[1] not in repositories:
                return self.send(404, b"", whole, {"X-Error-Code": "RepoNotFound"})
            if asked[2] not in ("main", "v1", COMMIT, EARLIER):
                return self.send(404, b"", whole, {"X-Error-Code": "RevisionNotFound"})
            if (content := repositories[asked[1]].get(asked[3])) is None:
                return self.send(404, b"", whole, {"X-Error-Code": "EntryNotFound"})
            commit = EARLIER if asked[2] in ("v1", EARLIER) else COMMIT
            named = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            return self.send(200, content, whole, named)

        def send(self, status: int, body: bytes, whole: bool, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if whole:
                cut = "/cut/" in self.path and status == 200
                self.wfile.write(body[: len(body) // 2] if cut else body)
                self.close_connection = cut

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def opened(names: list[str], place: Path, **variables: str) -> dict[str, str]:
    """What opening each gives, in a process of its own: the path of the file, or the message of the error."""
    code = """
import json, sys
import dualpix
answers = {}
for name in sys.argv[1:]:
    try:
        answers[name] = str(dualpix.load(name).path)
    except dualpix.CheckpointError as error:
        answers[name] = f"error: {error}"
print(json.dumps(answers))
"""
    places = {"HF_HOME": str(place / "cache"), "HOME": str(place), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=place,
        env=os.environ | places | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_repositories_are_fetched_by_revision_and_others_are_one_sentence(
    endpoint: str, tiny: Path, tmp_path: Path
) -> None:
    names = ["good", "good@v1", "good@nowhere", "pickles", "empty", "foreign", "missing", "refused"]
    found = opened([f"owner/{name}" for name in names], tmp_path, HF_ENDPOINT=endpoint)
    newest, earlier = Path(found["owner/good"]), Path(found["owner/good@v1"])
    assert newest.parent.name == COMMIT and earlier.parent.name == EARLIER
    assert newest.read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert found["owner/good@nowhere"] == (
        "error: owner/good has no revision 'nowhere'; give a branch, tag or commit of it."
    )
    assert "pytorch_model.bin" in found["owner/pickles"] and "can run any program" in found["owner/pickles"]
    assert "holds no model.safetensors; weights of dualpix lie in" in found["owner/empty"]
    assert "not one made by `dualpix`" in found["owner/foreign"]
    assert "There is no file owner/missing here and no such repository on 127.0.0.1" in found["owner/missing"]
    assert "is not in the cache of the hub and cannot be fetched from 127.0.0.1" in found["owner/refused"]
    assert "409" in found["owner/refused"]
    fetched = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert "pytorch_model.bin" not in fetched and "config.json" not in fetched

    there, missing = opened(["owner/good", "owner/other"], tmp_path, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1").values()
    assert there == found["owner/good"]
    assert missing.startswith("error: owner/other is not in the cache of the hub, and HF_HUB_OFFLINE is set")


def test_a_host_that_refuses_or_cuts_off_and_files_of_others_are_one_sentence(endpoint: str, tmp_path: Path) -> None:
    said = {
        "private": "does not let you read owner/private (401); log in with `hf auth login` as somebody who may",
        "forbidden": "does not let you read owner/forbidden (403); log in with `hf auth login` as somebody who may",
        "gated": "asks for consent on the hub first; give it there",
        "cut": "cannot be fetched from 127.0.0.1",
        "disguised": "is a pickle or torch.save file",
        "short": "is truncated: it declares",
        "newer": "There is no network called 'mynet'",
        "other": "does not fit network 'dpdnet': the tensor 'encoder.0.0.weight' is missing",
    }
    found = opened([f"owner/{name}" for name in said], tmp_path, HF_ENDPOINT=endpoint)
    for name, why in said.items():
        assert found[f"owner/{name}"].startswith("error: ") and why in found[f"owner/{name}"], found


@pytest.mark.slow  # The library asks a host that fails five times, and waits in between.
def test_a_host_that_fails_is_one_sentence(endpoint: str, tmp_path: Path) -> None:
    (told,) = opened(["owner/broken"], tmp_path, HF_ENDPOINT=endpoint).values()
    assert (
        told.startswith("error: owner/broken is not in the cache") and "500" in told and told.endswith("give a file.")
    )


def test_every_door_takes_a_repository(endpoint: str, tmp_path: Path) -> None:
    """`torch.hub` and `from_pretrained`, with what each says of one that cannot be used."""
    code = """
import sys
import dualpix, torch
def by_torch(*given, **more):
    return torch.hub.load(sys.argv[1], "from_pretrained", *given, source="local", **more)
for fetch in (dualpix.from_pretrained, by_torch):
    assert list(fetch("owner/good", revision="v1").parameters())
    for name in ("owner/pickles", "owner/private"):
        try:
            fetch(name)
        except dualpix.CheckpointError as error:
            print(error)
"""
    places = {"HF_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "HF_ENDPOINT": endpoint}
    command = [sys.executable, "-c", code, str(HOME)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == lines[2:] and "can run any program" in lines[0] and "does not let you read" in lines[1]


def test_a_picture_is_deblurred_by_weights_of_a_repository(endpoint: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dualpix", "demo", "-o", "demo", "-w", "owner/good@v1"]
    places = {
        "HF_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "HF_ENDPOINT": endpoint,
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "demo").iterdir())


def test_a_path_that_is_mistyped_is_sent_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert not hub.is_repository("runs/best") and not hub.is_repository("other/best.safetensors")
    assert not hub.is_repository("./best") and not hub.is_repository("a/b/c") and not hub.is_repository("mccnet")
    assert hub.is_repository("owner/name") and hub.is_repository("owner/name@v1.0")
    with pytest.raises(CheckpointError, match="There is no weights file runs/best"):
        dualpix.load("runs/best")
