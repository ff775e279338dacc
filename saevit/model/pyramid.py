"""The whole network: stem, four stages at strides 4, 8, 16, 32, head. B batch, C channels, H W the map."""

import torch
from torch import Tensor, nn

from saevit.model.ciffn import CIFFN, MLP
from saevit.model.layers import Downsample, DropPath, DWSConv, Head, Stem, init_weights
from saevit.model.saa import SAA
from saevit.spec import Stage, VariantSpec


class Block(nn.Module):
    """x += DWSConv(x); x += SAA(x) where the block carries attention; x += CIFFN(x). (B, C, H, W) -> same."""

    def __init__(self, spec: VariantSpec, stage: Stage, *, attends: bool, drop_path: float) -> None:
        super().__init__()
        ffn = CIFFN if spec.ffn == "ciffn" else MLP
        self.local = DWSConv(stage.dim, spec.act) if spec.local == "dwsconv" else None
        self.attn = SAA(stage.dim, stage.num_heads, stage.rate, spec.sampling) if attends else None
        self.ffn = ffn(stage.dim, stage.hidden_dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        if self.local is not None:
            x = x + self.drop_path(self.local(x))
        if self.attn is not None:
            x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.ffn(x))


class PyramidStage(nn.Module):
    """Downsampling (from the second stage on), then blocks. (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, downsample: Downsample | None, blocks: list[Block]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class SAEViT(nn.Module):
    """A SAEViT variant. (B, in_chans, H, W) -> (B, num_classes); H and W of 32 px or more, square or not.

    Weights are initialised for training (`init_weights`); gamma starts at 1e-5 and recovery at ones.
    """

    def __init__(self, spec: VariantSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = Stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, spec.act)
        self.stages = nn.ModuleList(make_stages(spec))
        self.head = Head(spec.stages[-1].dim, spec.num_classes)
        self.apply(init_weights)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map, (B, C4, ceil(H/32), ceil(W/32))."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def make_stages(spec: VariantSpec) -> list[PyramidStage]:
    """Build the four stages; the drop-path rate grows linearly over the blocks (arXiv 1603.09382)."""
    total = sum(stage.depth for stage in spec.stages)
    rates = iter(torch.linspace(0, spec.drop_path_rate, total, device="cpu").tolist())
    made = []
    for i, stage in enumerate(spec.stages):
        downsample = Downsample(spec.stages[i - 1].dim, stage.dim) if i else None
        blocks = [Block(spec, stage, attends=a, drop_path=next(rates)) for a in stage.attends]
        made.append(PyramidStage(downsample, blocks))
    return made


def build(spec: VariantSpec, *, seed: int = 0) -> SAEViT:
    """Return the network of a variant, in eval mode, its random weights fixed by `seed`.

    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SAEViT(spec).eval()
