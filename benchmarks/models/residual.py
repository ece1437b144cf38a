"""G1: a residual network for pictures of 28 by 28, on the GPU.

One row is 784 numbers. The weights are random, from a fixed seed: what is measured is the time of
the sums. Scores are centred by a sample, so that the classes of random inputs vary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

DEVICE = "cuda"
"""And never the processor: figures of it would look like those of a GPU."""

CHANNELS = 64
BLOCKS = 8
SEED = 7

# The same sums whatever the size of a batch, as far as float32 goes: answers are compared.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False
torch.set_num_threads(1)


class Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(CHANNELS)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the next block gets."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(y)))


def make_network() -> nn.Module:
    """Return the network: a convolution, the blocks, and a linear layer of ten classes."""
    torch.manual_seed(SEED)
    blocks = (Block() for _ in range(BLOCKS))
    layers = [nn.Conv2d(1, CHANNELS, 3, padding=1), *blocks, nn.AvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(CHANNELS * 49, 10)).eval().to(DEVICE)


@torch.inference_mode()
def uncentred(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    """Return what the network makes of each row; rows have a mean of 3 and a deviation of 2."""
    batch = torch.from_numpy(np.asarray(rows, dtype=np.float32)).to(DEVICE)
    return NETWORK((batch.view(-1, 1, 28, 28) - 3.0) / 2.0)


NETWORK = make_network()
SAMPLE = uncentred(np.random.default_rng(SEED).normal(3.0, 2.0, size=(64, 784)))
CENTRE, SPREAD = SAMPLE.mean(0), SAMPLE.std(0)


@torch.inference_mode()
def scores(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    """Return the score of each class for each row."""
    return (uncentred(rows) - CENTRE) / SPREAD


def residual(xs: Sequence[Sequence[float]]) -> list[Any]:
    """Return the class of each row."""
    return scores(xs).argmax(1).tolist()
