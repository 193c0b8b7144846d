"""An engine: the network as it is, in float32 on the CPU, whatever the size."""

import copy

import torch

from dualpix.networks import spec_of


class EagerRunner:
    """What `dualpix deblur --engine example-engine` runs."""

    engine, precisions, cpu_only = "example-engine", ("fp32",), True
    gain = engine_gain = None
    workspace_factor, precision, device = 1.0, "fp32", torch.device("cpu")

    def __init__(self, network, precision, device):
        self.network, self.spec = copy.deepcopy(network).float().eval(), spec_of(network)
        self.weight_bytes = sum(value.nbytes for value in network.state_dict().values())

    def __call__(self, views):
        with torch.no_grad():
            return self.network(*(view[None].float() for view in views))[0]

    def dry_run(self, rows, width):
        with torch.no_grad():
            meta = copy.deepcopy(self.network).to("meta")
            meta(*(torch.zeros(1, 3, rows, width, device="meta") for _ in self.spec.views))
