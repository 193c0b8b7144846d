"""A data set whose pictures are decoded once, so that to cut a crop no photograph has to be decoded."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from dualpix.io.decoded import DecodedPictures, in_unit_range
from dualpix.pairs.sample import Reader, Sample, Samples, mean_view


@runtime_checkable
class FromFiles(Samples, Protocol):
    """A data set of files that can be read in part, such as `Dpdd` and `Folder`."""

    @property
    def files(self) -> list[Path]:
        """All of its pictures and maps."""
        ...

    def read_sample(self, index: int, names: Collection[str] | None, read: Reader) -> Sample:
        """See `pairs.sample.read_sample`."""
        ...


class Decoded:
    """The samples of another data set, of which only some pictures are wanted, kept decoded.

    Args:
        data: The data set.
        pictures: Where decoded pictures are kept.
        names: Of the pictures and maps that samples are to hold, where the data set has them; `left` and `right` always
            are there. A missing `center` is the mean of the views.
    """

    def __init__(self, data: FromFiles, pictures: DecodedPictures, names: Collection[str]) -> None:
        self.data, self.pictures, self.names = data, pictures, {"left", "right", *names}
        self.found, self.files = data.found, data.files

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        """Raises what the data set's own reading of a sample raises."""
        stored = self.stored(index)
        sample = {key: in_unit_range(x).contiguous() if isinstance(x, Tensor) else x for key, x in stored.items()}
        if "center" in self.names and "center" not in sample:
            sample["center"] = mean_view(sample["left"], sample["right"])
        return sample

    def stored(self, index: int) -> Sample:
        """The sample without a centre view that has no file, its pictures as `io.decoded.Stored` holds them."""
        return self.data.read_sample(index, self.names, self.pictures)


def stored(samples: Samples | Sequence[Sample], index: int) -> Sample:
    """A sample as it is cut from: mapped from files where the data set keeps such, whole otherwise."""
    found: Sample = getattr(samples, "stored", samples.__getitem__)(index)
    return found
