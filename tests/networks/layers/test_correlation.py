"""Row correlation against a dense masked softmax, which does hold all the scores."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dualpix.networks.layers import correlation
from dualpix.networks.layers.correlation import FORMS, correlate_rows, form_of, log_attention


def dense(
    query: Tensor, key: Tensor, value: Tensor, max_disparity: int | None, width: int, scale: float | None
) -> Tensor:
    full_width = query.shape[-1]
    scores = torch.einsum("bchi,bchj->bhij", query, key) * (query.shape[1] ** -0.5 if scale is None else scale)
    column = torch.arange(full_width)
    hidden = (column >= width).expand(full_width, full_width)
    if max_disparity is not None:
        hidden = hidden | ((column[:, None] - column).abs() > max_disparity)
    weights = scores.masked_fill(hidden, float("-inf"))[:, :, :width].softmax(-1)
    return F.pad(torch.einsum("bhij,bvhj->bvhi", weights, value), (0, full_width - width))


def maps(width: int, channels: tuple[int, int, int] = (8, 8, 5), rows: int = 3, **options: object) -> list[Tensor]:
    torch.manual_seed(width)
    return [torch.randn(2, c, rows, width, requires_grad=True, **options) for c in channels]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("full_width", "width", "max_disparity", "scale"),
    [
        (1, 1, None, None),
        (37, 37, None, None),
        (37, 37, 5, None),
        (65, 64, 0, 1.0),
        (129, 1, 300, None),
        (151, 130, 24, None),
        (151, 151, None, 0.7),
        (200, 199, 7, 1.0),
        (333, 333, 70, None),
    ],
)
@pytest.mark.parametrize(("form", "channels_last"), [("", False), ("", True), *((name, True) for name in FORMS)])
def test_equals_the_dense_softmax(
    full_width: int, width: int, max_disparity: int | None, scale: float | None, channels_last: bool, form: str
) -> None:
    """Every form against dense, forward and gradient."""
    if form == "rows" and max_disparity is not None and max_disparity < width - 1:
        pytest.skip("this form is for whole rows")
    inputs = maps(full_width)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    laid = [picture.contiguous(memory_format=layout) for picture in inputs]
    got = correlate_rows(*laid, max_disparity, width, scale, form)
    wanted = dense(*inputs, max_disparity, width, scale)
    weight = torch.randn_like(wanted)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    for g, w in zip(torch.autograd.grad(got, inputs, weight), torch.autograd.grad(wanted, inputs, weight), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("columns", "scores"), [(64, 1), (7, 500), (1, 2**19), (500, 20_000)])
def test_however_it_is_cut(columns: int, scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "COLUMNS", columns)
    monkeypatch.setattr(correlation, "SCORES", scores)
    inputs = maps(90, rows=5)
    got, wanted = correlate_rows(*inputs, 11, 85), dense(*inputs, 11, 85, None)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    for g, w in zip(torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(wanted.sum(), inputs), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-5)


def test_the_device_and_the_size_choose_the_form() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert form_of(cpu, 500, 500) == form_of(cpu, 12, 500) == "blocks"
    assert form_of(gpu, 500, 500) == form_of(gpu, 499, 500) == "rows" and form_of(gpu, 12, 500) == "band"


def test_a_form_for_devices_is_few_operations() -> None:
    """However large the picture: a GPU waits for each."""

    class Counting(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(
            self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
        ) -> object:
            self.count += 1
            return func(*args, **(kwargs or {}))

    def count(width: int, reach: int | None) -> int:
        three = [torch.zeros(4, 8, 64, width, device="meta", requires_grad=True) for _ in range(3)]
        with Counting() as counting:
            correlate_rows(*three, reach).sum().backward()
        return counting.count

    for reach in (None, 12):
        assert count(1024, reach) == count(64 if reach else 512, reach) < 150, reach


def test_gradients_are_those_of_finite_differences() -> None:
    inputs = maps(5, (2, 2, 3), rows=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *three: correlate_rows(*three, 2, 4), inputs)


@pytest.mark.parametrize("shift", [-6, 0, 11])
@pytest.mark.parametrize("max_disparity", [None, 12])
def test_finds_a_known_shift(shift: int, max_disparity: int | None) -> None:
    """Distinct codes at every column: the pixel that carries the same code is found, and its value fetched."""
    codes = torch.eye(90)[:, torch.randperm(90)].view(1, 90, 1, 90).expand(1, 90, 4, 90)
    value = torch.rand(1, 3, 4, 90)
    gathered = correlate_rows(codes, codes.roll(shift, -1), value, max_disparity, scale=100.0)
    inside = slice(11, 79)
    torch.testing.assert_close(gathered[..., inside], value.roll(-shift, -1)[..., inside])


@pytest.mark.parametrize("max_disparity", [None, 9])
def test_weights_sum_to_one(max_disparity: int | None) -> None:
    query, key, _ = maps(101)
    constant = torch.full((2, 4, 3, 101), 0.7)
    torch.testing.assert_close(correlate_rows(query, key, constant, max_disparity), constant)


@pytest.mark.parametrize("max_disparity", [None, 9])
def test_rows_and_pictures_do_not_leak(max_disparity: int | None) -> None:
    query, key, value = (picture.detach() for picture in maps(80))
    before = correlate_rows(query, key, value, max_disparity)
    for picture in (query, key, value):
        picture[1, :, 2] += 1
    changed = (correlate_rows(query, key, value, max_disparity) != before).amax((1, 3))  # B H
    assert changed.tolist() == [[False, False, False], [False, False, True]]


def test_a_pixel_sees_exactly_its_window() -> None:
    query, key, value = (picture.detach() for picture in maps(150))
    before = correlate_rows(query, key, value, 10)
    value[..., 70] += 1
    changed = (correlate_rows(query, key, value, 10) != before).any(0).any(0).any(0)
    assert changed.nonzero().flatten().tolist() == list(range(60, 81))


def test_the_padding_is_not_looked_at() -> None:
    query, key, value = (picture.detach() for picture in maps(50))
    for picture in (query, key, value):
        picture[..., 41:] = torch.nan
    gathered = correlate_rows(query, key, value, 8, width=41)
    torch.testing.assert_close(gathered[..., :41], correlate_rows(*(p[..., :41] for p in (query, key, value)), 8))
    assert torch.equal(gathered[..., 41:], torch.zeros(2, 5, 3, 9))


def test_nothing_larger_than_the_maps_is_kept_for_the_backward_pass() -> None:
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    inputs = maps(400)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        correlate_rows(*inputs)
    assert sum(kept) == sum(picture.numel() for picture in inputs)


def test_low_precision_is_near() -> None:
    inputs = [picture.detach() for picture in maps(100)]
    wanted = correlate_rows(*inputs, 12)
    low = correlate_rows(*(picture.bfloat16() for picture in inputs), 12)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), wanted, rtol=0, atol=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = correlate_rows(inputs[0].bfloat16(), inputs[1].bfloat16(), inputs[2], 12)
    torch.testing.assert_close(mixed, low)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": torch.zeros(1, 2, 3, 5)}, r"query and key .* \(1, 2, 3, 4\), \(1, 2, 3, 5\)"),
        ({"value": torch.zeros(1, 2, 4, 4)}, "query and key"),
        ({"max_disparity": -1}, "max_disparity must be at least 0"),
        ({"width": 0}, "width must be 1 to 4"),
        ({"width": 5}, "width must be 1 to 4"),
    ],
)
def test_arguments_that_do_not_fit(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = dict.fromkeys(("query", "key", "value"), torch.zeros(1, 2, 3, 4))
    with pytest.raises(ValueError, match=message):
        correlate_rows(**(arguments | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("full_width", "width", "max_disparity", "reach"),
    [(37, 37, None, 4), (37, 30, 5, 5), (151, 130, 24, 9), (151, 151, 3, 8), (9, 9, None, 12)],
)
def test_log_attention_is_what_gathering_one_hot_values_shows(
    full_width: int, width: int, max_disparity: int | None, reach: int
) -> None:
    query, key, _ = (picture.detach() for picture in maps(full_width))
    one_hot = torch.eye(full_width)[None, :, None].expand(2, -1, 3, -1)
    weights = correlate_rows(query, key, one_hot, max_disparity, width, scale=0.7)  # B j H i
    found = log_attention(query, key, reach, max_disparity, width, scale=0.7).exp()
    for place, offset in enumerate(range(-reach, reach + 1)):
        expected = torch.zeros(2, 3, full_width)
        for i in range(max(0, -offset), min(width, width - offset)):
            expected[..., i] = weights[:, i + offset, :, i]
        torch.testing.assert_close(found[:, place], expected, atol=1e-6, rtol=1e-4)


def test_log_attention_refuses_a_negative_reach() -> None:
    query, key, _ = maps(8)
    with pytest.raises(ValueError, match="reach must be at least 0, not -1"):
        log_attention(query, key, -1)
