"""Simulated samples in batches, on any device: decided on the CPU by seed and index, computed where they are needed.

    batches = BatchSimulator(simulated, torch.device("cuda"))
    shots = batches.draw(range(64))      # on the CPU, in any thread or process
    pictures = batches.render(shots)     # on the device, B x 3 x H x W each

A shot is that of `simulated.sample` with the same index: its pictures differ by rounding, before coding by less than
1e-4 of white. On a device other than the CPU coding is that of `block_coding`: as much is lost as by the codecs, but
not bit by bit the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from dualpix.simulation.block_coding import coded_together
from dualpix.simulation.canvases import composite_together, render_together, stacked
from dualpix.simulation.kernels import stopped_down
from dualpix.simulation.painting import CPU, Canvas, inverse, moved, numbers
from dualpix.simulation.render import Layer
from dualpix.simulation.samples import CODED, MARGIN_PX, Shot, Simulated, expose
from dualpix.simulation.sensor import encode, quantise, shaded, with_noise


@dataclass(frozen=True)
class BatchSimulator:
    """The samples of a simulator, many at once, on a device.

    Attributes:
        simulated: The simulator; its photographs are on the CPU, and a copy of their bytes on the device.
        device: Where pictures are computed.
        together: At most so many samples at once; memory grows with it, by some 100 MB for each at 256 px.
        noise_on_device: Whether noise is drawn on the device: quicker, and another one than on the CPU.
        model_coding: Whether coding is that of `block_coding` on the CPU too.
        whole_canvases: Whether all layers are rendered together, each whole, or one by one in small windows; None
            decides by what is quicker: windows on the CPU, else canvases.

    Example:
        >>> batches = BatchSimulator(Simulated([], size=32, count=8), CPU)
        >>> pictures = batches.render(batches.draw([3, 1]))
        >>> sorted(pictures), pictures["left"].shape
        (['left', 'right', 'sharp'], torch.Size([2, 3, 32, 32]))
    """

    simulated: Simulated
    device: torch.device = field(default=CPU)
    together: int = 64
    noise_on_device: bool = False
    model_coding: bool = False
    whole_canvases: bool | None = None

    @cached_property
    def canvas(self) -> Canvas:
        """The device with the photographs on it."""
        return Canvas([moved(photo, self.device) for photo in self.simulated.photos], self.device)

    def draw(self, indices: Sequence[int]) -> list[Shot]:
        """Decide everything about some samples; nothing is computed on the device.

        Raises:
            IndexError: There is no such sample.
        """
        return [self.simulated.shot(index) for index in indices]

    def render(self, shots: Sequence[Shot], names: Collection[str] = ("left", "right", "sharp")) -> dict[str, Tensor]:
        """Compute pictures of some samples, without the host waiting for the device.

        Args:
            shots: What `draw` gave, here or in another process. Those that share a lens cost less together.
            names: Which pictures and maps, of "left", "right", "center", "sharp" and "blur_px".

        Returns:
            By name, float32, on the device: pictures B x 3 x H x W in [0, 1], display-encoded, of as many bits as
            `simulated.depth` says; and `blur_px`, B x 1 x H x W, the signed blur radius in pixels.
        """
        groups = [shots[first : first + self.together] for first in range(0, len(shots), self.together)]
        parts = [self._render(group, names) for group in groups]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _render(self, shots: Sequence[Shot], names: Collection[str]) -> dict[str, Tensor]:
        ranges = [shot.scene.blur_ranges(MARGIN_PX - shot.margin) for shot in shots]
        order = sorted(range(len(shots)), key=lambda number: -len(ranges[number]))
        shots, ranges = [shots[number] for number in order], [ranges[number] for number in order]
        pictures = self._exposed(shots, ranges, names) if self.on_canvases else self._one_by_one(shots, names)
        pictures |= {name: self._coded(shots, pictures[name]) for name in CODED if name in pictures}
        back = moved(inverse(order), self.device)
        depth = self.simulated.depth
        return {
            name: (picture if name == "blur_px" else quantise(picture, depth)).index_select(0, back)
            for name, picture in pictures.items()
        }

    @property
    def on_canvases(self) -> bool:
        """Whether all layers are rendered together, on whole canvases."""
        return self.device.type != "cpu" if self.whole_canvases is None else self.whole_canvases

    def _one_by_one(self, shots: Sequence[Shot], names: Collection[str]) -> dict[str, Tensor]:
        aperture = self.simulated.sharp_aperture
        samples = [
            expose(self._painted(shot, shot.margin), shot.lens, shot.margin, shot.sensor, aperture, shot.seed, names)
            for shot in shots
        ]
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _exposed(
        self, shots: Sequence[Shot], ranges: Sequence[Sequence[tuple[float, float]]], names: Collection[str]
    ) -> dict[str, Tensor]:
        """The same as `samples.expose`, for all shots."""
        lenses = list(dict.fromkeys(shot.lens for shot in shots))
        margin = max(shot.margin for shot in shots)
        scenes = [self._painted(shot, margin) for shot in shots]
        stack = stacked(scenes, ranges, [lenses.index(shot.lens) for shot in shots], margin)
        views = self._noised(shots, render_together(stack, lenses)).clamp(0, 1)
        light = {"left": views[:, 0], "right": views[:, 1], "center": views.mean(1)}
        aperture = self.simulated.sharp_aperture
        if "sharp" in names and aperture:
            small = [stopped_down(lens) for lens in lenses]
            light["sharp"] = render_together(stack, small, aperture, whole=True)[:, 0]
        maps = {}
        if "blur_px" in names or ("sharp" in names and not aperture):
            sharp, maps["blur_px"] = composite_together(stack)
            light.setdefault("sharp", sharp)
        wanted = [name for name in light if name in names]
        pictures = self._developed(shots, torch.stack([light[name] for name in wanted], 1)).unbind(1)
        shown = dict(zip(wanted, pictures, strict=True))
        return shown | ({"blur_px": maps["blur_px"]} if "blur_px" in names else {})

    def _painted(self, shot: Shot, margin: int) -> list[Layer]:
        inner = slice(MARGIN_PX - margin, self.simulated.size + MARGIN_PX + margin)
        layers = shot.scene.paint(shot.sensor.tone, self.canvas)
        return [Layer(x.colour[:, inner, inner], x.alpha[inner, inner], x.blur_px[inner, inner]) for x in layers]

    def _each(self, values: Sequence[float]) -> Tensor:
        """Numbers on the device, N x 1 x 1 x 1 x 1."""
        return numbers(values, self.device)[:, None, None, None, None]

    def _noised(self, shots: Sequence[Shot], views: Tensor) -> Tensor:
        exposed = shaded(views, self._each([shot.sensor.shading for shot in shots])[:, 0])
        noisy = [number for number, shot in enumerate(shots) if shot.sensor.noisy]
        if not noisy:
            return exposed
        drawn_on = self.device if self.noise_on_device else CPU
        noise = [
            shots[number].sensor.noise(
                views.shape[1:], self.device, torch.Generator(drawn_on).manual_seed(shots[number].seed)
            )
            for number in noisy
        ]
        places = moved(torch.tensor(noisy), self.device)
        shot, read = (
            numbers([getattr(shots[n].sensor, part) for n in noisy], self.device) for part in ("shot", "read")
        )
        clean = exposed.index_select(0, places)
        shot, read = (amount[:, None, None, None, None] for amount in (shot, read))
        return exposed.index_copy(0, places, with_noise(clean, shot, read, torch.stack(noise)))

    def _developed(self, shots: Sequence[Shot], light: Tensor) -> Tensor:
        """Display values of B x N x 3 x H x W in linear light."""
        pictures = encode(light, self._each([shot.sensor.tone.contrast for shot in shots]))
        if not any(shot.sensor.developer.changes for shot in shots):
            return pictures
        return torch.stack([shot.sensor.developer.develop(own) for shot, own in zip(shots, pictures, strict=True)])

    def _coded(self, shots: Sequence[Shot], pictures: Tensor) -> Tensor:
        """Each picture through the coding of its shot, if it has one."""
        codings = [shot.coding for shot in shots]
        if self.device.type != "cpu" or self.model_coding:
            return coded_together(pictures, codings)
        return torch.stack([coding(one) if coding else one for coding, one in zip(codings, pictures, strict=True)])
