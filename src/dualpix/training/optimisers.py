"""How the weights move along their gradients: Adam and AdamW as PyTorch has them, and Muon.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) moves a matrix along its gradient's nearest
orthogonal matrix, so that every direction moves alike, the rare ones too. From random weights `mccnet-fast` needs about
half the steps that AdamW needs (results/muon.md).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from dualpix.training.adam import Adam
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.state import part, tensors_like

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic whose repetition brings singular values near 1 (Jordan et al.)."""

ROUNDS = 5
LARGEST = 192
"""Matrices of more rows and columns are halved, row-wise, until one side fits: a round costs the square of the smaller
side, and a gated block's rows are two layers anyway."""

SMALLEST = 12
"""Matrices whose smaller side is at most this, such as the one that makes the picture, are left to AdamW."""

WIDE = 2
"""Sides in this proportion or more are orthogonalised through the square of the smaller: a kernel's, 1 to 9, in a third
of the time."""

OTHERS = 0.4
"""What Muon leaves to AdamW moves at this share of its rate."""


class Optimiser(Protocol):
    """What a learner asks of one."""

    def step(self, rate: float, processes: Processes, usable: Tensor | None = None) -> None:
        """Move the weights by their `grad` at that learning rate; all of the processes meet here.

        usable: On a device, whether they move at all; None if they do.
        """

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""

    def load_state_dict(self, state: Any, step: int) -> None:
        """Go on from a state after `step` steps. Raises ValueError, and changes nothing, if it does not fit."""


def create_optimiser(recipe: Recipe, masters: Sequence[Tensor]) -> Optimiser:
    """The recipe's optimiser for these weights, whose gradients all processes have averaged already."""
    if recipe.optimiser == "muon":
        return Muon(masters, recipe.betas)
    if recipe.optimiser == "adam":
        return Adam(masters, recipe.betas, decoupled=False)
    return Adam(masters, recipe.betas, recipe.weight_decay)


