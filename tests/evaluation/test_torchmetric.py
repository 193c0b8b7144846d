"""Metrics that accumulate give what the functions give, over processes too."""

import math

import pytest
import torch
from torchmetrics import MeanMetric
from torchmetrics.image import PeakSignalNoiseRatio

import dualpix
from dualpix.errors import RecipeError
from dualpix.evaluation.torchmetric import PictureMetric


def test_batches_of_any_size_give_the_mean_over_pictures() -> None:
    torch.manual_seed(0)
    target = torch.rand(5, 3, 24, 24)
    output = (target + 0.1 * torch.randn_like(target)).clamp(0, 1)
    for name in ("psnr", "ssim", "mae"):
        metric = PictureMetric(name)
        for part in (slice(0, 1), slice(1, 4), slice(4, 5)):
            metric.update(output[part], target[part])
        expected = sum(dualpix.METRICS[name](x, y) for x, y in zip(output, target, strict=True)) / 5
        assert float(metric.compute()) == pytest.approx(expected, abs=1e-12)
        assert float(metric(output[:1], target[:1])) == pytest.approx(dualpix.METRICS[name](output[0], target[0]))
        metric.reset()
        assert metric.count == 0

    theirs, mean = PeakSignalNoiseRatio(data_range=1.0), MeanMetric()
    for x, y in zip(output, target, strict=True):
        mean.update(theirs(x, y))
        theirs.reset()
    ours = PictureMetric("psnr")
    ours.update(output, target)
    assert float(ours.compute()) == pytest.approx(float(mean.compute()), abs=1e-4)


@pytest.mark.skipif(not hasattr(PictureMetric, "merge_state"), reason="this torchmetrics joins none on request")
def test_processes_are_joined_by_their_sums() -> None:
    torch.manual_seed(0)
    target = torch.rand(3, 3, 16, 16)
    parts = [PictureMetric("psnr", bits=8), PictureMetric("psnr", bits=8)]
    parts[0].update(target[:1] * 0.9, target[:1])
    parts[1].update(target[1:] * 0.8, target[1:])
    parts[0].merge_state(parts[1])
    whole = PictureMetric("psnr", bits=8)
    whole.update(torch.cat([target[:1] * 0.9, target[1:] * 0.8]), target)
    assert float(parts[0].compute()) == pytest.approx(float(whole.compute()), abs=1e-9) and parts[0].count == 3


def test_equal_pictures_are_counted_apart_and_unknown_names_refused() -> None:
    metric = PictureMetric("psnr")
    metric.update(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
    assert math.isinf(float(metric.compute())) and metric.equal == 1
    with pytest.raises(RecipeError, match="There is no metric called 'pnsr'"):
        PictureMetric("pnsr")
    with pytest.raises(ValueError, match="shapes differ"):
        metric.update(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 9))
    with pytest.raises(ValueError, match="NaN or infinite"):
        metric.update(torch.full((1, 3, 8, 8), math.nan), torch.ones(1, 3, 8, 8))
    assert math.isinf(float(metric.compute())), "what was refused counts for nothing"
    with pytest.raises(ValueError, match="bits=0: give 1 to 16"):
        PictureMetric("psnr", bits=0)
