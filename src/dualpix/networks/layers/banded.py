"""The correlation along rows as a few operations on whole tensors: for GPUs, and for other engines than PyTorch.

The same sum as `networks.layers.correlation.correlate_rows`. Rows are cut into blocks of columns; the keys that a block
may see are its own and those of both neighbours that are within reach, so that scores exist for few pixels that may not
be seen. These, like columns past the picture's own, get a score that the softmax turns into zero.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

COLUMNS = 32  # of queries in one block: with 8 more either side, two thirds of the scores are of use
NEVER = -1e30  # the score of what may not be seen; finite, since engines differ in what they make of infinity


def correlate_pixels(query: Tensor, key: Tensor, value: Tensor, max_disparity: int | None, width: int) -> Tensor:
    """B H W C, B H W C, B H W V -> B H W V; `width`: number of valid columns; `query` is scaled already.

    All sizes but C and V may be symbols.
    """
    device = query.device
    inside = torch.arange(query.shape[2], device=device) < width
    batch, height, full_width = query.shape[:3]
    if max_disparity is None:
        # Each row as a picture of its own with one head: of this operation engines need not hold all scores at once.
        one_head = [maps.flatten(0, 1)[:, None] for maps in (query, key, value)]
        mask = torch.where(inside, 0.0, NEVER)[None, None, None]
        gathered = F.scaled_dot_product_attention(one_head[0], one_head[1], one_head[2], attn_mask=mask, scale=1.0)
        return gathered.reshape(batch, height, full_width, value.shape[3]) * inside[:, None]
    count = (full_width + COLUMNS - 1) // COLUMNS
    spare = count * COLUMNS - full_width
    queries = F.pad(query, (0, 0, 0, spare)).reshape(batch, height, count, COLUMNS, query.shape[3])
    keys = _neighbours(key, max_disparity, spare)
    values = keys if value is key else _neighbours(value, max_disparity, spare)
    i = torch.arange(COLUMNS, device=device)[:, None]
    j = torch.arange(COLUMNS + 2 * max_disparity, device=device)[None] - max_disparity
    column = COLUMNS * torch.arange(count, device=device)[:, None, None] + j
    seen = ((i - j).abs() <= max_disparity) & (column >= 0) & (column < width)
    gathered = _attend(queries, keys, values, seen)
    return gathered.reshape(batch, height, count * COLUMNS, value.shape[3])[:, :, :full_width] * inside[:, None]


def _neighbours(maps: Tensor, reach: int, spare: int) -> Tensor:
    """B H W C -> B H N COLUMNS+2reach C: the columns of each block and `reach` either side, zeros outside."""
    batch, height, _, channels = maps.shape
    more = -(-2 * reach // COLUMNS)  # blocks that the columns to the right reach into
    padded = F.pad(maps, (0, 0, reach, spare + more * COLUMNS - reach))
    blocks = padded.reshape(batch, height, -1, COLUMNS, channels)
    count = blocks.shape[2] - more
    parts = [blocks[:, :, :count]]
    for number in range(1, more + 1):
        wanted = min(COLUMNS, 2 * reach - (number - 1) * COLUMNS)
        parts.append(blocks[:, :, number : number + count, :wanted])
    return torch.cat(parts, 3)


def _attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    scores = query @ key.transpose(-1, -2) + torch.where(seen, 0.0, NEVER)
    return scores.softmax(-1) @ value
