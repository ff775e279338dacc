"""The whole network: stem, four stages at strides 4, 8, 16, 32, head. B batch, C channels, H W the map."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from saevit.errors import OptionError
from saevit.model.ciffn import CIFFN, MLP
from saevit.model.layers import ConvNorm, DropPath, Head, Stem, init_weights
from saevit.model.saa import SAA
from saevit.variant import Stage, VariantSpec


class Block(nn.Module):
    """x += SAA(x) where the block carries attention; x += CIFFN(x). (B, C, H, W) -> same."""

    def __init__(self, spec: VariantSpec, stage: Stage, *, attends: bool, drop_path: float) -> None:
        super().__init__()
        ffn = CIFFN if spec.ffn == "ciffn" else MLP
        heads = (stage.num_heads, spec.key_dim)
        self.attn = SAA(stage.dim, *heads, stage.rate, spec.sampling) if attends else None
        self.ffn = ffn(stage.dim, stage.hidden_dim, spec.act, spec.local, spec.kernel)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        if self.attn is not None:
            x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.ffn(x))


class PyramidStage(nn.Module):
    """Downsampling (from the second stage on), then blocks. (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, downsample: ConvNorm | None, blocks: list[Block]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        for block in self.blocks:
            recompute = self.grad_checkpointing and self.training
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return x


class SAEViT(nn.Module):
    """A SAEViT variant. (B, in_chans, H, W) -> (B, num_classes); H and W of 32 px or more, square or not.

    The methods beside `forward` are those that timm's tools call on any backbone, with timm's names.
    """

    def __init__(self, spec: VariantSpec, *, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.spec = spec
        self.stem = Stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, spec.act)
        self.stages = nn.Sequential(*make_stages(spec))
        self.num_features = self.head_hidden_size = spec.stages[-1].dim
        self.head = Head(self.num_features, spec.num_classes, drop_rate)
        self.feature_info = [
            {"num_chs": stage.dim, "reduction": 4 * 2**i, "module": f"stages.{i}"}
            for i, stage in enumerate(spec.stages)
        ]
        self.apply(init_weights)

    @property
    def num_classes(self) -> int:
        """Classes of the head; 0 is none."""
        return self.spec.num_classes

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map, (B, C4, ceil(H/32), ceil(W/32))."""
        x = self.stem(x)
        for stage in self.stages:  # calling the sequence would keep the stem's map to the end
            x = stage(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits of the last stage's map, or with `pre_logits` the pooled features (B, C4)."""
        return self.head(x, pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the last map and those of the stages `indices`, (B, Ci, ceil(H/4/2^i), ceil(W/4/2^i))."""
        if output_fmt != "NCHW":
            raise OptionError(f"output_fmt {output_fmt!r}: maps are NCHW")
        wanted = self.stage_indices(indices)
        end = max(wanted) + 1 if stop_early else len(self.stages)
        x, chosen = self.stem(x), []
        for i, stage in enumerate(self.stages[:end]):
            x = stage(x)
            chosen += [x] if i in wanted else []
        return chosen if intermediates_only else (x, chosen)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages behind the last of `indices`, and the head; return the stages wanted."""
        wanted = self.stage_indices(indices)
        last = max(wanted)
        cut = last < len(self.stages) - 1
        self.stages = self.stages[: last + 1]
        if cut:
            self.num_features = self.head_hidden_size = self.spec.stages[last].dim
        if prune_head or cut:
            self.reset_classifier(0, "")
        return wanted

    def stage_indices(self, indices: int | Sequence[int] | None) -> list[int]:
        """Return stages from 0: the last n or those given, negative from the end; None is all."""
        count = len(self.stages)
        given = count if indices is None else indices
        wanted = list(range(-given, 0) if isinstance(given, int) else given)
        if not wanted or not all(-count <= i < count for i in wanted):
            raise OptionError(f"indices {indices}: stages are 0 to {count - 1}, or -{count} to -1")
        return [i % count for i in wanted]

    def get_classifier(self) -> nn.Module:
        """Return the layer from pooled features to logits."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh classifier in place; num_classes 0 returns pooled features, global_pool "" the map."""
        pools = self.head.pools if global_pool is None else bool(global_pool)
        if global_pool not in (None, "", "avg"):
            raise OptionError(f"global_pool {global_pool!r}: choose from 'avg', ''")
        if num_classes and not pools:
            raise OptionError(f"global_pool '' with num_classes={num_classes}: a map has no classes, give 0")
        weight = next(self.parameters())
        fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        init_weights(fc)
        self.head.fc = fc.to(weight.device, weight.dtype).train(self.training)
        self.head.pools = pools
        self.spec = replace(self.spec, num_classes=num_classes)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations for the gradient; running statistics of BN then move twice a step."""
        for stage in self.stages:
            assert isinstance(stage, PyramidStage)
            stage.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns of the weights' names in order of depth, for layer-wise learning rates."""
        blocks = [(r"^stages\.(\d+)\.downsample", (0,)), (r"^stages\.(\d+)\.blocks\.(\d+)", None)]
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else blocks}


def make_stages(spec: VariantSpec) -> list[PyramidStage]:
    """Build the four stages; the drop-path rate grows linearly over the blocks (arXiv 1603.09382)."""
    total = sum(stage.depth for stage in spec.stages)
    rates = iter(torch.linspace(0, spec.drop_path_rate, total, device="cpu").tolist())
    made = []
    for i, stage in enumerate(spec.stages):
        downsample = ConvNorm(spec.stages[i - 1].dim, stage.dim, 3, stride=2) if i else None
        blocks = [Block(spec, stage, attends=a, drop_path=next(rates)) for a in stage.attends]
        made.append(PyramidStage(downsample, blocks))
    return made


def build(spec: VariantSpec, *, seed: int = 0) -> SAEViT:
    """Return the network of a variant in eval mode; its random weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SAEViT(spec).eval()
