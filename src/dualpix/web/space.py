"""The disk under the uploads: what is free, and what is reserved for uploads under way."""

import shutil
from pathlib import Path

from dualpix.web.http_errors import HttpError
from dualpix.web.job import FULL_RETRY_S


class Space:
    """`uploads`: how many bytes each upload, by its folder, may still bring. Not safe to use from several threads."""

    def __init__(self, root: Path, left_alone_bytes: int) -> None:
        self.uploads: dict[Path, int] = {}
        self._root, self._left_alone_bytes = root, left_alone_bytes

    @property
    def free_bytes(self) -> int:
        """Bytes free on the disk."""
        return shutil.disk_usage(self._root).free

    def require(self, size: int) -> None:
        """Raise HttpError 503 unless `size` bytes more fit beside what is reserved, and the part that is never used."""
        if self.free_bytes - sum(self.uploads.values()) < self._left_alone_bytes + size:
            raise HttpError(503, "The disk of the server is nearly full; try again when there is room.", FULL_RETRY_S)

    def use(self, folder: Path, size: int) -> None:
        """Note that `size` bytes reserved for `folder` are about to be written. Raises HttpError as `require` does."""
        self.uploads[folder] = max(0, self.uploads[folder] - size)
        self.require(size)
