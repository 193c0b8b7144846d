"""The same in Lightning: python examples/train_lightning.py PHOTOS"""

import argparse

import lightning
import torch
from torch.utils.data import DataLoader

import dualpix
from dualpix.evaluation.torchmetric import PictureMetric

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("photos", help="a folder of sharp photographs")
parser.add_argument("--steps", type=int, default=10_000)
parser.add_argument("--size", type=int, default=128, help="side of a crop in pixels")
parser.add_argument("--tiny", action="store_true", help="a network for trying the loop")
given = parser.parse_args()


class Deblurring(lightning.LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network, self.psnr = network, PictureMetric("psnr", bits=8)

    def training_step(self, batch, _):
        return dualpix.LOSSES["mix"](self.network(batch["left"], batch["right"]), batch["sharp"])

    def validation_step(self, batch, _):
        self.psnr.update(self.network(batch["left"], batch["right"]), batch["sharp"])
        self.log("psnr", self.psnr)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=4e-4)


small = {"widths": (4, 4, 8, 8), "depths": (1, 1, 0, 0, 0, 0, 0)} if given.tiny else {}
network = dualpix.create("mccnet-fast", **small)
train = DataLoader(dualpix.SimulatedStream([given.photos], given.size, count=8 * given.steps), batch_size=8)
valid = DataLoader(dualpix.SimulatedPairs([given.photos], given.size, count=8, seed=1), batch_size=8)
trainer = lightning.Trainer(max_steps=given.steps, max_epochs=1, logger=False, enable_checkpointing=False)
trainer.fit(Deblurring(network), train, valid)
dualpix.save_pretrained(network, "trained")