class Muon:
    """Muon for matrices and convolutions (out x everything else), AdamW without decay for the rest.

    An update has the size of AdamW's (root mean square 0.2 times the rate; Liu et al., 2025), so rates carry over: 1e-3
    is good where AdamW wants 4e-4. Of several processes each orthogonalises its share of the matrices.
    """

    def __init__(self, masters: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.matrices = [master for master in masters if min(_sides(master)) > SMALLEST]
        others = [master for master in masters if min(_sides(master)) <= SMALLEST]
        self.adam = Adam(others, betas)
        self.momentum = max(betas[0], 0.95)
        self.means = [torch.zeros_like(matrix) for matrix in self.matrices]
        self.work = [_work(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, rate: float, processes: Processes, usable: Tensor | None = None) -> None:
        """See `Optimiser`."""
        self.adam.step(OTHERS * rate, processes, usable)
        learning = [number for number, matrix in enumerate(self.matrices) if matrix.grad is not None]
        if not learning:
            return
        matrices, means = [self.matrices[k] for k in learning], [self.means[k] for k in learning]
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        if usable is not None:  # the mean of a mean and itself is what it was
            gradients = [torch.where(usable, one, mean) for one, mean in zip(gradients, means, strict=True)]
        torch._foreach_lerp_(means, gradients, 1 - self.momentum)
        moves = [torch.empty_like(matrix) for matrix in matrices]
        owners = share_out([self.work[k] for k in learning], processes.count)
        own = [number for number, owner in enumerate(owners) if owner == processes.rank]
        for number, made in zip(own, self._orthogonal(gradients, means, own), strict=True):
            moves[number].copy_(made)
        processes.exchange(moves, owners)
        if usable is not None:
            moves = [torch.where(usable, move, 0.0) for move in moves]
        torch._foreach_add_(matrices, moves, alpha=-rate)

    def _orthogonal(self, gradients: list[Tensor], means: list[Tensor], own: Sequence[int]) -> Iterator[Tensor]:
        """The moves of the matrices `own`: one by one on a CPU, all of one shape together elsewhere."""
        ahead = (gradients[number].lerp(means[number], self.momentum) for number in own)
        if not own or gradients[own[0]].device.type == "cpu":
            return map(orthogonal, ahead)
        return iter(orthogonal_together(list(ahead)))

    def state_dict(self) -> dict[str, Any]:
        """See `Optimiser`."""
        return {"adam": self.adam.state_dict(), "means": self.means}

    def load_state_dict(self, state: Any, step: int) -> None:
        """See `Optimiser`."""
        means = tensors_like(part(state, "means"), self.means, "means of the gradient")
        self.adam.load_state_dict(part(state, "adam"), step)
        if means:
            torch._foreach_copy_(self.means, means)


def orthogonal(gradient: Tensor) -> Tensor:
    """The move for a gradient, out x ...: nearly orthogonal, its root mean square about 0.2."""
    rows = gradient if gradient.ndim == 2 else gradient.movedim(1, -1)  # as they lie in memory, channels last
    matrix = rows.reshape(len(rows), -1)
    move = torch.cat([_newton_schulz(part) for part in _parts(matrix)]).view(rows.shape)
    return move if gradient.ndim == 2 else move.movedim(-1, 1)


def orthogonal_together(gradients: Sequence[Tensor], dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """`orthogonal` of each, all parts of one shape in one batch, computed in `dtype`."""
    rows = [gradient if gradient.ndim == 2 else gradient.movedim(1, -1) for gradient in gradients]
    parts = [_parts(one.reshape(len(one), -1)) for one in rows]
    flat = [piece for some in parts for piece in some]
    made: dict[int, Tensor] = {}
    for shape in dict.fromkeys(piece.shape for piece in flat):
        places = [place for place, piece in enumerate(flat) if piece.shape == shape]
        moves = _newton_schulz(torch.stack([flat[place] for place in places]).to(dtype))
        made.update(zip(places, moves.to(flat[0].dtype), strict=True))
    ready = iter(made[place] for place in range(len(flat)))
    wholes = [torch.cat([next(ready) for _ in some]).view(one.shape) for some, one in zip(parts, rows, strict=True)]
    return [whole if whole.ndim == 2 else whole.movedim(-1, 1) for whole in wholes]


def _parts(matrix: Tensor) -> list[Tensor]:
    if min(matrix.shape) <= LARGEST:
        return [matrix]
    return [part for half in matrix.chunk(2) for part in _parts(half)]


def _newton_schulz(matrix: Tensor) -> Tensor:
    """Of a matrix, or of a batch of them."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() if x.ndim == 2 else x.norm(dim=(1, 2), keepdim=True)).add(1e-7)
    x = _through_square(x) if x.shape[-1] >= WIDE * x.shape[-2] else _round_by_round(x)
    move = x.mul_(0.2 * max(x.shape[-2:]) ** 0.5)
    return move.mT if tall else move


def _round_by_round(x: Tensor) -> Tensor:
    first, third, fifth = NEWTON_SCHULZ
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = add_product(x, add_product(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return x


def _through_square(x: Tensor) -> Tensor:
    """The same for a wide matrix.

    A round multiplies x by a polynomial p of x x^T, and so x x^T by p from both sides: all rounds but the last product
    need only the small square.
    """
    first, third, fifth = NEWTON_SCHULZ
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    square, product = x @ x.mT, None
    for number in range(ROUNDS):
        factor = add_product(square, square, square, beta=third, alpha=fifth)
        factor.diagonal(dim1=-2, dim2=-1).add_(first)
        product = factor if product is None else factor @ product
        if number < ROUNDS - 1:
            square = factor @ square @ factor
    assert product is not None
    return product @ x


def share_out(work: Sequence[float], count: int) -> list[int]:
    """Which of `count` processes takes each piece, so that all have about as much to do: the largest pieces first."""
    loads = [0.0] * count
    owners = [0] * len(work)
    for piece in sorted(range(len(work)), key=lambda piece: -work[piece]):
        owners[piece] = loads.index(min(loads))
        loads[owners[piece]] += work[piece]
    return owners


def _sides(master: Tensor) -> tuple[int, int]:
    return (master.shape[0], master[0].numel()) if master.ndim > 1 else (1, master.numel())


def _work(matrix: Tensor) -> float:
    """Multiply-adds of `orthogonal`."""
    return sum(_work_of_part(*part.shape) for part in _parts(torch.empty(_sides(matrix), device="meta")))


def _work_of_part(rows: int, columns: int) -> int:
    short, long = sorted((rows, columns))
    if long >= WIDE * short:
        return 2 * short**2 * long + (4 * ROUNDS - 3) * short**3
    return ROUNDS * (2 * short**2 * long + short**3)
