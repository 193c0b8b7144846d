"""Cross-correlation along rows: every pixel of one view gathers from the pixels of the same row of the other view.

out(i) = sum_j softmax_j(scale * query(i) . key(j)) value(j), with j in the same row and, if there is a window,
|i - j| <= max_disparity (the paper's 3.2, and "parallax attention" of Wang et al., TPAMI 2022, on which it rests).

It has three forms, which compute the same; `form_of` says which one is taken.

* blocks, on a CPU: the scores of all rows together, S (B H W W), are never held. They are made a few rows and one block
  of columns at a time, and made again in the backward pass, so memory is linear in the width, and with a window time
  is too. Small pieces also stay in the cache, which makes this faster on a CPU than keeping S.
* rows, elsewhere, for whole rows: PyTorch's scaled dot-product attention, which holds no S on a GPU either.
* band, elsewhere, with a window: `banded`, a dozen operations whatever the size. A GPU waits for each operation that is
  handed to it, and blocks are thousands.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dualpix.networks.layers.banded import correlate_pixels

COLUMNS = 64  # columns of queries that share one matrix product; wider blocks waste work outside the window
SCORES = 2**19  # scores held at a time: 2 MB in float32, about one core's cache


def correlate_rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    max_disparity: int | None = None,
    width: int | None = None,
    scale: float | None = None,
    form: str = "",
) -> Tensor:
    """Gather `value` (B V H W) for every pixel of `query` (B C H W) by its likeness to `key` (B C H W) along the row.

    max_disparity: columns either side that a pixel may look at; None for the whole row.
    width: number of valid columns; the others are padding, which nobody looks at and where the result is zero.
    scale: factor on the scores before the softmax; None for 1 / sqrt(C), as in scaled dot-product attention.
    form: a name in FORMS; "" for the one that suits the device. "rows" is for whole rows alone.

    Returns B V H W in `query`'s type; without copies, if all three lie channels-last in memory. Raises ValueError if
    the shapes do not fit each other or `max_disparity` or `width` is out of range.
    """
    _check(query, key, value, max_disparity, width)
    batch, channels, height, full_width = query.shape
    width = full_width if width is None else width
    scale = channels**-0.5 if scale is None else scale
    rows = [_as_rows(picture[..., :width], query.dtype) for picture in (query, key, value)]
    reach = width if max_disparity is None else max_disparity
    with nullcontext() if query.is_meta else torch.autocast(query.device.type, enabled=False):
        gathered = FORMS[form or form_of(query.device, reach, width)](rows[0], rows[1], rows[2], reach, scale)
    gathered = gathered.view(batch, height, width, -1).permute(0, 3, 1, 2)
    return F.pad(gathered, (0, full_width - width)) if width < full_width else gathered


def form_of(device: torch.device, reach: int, width: int) -> str:
    """The name in FORMS of the form that suits a device, for rows of `width` columns of which `reach` are looked at."""
    if device.type == "cpu":
        return "blocks"
    return "rows" if reach >= width - 1 else "band"


def _in_blocks(query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float) -> Tensor:
    gathered: Tensor = _Correlate.apply(query, key, value, reach, scale)  # type: ignore[no-untyped-call]
    return gathered


def _in_rows(query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float) -> Tensor:
    one_head = [maps[:, None] for maps in (query, key, value)]  # each row by itself
    return F.scaled_dot_product_attention(one_head[0], one_head[1], one_head[2], scale=scale)[:, 0]


def _in_a_band(query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float) -> Tensor:
    width = query.shape[1]
    return correlate_pixels(query[None] * scale, key[None], value[None], min(reach, width - 1), width)[0]


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor, int, float], Tensor]] = {
    "blocks": _in_blocks,
    "rows": _in_rows,
    "band": _in_a_band,
}
"""From R W C, R W C, R W V, the columns either side that a pixel sees, and the factor on scores to R W V."""


@torch.no_grad()
def log_attention(
    query: Tensor,
    key: Tensor,
    reach: int,
    max_disparity: int | None = None,
    width: int | None = None,
    scale: float | None = None,
) -> Tensor:
    """Where `correlate_rows` looks: the logarithm of the weight that pixel i of `query` gives to i + k of `key`.

    For k = -reach ... reach, B 2reach+1 H W; minus infinity where there is no such pixel. The weights are those over
    the whole row, or the window, so those within `reach` may sum to less than 1. Other arguments and errors are those
    of `correlate_rows`; no gradients.
    """
    _check(query, key, key, max_disparity, width)
    if reach < 0:
        raise ValueError(f"reach must be at least 0, not {reach}")
    batch, channels, height, full_width = query.shape
    width = full_width if width is None else width
    scale = channels**-0.5 if scale is None else scale
    q, k = (_as_rows(picture[..., :width], query.dtype) for picture in (query, key))
    found = q.new_full((batch * height, full_width, 2 * reach + 1), -torch.inf)
    for r, i, j, mask in _pieces(q, width if max_disparity is None else max_disparity):
        logs = _scores(q[r, i], k[r, j], mask, scale).log_softmax(-1)
        columns = torch.arange(i.start, i.stop, device=q.device)[:, None] - j.start
        columns = columns + torch.arange(-reach, reach + 1, device=q.device)
        absent = (columns < 0) | (columns >= logs.shape[-1])
        nearby = columns.clamp(0, logs.shape[-1] - 1).expand(len(logs), -1, -1)
        found[r, i] = logs.gather(-1, nearby).masked_fill_(absent, -torch.inf)
    return found.view(batch, height, full_width, -1).permute(0, 3, 1, 2)


def _check(query: Tensor, key: Tensor, value: Tensor, max_disparity: int | None, width: int | None) -> None:
    if query.shape != key.shape or query.shape[:1] + query.shape[2:] != value.shape[:1] + value.shape[2:]:
        shapes = ", ".join(str(tuple(t.shape)) for t in (query, key, value))
        raise ValueError(f"query and key must have one shape B C H W and value B V H W, but they have {shapes}")
    if max_disparity is not None and max_disparity < 0:
        raise ValueError(f"max_disparity must be at least 0, or None for the whole row, not {max_disparity}")
    if width is not None and not 0 < width <= query.shape[-1]:
        raise ValueError(f"width must be 1 to {query.shape[-1]} columns, not {width}")


def _as_rows(picture: Tensor, dtype: torch.dtype) -> Tensor:
    batch, channels, height, width = picture.shape
    return picture.to(dtype).permute(0, 2, 3, 1).reshape(batch * height, width, channels)


def _pieces(like: Tensor, reach: int) -> Iterator[tuple[slice, slice, slice, Tensor | None]]:
    """Rows, columns of queries, columns of keys they may see, and the mask (0 or -inf) between these two, if needed."""
    rows, width, _ = like.shape
    for start in range(0, width, COLUMNS):
        stop = min(start + COLUMNS, width)
        first, last = max(0, start - reach), min(width, stop + reach)
        mask = _band(slice(start, stop), slice(first, last), reach, like) if last - first > reach + 1 else None
        step = max(1, SCORES // ((stop - start) * (last - first)))
        for row in range(0, rows, step):
            yield slice(row, row + step), slice(start, stop), slice(first, last), mask


def _band(queries: slice, keys: slice, reach: int, like: Tensor) -> Tensor:
    i = torch.arange(queries.start, queries.stop, device=like.device)[:, None]
    j = torch.arange(keys.start, keys.stop, device=like.device)
    return like.new_zeros(len(i), len(j)).masked_fill_((i - j).abs() > reach, float("-inf"))


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    return _scores(query, key, mask, scale).softmax(-1)


def _scores(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    scores = torch.bmm(query, key.transpose(1, 2)).mul_(scale)
    return scores if mask is None else scores.add_(mask)


class _Correlate(torch.autograd.Function):
    """R W C, R W C, R W V -> R W V. Keeps its inputs for the backward pass, not the scores."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.reach, ctx.scale = reach, scale
        gathered = torch.empty_like(value)
        for r, i, j, mask in _pieces(query, reach):
            gathered[r, i] = torch.bmm(_weights(query[r, i], key[r, j], mask, scale), value[r, j])
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        grad = grad.to(query.dtype)
        d_query, d_key, d_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for r, i, j, mask in _pieces(query, ctx.reach):
            weights = _weights(query[r, i], key[r, j], mask, ctx.scale)
            d_weights = torch.bmm(grad[r, i], value[r, j].transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            d_query[r, i] = torch.bmm(d_scores, key[r, j])
            d_key[r, j] += torch.bmm(d_scores.transpose(1, 2), query[r, i])
            d_value[r, j] += torch.bmm(weights.transpose(1, 2), grad[r, i])
        return d_query, d_key, d_value, None, None
