"""The second step of an evaluation: pictures, made by this or any other program, are compared with the truth."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dualpix.datasets import Samples
from dualpix.datasets.outputs import PicturesIn
from dualpix.errors import DataError
from dualpix.evaluation.metrics import measure
from dualpix.evaluation.predicting import Method, as_method, checked, each, sentence
from dualpix.evaluation.results import Scores


def score(
    outputs: str | Path | Method | nn.Module,
    dataset: Samples,
    protocol: str = "dpdd-16bit",
    extra: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> Scores:
    """Compare pictures with the sharp picture of every sample that has one.

    One that is missing, unreadable or of another size is noted, and the others go on.

    Args:
        outputs: A folder of pictures, found by name (`PicturesIn`), or a method or network that makes each picture on
            the spot, which is how training validates.
        dataset: The samples.
        protocol: That of `evaluation.metrics.measure`.
        extra: That of `evaluation.metrics.measure`.
        device: Where pictures are compared; it must know float64. Sums in another order differ by rounding.

    Raises:
        DataError: No sample has a sharp picture.

    Example:
        >>> from dualpix import read_picture
        >>> from dualpix.evaluation import blurred
        >>> views = {name: read_picture(f"{name}.png").pixels for name in ("left", "right", "sharp")}
        >>> scores = score(blurred, [{**views, "name": "one"}])
        >>> list(scores.pictures["one"])
        ['psnr', 'psnr-fitted', 'ssim', 'mae']
    """
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64)  # flat pictures may have no number, such as a correlation
    measure(ramp, ramp.flip(-1), protocol, extra)  # An unknown name or a missing package is no fault of any picture.
    scores = Scores(protocol)
    run = PicturesIn(outputs) if isinstance(outputs, str | Path) else as_method(outputs)
    for _, sample in each(dataset, scores.failures):
        name = sample["name"]
        scores.notes[name] = tuple(sample.get("notes", ()))
        if "sharp" not in sample:
            continue
        try:
            output, target = checked(run(sample), sample).to(device), sample["sharp"].to(device)
            scores.pictures[name] = measure(output, target, protocol, extra)
        except Exception as error:
            scores.failures[name] = sentence(error)
    if isinstance(run, PicturesIn):
        for name, why in run.taken_twice().items():
            scores.pictures.pop(name, None)
            scores.failures[name] = why
        for name, odd in run.notes.items():
            scores.notes[name] = (*scores.notes[name], *odd)
    if not scores.pictures and not scores.failures:
        raise DataError(f"There is nothing to score: none of {found(dataset)} has a sharp picture to compare with.")
    return scores


def found(dataset: Samples) -> str:
    """What the data set is made of, in words."""
    return getattr(dataset, "found", "") or f"{len(dataset)} samples"
