"""Channel-Interactive FFN and its ablation. B batch, C channels, D hidden channels, H W height and width.

From the abstract of arXiv 2508.16884: feature decomposition and redistribution against the FFN's redundancy.
Our decision: channel aggregation as in MogaNet (arXiv 2211.03295).
"""

import torch
from torch import Tensor, nn

from saevit.model.unwatched import pointwise

GAMMA_INIT = 1e-5  # the redistribution starts as almost nothing, as layer scale does (arXiv 2103.17239)


class Redistribute(nn.Module):
    """v = u + gamma * (u - act(w_d . u + b_d)), pixel by pixel. (B, D, H, W) -> same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.decompose = nn.Conv2d(dim, 1, 1)
        self.act = nn.GELU()
        self.gamma = nn.Parameter(torch.full((dim, 1, 1), GAMMA_INIT))

    def forward(self, u: Tensor) -> Tensor:
        aggregate = self.act(pointwise(self.decompose, u))  # (B, 1, H, W)
        return torch.lerp(u, aggregate, -self.gamma.to(u.dtype))  # in one pass; -gamma of the way to it


class CIFFN(nn.Module):
    """BN, expand, depth-wise 3x3, GELU, redistribute, project. (B, C, H, W) -> same."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1)
        self.dw = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim)
        self.act = nn.GELU()
        self.redistribute = Redistribute(hidden_dim)
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(self.fc2, self.redistribute(self.act(self.dw(pointwise(self.fc1, self.norm(x))))))


class MLP(nn.Module):
    """The plain FFN, for ablation: BN, expand, GELU, project. (B, C, H, W) -> same."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(self.fc2, self.act(pointwise(self.fc1, self.norm(x))))
