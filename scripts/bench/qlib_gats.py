"""The GATs of Qlib's model zoo (Microsoft; pyqlib 0.9.7, contrib/model/pytorch_gats_ts.py) as its PyTorch lines compute it: a GRU, one attention whose scores
come from both stocks' states side by side, a [N, N, 2H] tensor, and two full layers; squared error, gradients cut at 3, Adam."""
from __future__ import annotations

import torch
from torch import nn


class QlibGATs(nn.Module):
    """[N, T, F] -> [N], of one date."""

    def __init__(self, features: int, hidden: int = 64, layers: int = 2):
        super().__init__()
        self.rnn = nn.GRU(features, hidden, layers, batch_first=True)
        self.transformation = nn.Linear(hidden, hidden)
        self.attention = nn.Parameter(torch.randn(2 * hidden, 1))
        self.fc, self.fc_out = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.leaky_relu = nn.LeakyReLU()

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        hidden = self.rnn(sequences)[0][:, -1]
        of_one, of_other = self.transformation(hidden), self.transformation(hidden)
        n, width = of_one.shape
        rows = of_one.expand(n, n, width)
        columns = of_other.expand(n, n, width).transpose(0, 1)
        pairs = torch.cat((rows, columns), 2).view(-1, 2 * width)
        scores = self.leaky_relu(self.attention.t().mm(pairs.t()).view(n, n))
        hidden = torch.softmax(scores, dim=1).mm(hidden) + hidden
        return self.fc_out(self.leaky_relu(self.fc(hidden))).squeeze(-1)


def train_step(model: QlibGATs, optimizer: torch.optim.Optimizer, sequences: torch.Tensor, target: torch.Tensor) -> None:
    known = torch.isfinite(target)
    loss = torch.mean((model(sequences)[known] - target[known]) ** 2)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), 3.0)
    optimizer.step()
