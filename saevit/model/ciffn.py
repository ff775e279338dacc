"""Channel-Interactive FFN and its ablation. B batch, C channels, D hidden channels, G groups, H W the map.

From the abstract of arXiv 2508.16884: feature decomposition and redistribution against the FFN's redundancy,
and an embedded depth-wise separable convolution. Our decision: one aggregate for each group of hidden
channels (MogaNet, arXiv 2211.03295, aggregates all channels into one).
"""

import torch
from torch import Tensor, nn

from saevit.model.layers import ACT_LAYERS, ConvNorm
from saevit.variant import NUM_GROUPS

GAMMA_INIT = 1e-5  # redistribution starts as almost nothing, as layer scale does (arXiv 2103.17239)


class Redistribute(nn.Module):
    """v_j = u_j + gamma_j (u_j - a_g(j)), g(j) the group of channel j.

    u: (B, D, H, W); a: (B, G, H, W) -> as u.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), GAMMA_INIT))

    def forward(self, u: Tensor, a: Tensor) -> Tensor:
        groups = u.view(-1, a.shape[1], u.shape[1] // a.shape[1], *u.shape[2:])  # (B, G, D/G, H, W)
        return torch.addcmul(u, self.gamma[:, None, None], (groups - a.unsqueeze(2)).flatten(1, 2))


class MLP(nn.Module):
    """The plain FFN, for ablation: t = BN(DW(x)), u = act(BN(W1 t)), y = BN(W2 u). (B, C, H, W) -> same.

    The depth-wise convolution DW and the expansion W1 are the depth-wise separable convolution; `local=none`
    leaves DW out.
    """

    def __init__(self, dim: int, hidden_dim: int, act: str, local: str, kernel: int) -> None:
        super().__init__()
        depth_wise = local == "dwsconv"
        self.local = ConvNorm(dim, dim, kernel, groups=dim) if depth_wise else nn.BatchNorm2d(dim)
        self.fc1 = ConvNorm(dim, hidden_dim, 1)
        self.act = ACT_LAYERS[act]()
        self.fc2 = ConvNorm(hidden_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.hidden(self.local(x)))

    def hidden(self, t: Tensor) -> Tensor:
        """Return the hidden channels. (B, C, H, W) -> (B, D, H, W)."""
        return self.act(self.fc1(t))


class CIFFN(MLP):
    """The FFN with a = act(BN(Wa t)) beside u, and redistributed u in place of u. (B, C, H, W) -> same."""

    def __init__(self, dim: int, hidden_dim: int, act: str, local: str, kernel: int) -> None:
        super().__init__(dim, hidden_dim, act, local, kernel)
        self.aggregate = ConvNorm(dim, NUM_GROUPS, 1)
        self.act_a = ACT_LAYERS[act]()
        self.redistribute = Redistribute(hidden_dim)

    def hidden(self, t: Tensor) -> Tensor:
        return self.redistribute(super().hidden(t), self.act_a(self.aggregate(t)))
