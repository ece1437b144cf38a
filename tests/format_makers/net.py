"""The class that the tests' weights were trained in, and others that are not it."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers, as wide as they are told."""

    def __init__(self, inputs=4, hidden=8):
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, 2)

    def forward(self, x):
        """Return two numbers for each row."""
        return self.second(torch.relu(self.first(x)))


class Other(nn.Module):
    """Another class, with a layer of the same name."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        """Return two numbers for each row."""
        return self.last(self.first(x))


class Words(nn.Module):
    """Takes the numbers of words, and says how long each text was beside its mean."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 3)

    def forward(self, ids):
        """Return a dict of two arrays."""
        return {"mean": self.words(ids).mean(1), "length": (ids > 0).sum(1)}


class Recurrent(nn.Module):
    """Returns what it remembers beside its output, of which the batch is not the first part."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(3, 4, num_layers=2, batch_first=True)

    def forward(self, x):
        """Return the output of each step, and the state."""
        return self.cell(x)


class Pair(nn.Module):
    """Takes two arrays."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, left, right):
        """Return a tuple of two arrays."""
        both = torch.cat([left, right], 1)
        return self.layer(both), both.sum(1)


class Picture(nn.Module):
    """Takes pictures of bytes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)

    def forward(self, picture):
        """Return one number for each channel."""
        return self.layer(picture.float() / 255).mean((2, 3))
