"""Train the default network on simulated pairs in a plain loop of PyTorch: python examples/train_plain.py PHOTOS"""

import argparse

import torch
from torch.utils.data import DataLoader

import dualpix

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("photos", help="a folder of sharp photographs")
parser.add_argument("--steps", type=int, default=10_000)
parser.add_argument("--size", type=int, default=128, help="side of a crop in pixels")
parser.add_argument("--tiny", action="store_true", help="a network for trying the loop")
given = parser.parse_args()

small = {"widths": (4, 4, 8, 8), "depths": (1, 1, 0, 0, 0, 0, 0)} if given.tiny else {}
network = dualpix.create("mccnet-fast", **small)
optimiser = torch.optim.AdamW(network.parameters(), lr=4e-4)
pairs = dualpix.SimulatedStream([given.photos], given.size, count=8 * given.steps, compressed=0.5)
loader = DataLoader(pairs, batch_size=8)
loss_of = dualpix.LOSSES["mix"]

for step, batch in enumerate(loader, start=1):
    loss = loss_of(network(batch["left"], batch["right"]), batch["sharp"])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 100 == 0 or step == given.steps:
        print(f"step {step}: loss {loss.item():.4f}")
dualpix.save_pretrained(network, "trained")
