"""What does not depend on the weights is made once and kept in a folder."""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dualpix.machine.files import write_whole
from judging import VERSION

Arrays = dict[str, np.ndarray]


def kept(store: Path, name: str, files: Sequence[Path], make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, from `store` if it was made before from the same `files` under the same name and version.

    A file in the store that cannot be read is made again.
    """
    digest = hashlib.blake2b(f"{VERSION}/{name}".encode(), digest_size=12)
    for file in files:
        digest.update(hashlib.blake2b(file.read_bytes()).digest())
    path = store / f"{name.replace('/', '-').replace(' ', '-')}-{digest.hexdigest()}.npz"
    try:
        with np.load(path) as opened:
            return dict(opened)
    except (OSError, ValueError, EOFError):
        made = make()
    content = io.BytesIO()
    np.savez(content, **made)
    store.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getbuffer())
    return made
