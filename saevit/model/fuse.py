"""The network for inference: every exact fold applied. B batch, C channels, H W the map."""

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from saevit.errors import OptionError
from saevit.model.ciffn import CIFFN
from saevit.model.fold import affine, bias_of
from saevit.model.fused import (
    FusedCIFFN,
    FusedConv,
    FusedDense,
    FusedDWSConv,
    FusedHead,
    FusedMLP,
    FusedPool,
    FusedSAA,
    FusedStem,
)
from saevit.model.pyramid import Block, PyramidStage, SAEViT

# Bytes. glibc gives large blocks back to the kernel after each use, and they come back by page faults: 16
# images of saevit_tiny at 224 px took 1.2 times as long in one part, and 1.05 times in parts of 8 MiB.
LARGEST_MAP = 16 * 2**20


class FusedBlock(nn.Module):
    """The branches of a block, each adding to the map. (B, C, H, W) -> same, overwriting what it takes."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        branches: dict[str, nn.Module] = {}
        owed = torch.zeros_like(block.ffn.norm.bias)
        if block.local is not None:
            branches["local"] = FusedDWSConv(block.local)
            owed = affine(block.local.norm2)[1]
        if block.attn is not None and isinstance(block.attn.recover, nn.Identity):
            branches["attn"] = FusedDense(block.attn, owed)
            owed = owed + bias_of(block.attn.proj)
        elif block.attn is not None:
            branches["attn"] = FusedSAA(block.attn, owed)
        ffn = block.ffn
        branches["ffn"] = FusedCIFFN(ffn, owed) if isinstance(ffn, CIFFN) else FusedMLP(ffn, owed)
        self.branches = nn.ModuleDict(branches)

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches.values():
            x = branch(x)
        return x


class FusedStage(nn.Module):
    """Downsampling (from the second stage on), then blocks. (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, stage: PyramidStage) -> None:
        super().__init__()
        down = stage.downsample
        self.downsample = nn.Identity() if down is None else FusedConv(down.conv, down.norm)
        blocks = cast(Iterable[Block], stage.blocks)
        self.blocks = nn.ModuleList([FusedBlock(block) for block in blocks])

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class FusedSAEViT(nn.Module):
    """A SAEViT variant for inference. (B, in_chans, H, W) -> (B, num_classes), as its reference form.

    It works in channels_last whatever the input's layout, and changes its maps in place: gradients do not
    flow through it. On a CPU a large batch is worked through in parts.
    """

    def __init__(self, model: SAEViT) -> None:
        super().__init__()
        self.spec = model.spec
        self.stem = FusedStem(model.stem)
        stages = cast(Iterable[PyramidStage], model.stages)
        self.stages = nn.ModuleList([FusedStage(stage) for stage in stages])
        self.head = FusedHead(model.head) if isinstance(model.head.fc, nn.Linear) else FusedPool(model.head)
        # Channels of the largest map, a quarter of the input's height and width: the FFN's or the stem's.
        self.widest = max(model.spec.stages[0].hidden_dim, 4 * model.spec.stem_dim)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map, (B, C4, ceil(H/32), ceil(W/32))."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        num_parts = self.num_parts(x)
        if num_parts == 1:
            return self.head(self.forward_features(x))
        return torch.cat([self.head(self.forward_features(part)) for part in x.tensor_split(num_parts)])

    def num_parts(self, x: Tensor) -> int:
        """Return into how many parts a batch is split, so that no map of a part exceeds `LARGEST_MAP`."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return 1
        B, _, H, W = x.shape
        image = self.widest * -(-H // 4) * -(-W // 4) * x.element_size()  # bytes of its largest map
        return -(-B // max(1, LARGEST_MAP // image))


def fuse(model: SAEViT) -> FusedSAEViT:
    """Return the network for inference: equal outputs, BatchNorm and redistribution folded into products.

    The model is not touched, and shares nothing with the result, whose parameters are not trained. Folding
    is computed in float64; outputs differ by rounding only.

    Raises:
        OptionError: the model is in training mode, or is none of ours.
    """
    if not isinstance(model, SAEViT):
        raise OptionError(f"fuse cannot take a {type(model).__name__}: give it a SAEViT, as build returns it")
    if not model.head.pools or len(model.stages) != len(model.spec.stages):
        raise OptionError("fuse cannot take a part of a network: give it all stages and a head that pools")
    if any(module.training for module in model.modules()):
        raise OptionError("fuse cannot take a model in training mode: call model.eval() first")
    weight = model.head.norm.weight
    device = "cpu" if weight.device.type == "mps" else weight.device  # mps has no float64
    with torch.inference_mode(False), torch.no_grad():
        exact = copy.deepcopy(model).to(device, torch.float64)
        return FusedSAEViT(exact).to(weight.device, weight.dtype).eval()
