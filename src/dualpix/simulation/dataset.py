"""The simulator as data sets of PyTorch, for training loops of any kind."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from dualpix.errors import DataError
from dualpix.simulation.light import LIGHTS, Light
from dualpix.simulation.photos import SMALLEST_PX, Tell, read_photos, share_photos
from dualpix.simulation.samples import SHOWN, Simulated, check_request
from dualpix.simulation.scenes import Layout
from dualpix.tables import pick

Sample = dict[str, Tensor | str]
ENDLESS = 10**9
"""Samples of a stream without a `count`: more than are drawn in years."""


class SimulatedPairs(Dataset[Sample]):
    """Simulated dual-pixel pairs by index; the same seed and index give the same pair, in any process.

    Each item is a dict of `views`, float32 C x size x size, and `name`. Pictures are display-encoded in [0, 1];
    `blur_px` is the signed blur radius in pixels, positive behind the focal plane. Nothing is augmented: every index is
    another scene, seen through a lens that sixteen indices share.

    Args:
        photos: Folders of pictures, or pictures themselves as uint8, 3 x H x W, or 4 x H x W with inverse depth.
        size: Side of the square pictures in pixels, 16 or more.
        count: How many pairs.
        seed: Of all randomness, 0 or more.
        views: Which of "left", "right", "center", "sharp" and "blur_px" are made; each takes its time.
        camera: Which light: a name in `simulation.light.LIGHTS`, or a `Light`.
        layout: Distribution of scenes.
        depths: A folder with maps of inverse depth for some photographs, as `dualpix train --depths` takes it; needs
            `store`. Half of the scenes are then such a photograph with its depth.
        store: A folder for the decoded photographs, which all processes and runs share from there; None keeps them in
            memory.
        sharp_aperture: Aperture of the sharp picture as a share of that of the views; 0 for a pinhole.
        depth: Bits per channel to which pictures are rounded, 8 or 16.
        compressed: Share of pairs, in [0, 1], whose views have been through lossy coding.
        codecs: Which coding, one or more of "jpeg", "vp8" and "h264".

    Attributes:
        notes: One sentence for each thing that looks odd about the photographs.

    Raises:
        DataError: A setting is out of range, a folder does not exist, or there are no photographs.
        RecipeError: There is no such camera.
        PictureError: A photograph cannot be read.
        MachineError: The package of a codec is missing.

    Example:
        >>> photo = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)
        >>> pairs = SimulatedPairs([photo], size=32, count=4)
        >>> len(pairs), sorted(pairs[0]), pairs[0]["left"].shape
        (4, ['left', 'name', 'right', 'sharp'], torch.Size([3, 32, 32]))
    """

    def __init__(
        self,
        photos: Sequence[str | Path | Tensor],
        size: int = 256,
        count: int = 1000,
        seed: int = 0,
        *,
        views: Sequence[str] = ("left", "right", "sharp"),
        camera: str | Light = "any",
        layout: Layout | None = None,
        depths: str | Path | None = None,
        store: str | Path | None = None,
        sharp_aperture: float = 0.0,
        depth: int = 16,
        compressed: float = 0.0,
        codecs: Sequence[str] = ("jpeg", "vp8"),
    ) -> None:
        check_request(count, size, seed)
        views, codecs = _listed("views", views), _listed("codecs", codecs)
        if unknown := sorted(set(views) - set(SHOWN)):
            raise DataError(f"There is no view {unknown[0]!r}; choose from: {', '.join(SHOWN)}.")
        if not views:
            raise DataError(f"No view is to be made; choose one or more from: {', '.join(SHOWN)}.")
        if depth not in (8, 16) or not 0 <= compressed <= 1 or not 0 <= sharp_aperture <= 1:
            raise DataError(
                f"depth={depth}, compressed={compressed}, sharp_aperture={sharp_aperture}: give 8 or 16 bits, and"
                " shares from 0 to 1."
            )
        light = camera if isinstance(camera, Light) else pick(LIGHTS, str(camera), "camera")
        notes: list[str] = []
        pictures = _pictures(photos, depths, store, notes.append)
        self.views, self.notes = views, tuple(notes)
        self._simulated = Simulated(
            pictures, size, count, seed, sharp_aperture, depth, compressed, layout or Layout(), codecs, light
        )

    def __len__(self) -> int:
        return len(self._simulated)

    def __getitem__(self, index: int) -> Sample:
        return self._simulated.sample(index, self.views)


class SimulatedStream(IterableDataset[Sample]):
    """Simulated pairs as a stream, divided among the workers of all loaders and the processes of a training.

    No index comes twice and none is left out, whatever the number of workers and processes: worker w of W in process r
    of R makes the indices `start` + w R + r, and so on in steps of W R.

    Args:
        photos: As for `SimulatedPairs`.
        size: As for `SimulatedPairs`.
        count: How many pairs for all processes together; None goes on without end.
        seed: As for `SimulatedPairs`.
        start: The first index, to go on where a training stopped.
        rank: This process's number; None asks `torch.distributed`, or is 0 without it.
        world_size: Number of processes; None likewise, or 1.
        settings: Further ones of `SimulatedPairs`.

    Attributes:
        notes: As those of `SimulatedPairs`.

    Raises:
        DataError: As for `SimulatedPairs`, or `rank` and `world_size` contradict each other.
    """

    def __init__(
        self,
        photos: Sequence[str | Path | Tensor],
        size: int = 256,
        count: int | None = None,
        seed: int = 0,
        *,
        start: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        **settings: Any,
    ) -> None:
        self._end = start + count if count is not None else ENDLESS
        self._pairs = SimulatedPairs(photos, size, max(self._end, 1), seed, **settings)
        self.notes = self._pairs.notes
        self._start, self._place = start, (rank, world_size)
        if start < 0 or self._end < start:
            raise DataError(f"start={start} and count={count}: give numbers from 0 on.")
        self._rank()

    def _rank(self) -> tuple[int, int]:
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = self._place
        world = world if world is not None else torch.distributed.get_world_size() if running else 1
        rank = rank if rank is not None else torch.distributed.get_rank() if running else 0
        if not 0 <= rank < world:
            raise DataError(f"rank={rank} of world_size={world}: a rank goes from 0 to world_size - 1.")
        return rank, world

    def __iter__(self) -> Iterator[Sample]:
        rank, world = self._rank()
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(self._start + number * world + rank, self._end, workers * world):
            yield self._pairs[index]


def _listed(name: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):  # whose letters would be taken for the names
        raise DataError(f"{name}={names!r} is one text; give a list, {name}=[{names!r}].")
    return tuple(names)


def _pictures(
    photos: Sequence[str | Path | Tensor], depths: str | Path | None, store: str | Path | None, tell: Tell
) -> Sequence[Tensor]:
    if isinstance(photos, str | Path):
        photos = [photos]
    pictures = [photo for photo in photos if isinstance(photo, Tensor)]
    folders = [photo for photo in photos if not isinstance(photo, Tensor)]
    if (pictures and folders) or not photos:
        raise DataError("Photographs are folders of pictures, or tensors of bytes; give at least one, all of one kind.")
    if depths is not None and (store is None or pictures):
        raise DataError("Maps of depth go with folders of photographs and a store=FOLDER for decoded ones; give both.")
    for picture in pictures:
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] not in (3, 4):
            given = f"{picture.dtype}, {' x '.join(map(str, picture.shape))}"
            raise DataError(f"A photograph is a tensor of bytes, 3 x H x W or 4 x H x W with depth, not {given}.")
        if min(picture.shape[1:]) < SMALLEST_PX:
            raise DataError(f"{picture.shape[2]} x {picture.shape[1]} px is too small; give {SMALLEST_PX} or more.")
    if pictures:
        return pictures
    if store is None:
        return read_photos(folders, tell=tell)
    return share_photos(folders, Path(store), depths=depths, tell=tell)
