"""Channel-Interactive FFN and its ablation. B batch, C channels, D hidden channels, G groups, H W the map.

From the abstract of arXiv 2508.16884: feature decomposition and redistribution against the FFN's redundancy,
and an embedded depth-wise separable convolution. Our decision: one aggregate for each group of hidden
channels (MogaNet, arXiv 2211.03295, aggregates all channels into one).
"""

import torch
from torch import Tensor, nn

from saevit.model.layers import ACT_LAYERS
from saevit.spec import NUM_GROUPS

GAMMA_INIT = 1e-5  # redistribution starts as almost nothing, as layer scale does (arXiv 2103.17239)


class Redistribute(nn.Module):
    """v_j = u_j + gamma_j (u_j - a_g(j)), g(j) the group of channel j.

    u: (B, D, H, W); a: (B, G, H, W) -> as u.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), GAMMA_INIT))

    def forward(self, u: Tensor, a: Tensor) -> Tensor:
        groups = u.unflatten(1, (a.shape[1], -1))  # (B, G, D/G, H, W)
        distance = groups - a.unsqueeze(2)
        return torch.addcmul(u, self.gamma[:, None, None], distance.flatten(1, 2))


class CIFFN(nn.Module):
    """Depth-wise convolution, expansion beside aggregation, redistribution, projection. (B, C, H, W) -> same.

    t = BN(DW(x)), u = act(BN(W1 t)), a = act(BN(Wa t)), v = redistributed u, y = BN(W2 v). The depth-wise
    convolution and the expansion are the depth-wise separable convolution. `local=none` leaves the first out.
    """

    def __init__(self, dim: int, hidden_dim: int, act: str, local: str, kernel: int) -> None:
        super().__init__()
        self.dw = depth_wise(dim, local, kernel)
        self.norm = nn.BatchNorm2d(dim)
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden_dim)
        self.act = ACT_LAYERS[act]()
        self.aggregate = nn.Conv2d(dim, NUM_GROUPS, 1, bias=False)
        self.norm_a = nn.BatchNorm2d(NUM_GROUPS)
        self.act_a = ACT_LAYERS[act]()
        self.redistribute = Redistribute(hidden_dim)
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        t = self.norm(self.dw(x))
        u = self.act(self.norm1(self.fc1(t)))
        a = self.act_a(self.norm_a(self.aggregate(t)))
        return self.norm2(self.fc2(self.redistribute(u, a)))


class MLP(nn.Module):
    """The plain FFN, for ablation: CIFFN without aggregates. (B, C, H, W) -> same."""

    def __init__(self, dim: int, hidden_dim: int, act: str, local: str, kernel: int) -> None:
        super().__init__()
        self.dw = depth_wise(dim, local, kernel)
        self.norm = nn.BatchNorm2d(dim)
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden_dim)
        self.act = ACT_LAYERS[act]()
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.fc2(self.act(self.norm1(self.fc1(self.norm(self.dw(x)))))))


def depth_wise(dim: int, local: str, kernel: int) -> nn.Module:
    """Return the depth-wise convolution of an FFN, or nothing for `local=none`."""
    if local == "none":
        return nn.Identity()
    return nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
