"""Weights files with another header, for several tests."""

import json
from pathlib import Path
from typing import Any


def rewrite(path: Path, change: Any) -> Path:
    """Let `change(header)` edit the header of a file, as an object, and write the file anew beside it."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    other = path.with_name("edited.safetensors")
    other.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return other
