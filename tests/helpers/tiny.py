"""A split, a network and a method of the smallest kind, for tests of training: nothing here belongs
to the book's own methods."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Split:
    """`n` clips of ten seconds with eight features; a second is 1 where the features' sum is above
    a noisy zero."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.x = torch.tensor(rng.normal(size=(n, 10, 8)), dtype=torch.float32)
        self.y = (self.x.sum(-1) + 2 * torch.tensor(rng.normal(size=(n, 10))) > 0).long()

    def __len__(self):
        return len(self.y)

    def batch(self, indices):
        index = torch.as_tensor(np.asarray(indices))
        return {"x": self.x[index], "y": self.y[index]}


class Data:
    kind = "tiny"
    name = "tiny"

    def __init__(self, train=41, val=23, test=19, hash="one"):
        self.train, self.val, self.test, self.hash = (
            Split(train, 1),
            Split(val, 2),
            Split(test, 3),
            hash,
        )


class Net(nn.Module):
    """A perceptron; a normalisation used twice under two names, a layer that never gets a gradient,
    and a buffer."""

    def __init__(self, hidden=16, dropout=0.2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(hidden)
        self.again = self.norm
        self.out = nn.Linear(hidden, 2)
        self.unused = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, batch):
        if self.training:
            self.calls += 1
        return {"scores": self.out(self.again(self.norm(self.layers(batch["x"]))))}


class Method:
    monitor = "accuracy"

    def loss(self, net, batch):
        loss = F.cross_entropy(net(batch)["scores"].transpose(1, 2), batch["y"])
        return loss, {"segments": loss, "constant": 2.0}

    def predict(self, net, batch):
        return net(batch)["scores"].argmax(-1)

    def score(self, predicted, split):
        return {"accuracy": 100 * (predicted == split.y).double().mean().item()}


class DictMethod(Method):
    """Predictions of several kinds, as the parsing methods give them."""

    def predict(self, net, batch):
        scores = net(batch)["scores"]
        return {"index": scores.argmax(-1), "said": scores[..., 1] > 0, "share": scores.softmax(-1)}

    def score(self, predicted, split):
        assert predicted["said"].dtype == torch.bool and predicted["share"].dtype == torch.float32
        return super().score(predicted["index"], split)
