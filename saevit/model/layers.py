"""Layers that are not SAEViT's own. B batch, C channels, H W height and width of the map."""

import torch.nn.functional as F
from torch import Tensor, nn

# By the text of the grammar's key `act`; `saevit.model.packed_conv.ACTS` has the same activations folded.
ACT_LAYERS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class ConvNorm(nn.Sequential):
    """BN(convolution) without bias. (B, C, H, W) -> (B, C', ceil(H/stride), ceil(W/stride))."""

    def __init__(self, in_dim: int, dim: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, dim, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(dim)


class Stem(nn.Module):
    """Two 3x3 convolutions of stride 2. (B, in_chans, H, W) -> (B, dim, ceil(H/4), ceil(W/4))."""

    def __init__(self, in_chans: int, mid_dim: int, dim: int, act: str) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_chans, mid_dim, 3, stride=2)
        self.act = ACT_LAYERS[act]()
        self.conv2 = ConvNorm(mid_dim, dim, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.conv1(x)))


class Attend(nn.Module):
    """Scaled dot-product attention as a module of its own, so that it can be hooked, counted and timed."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return softmax(q k^T / sqrt(e)) v. q and k: (B, heads, n, e); v: (B, heads, n, d) -> as v."""
        return F.scaled_dot_product_attention(q, k, v)


class DropPath(nn.Module):
    """Drop the branch of a whole sample in training and keep its mean (arXiv 1603.09382). Any shape."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0 or not self.training:
            return x
        return x * F.dropout(x.new_ones(x.shape[0], *[1] * (x.ndim - 1)), self.drop_prob)


class Head(nn.Module):
    """Global average pool, dropout, linear. (B, C, H, W) -> (B, num_classes); for num_classes=0 (B, C).

    With `pools` off it returns the map.
    """

    def __init__(self, dim: int, num_classes: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.pools = True
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(dim, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits, or with `pre_logits` the input of the classifier."""
        if not self.pools:
            return x
        x = self.drop(x.mean((2, 3)))
        return x if pre_logits else self.fc(x)


def init_weights(module: nn.Module) -> None:
    """Initialise one layer, as `Module.apply` calls it. Biases start at 0.

    | depth-wise convolution with bias (recovery) | identity: each pixel gets the token of its window |
    | other 3x3 and 5x5 convolutions | normal, sqrt(2 / fan_out) with groups (arXiv 1502.01852) |
    | 1x1 convolution, linear | truncated normal, 0.02 (arXiv 2010.11929) |
    """
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return
    if isinstance(module, nn.Linear) or module.kernel_size == (1, 1):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif module.bias is not None:
        nn.init.dirac_(module.weight, module.groups)
    else:
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
