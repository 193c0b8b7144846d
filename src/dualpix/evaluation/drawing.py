"""The last step of an evaluation: some of the pictures side by side, with details enlarged."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dualpix.datasets import Samples
from dualpix.evaluation.figures import Scene, comparison
from dualpix.evaluation.predicting import Method, checked, each
from dualpix.evaluation.results import Row
from dualpix.io import write_picture


def draw(
    dataset: Samples, outputs: Mapping[str, Method], rows: Sequence[Row], path: str | Path, scenes: int = 6
) -> None:
    """Write a picture of `scenes` samples, spread evenly over the data: the input and the details of every output.

    A method whose picture is missing is left out of that scene. Writes nothing if `scenes` is 0.
    """
    psnr = {(row.method, name): numbers["psnr"] for row in rows for name, numbers in row.scores.pictures.items()}
    shown = min(scenes, len(dataset))
    drawn = []
    for _, sample in each(dataset, {}, [number * len(dataset) // shown for number in range(shown)]):
        pictures = {}
        for label, method in outputs.items():
            with suppress(Exception):  # it is in the list of failures already
                picture = checked(method(sample), sample)
                known = (label, sample["name"]) in psnr
                pictures[f"{label} {psnr[label, sample['name']]:.2f} dB" if known else label] = picture
        if pictures:
            drawn.append(Scene(sample["name"], pictures, sample.get("sharp")))
    if drawn:
        write_picture(path, comparison(drawn), depth=8, overwrite=True)
