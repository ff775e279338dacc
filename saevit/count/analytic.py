"""The cost of a variant in closed form, module path by module path; no torch, no forward pass.

Each function stands beside the layer it mirrors (`saevit.model`) and reads like its `__init__`.
N = H W pixels, n = ceil(H/r) ceil(W/r) sampled tokens. Sizes may be ints or int64 arrays.
"""

from dataclasses import dataclass

from saevit.count.formulas import (
    Cost,
    Size,
    attention,
    conv,
    dw_conv,
    dw_transposed_conv,
    elementwise,
    linear,
    norm,
)
from saevit.spec import Stage, VariantSpec

ByModule = dict[str, Cost]


def by_module(spec: VariantSpec, img_size: tuple[int, int]) -> ByModule:
    """Return what each module of the network costs for one image of H x W, by the path of the module.

    A path's cost is its own work only: `stages.0.blocks.1` holds the block's additions, not its children's.
    """
    H, W = stem_size(img_size)
    costs = under("stem", stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, img_size))
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
            costs |= under(f"stages.{i}.downsample", downsample(spec.stages[i - 1].dim, stage.dim, H * W))
        for j, attends in enumerate(stage.attends):
            costs |= under(f"stages.{i}.blocks.{j}", block(spec, stage, H, W, attends=attends))
    costs |= under("head", head(spec.stages[-1].dim, spec.num_classes, H * W))
    return {path: cost for path, cost in costs.items() if cost != Cost()}


def total(spec: VariantSpec, img_size: tuple[int, int]) -> Cost:
    """Return the cost of the whole network for one image of H x W."""
    return add_up(by_module(spec, img_size))


def stem(in_chans: Size, mid_dim: Size, dim: Size, img_size: tuple[Size, Size]) -> ByModule:
    """`layers.Stem`."""
    H, W = half(img_size[0]), half(img_size[1])
    hw = half(H) * half(W)
    return {
        "conv1": conv(in_chans, mid_dim, 3, H * W),
        "norm1": norm(mid_dim, H * W),
        "act": elementwise(mid_dim * H * W),
        "conv2": conv(mid_dim, dim, 3, hw),
        "norm2": norm(dim, hw),
    }


def downsample(in_dim: Size, dim: Size, hw: Size) -> ByModule:
    """`layers.Downsample`, writing hw pixels."""
    return {"conv": conv(in_dim, dim, 3, hw), "norm": norm(dim, hw)}


def block(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, attends: bool) -> ByModule:
    """`pyramid.Block`: its branches, and one addition for each."""
    N, dim = H * W, stage.dim
    costs: ByModule = {}
    if spec.local == "dwsconv":
        costs |= under("local", dws_conv(dim, N))
    if attends:
        costs |= under("attn", saa(dim, stage.rate, H, W, spec.sampling))
    costs |= under(
        "ffn", ciffn(dim, stage.hidden_dim, N) if spec.ffn == "ciffn" else mlp(dim, stage.hidden_dim, N)
    )
    branches = (spec.local == "dwsconv") + attends + 1
    return costs | {"": elementwise(branches * dim * N)}


def blocks(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, depth: Size, attending: Size) -> Cost:
    """All blocks of a stage together: `depth` of them, `attending` with attention.

    Sizes of the stage (its `dim`, `hidden_dim`, `rate`) and both numbers may be arrays.
    """
    plain, attends = (add_up(block(spec, stage, H, W, attends=carries)) for carries in (False, True))
    return plain * (depth - attending) + attends * attending


def dws_conv(dim: Size, N: Size) -> ByModule:
    """`layers.DWSConv`."""
    return {
        "dw": dw_conv(dim, 3, N),
        "norm1": norm(dim, N),
        "act": elementwise(dim * N),
        "pw": conv(dim, dim, 1, N),
        "norm2": norm(dim, N),
    }


def saa(dim: Size, rate: Size, H: Size, W: Size, sampling: str) -> ByModule:
    """`saa.SAA`; where rate is 1 there is neither sampling nor recovery."""
    N, n = H * W, num_tokens(H, W, rate)
    sparse = (rate > 1) * 1
    return {
        "norm": norm(dim, N),
        **under("sample", {path: cost * sparse for path, cost in sample(dim, rate, N, n, sampling).items()}),
        "qkv": conv(dim, 3 * dim, 1, n, bias=True),
        "attend": attention(dim, n),
        "proj": conv(dim, dim, 1, n, bias=True),
        "recover": dw_transposed_conv(dim, rate, n) * sparse,
    }


def sample(dim: Size, rate: Size, N: Size, n: Size, sampling: str) -> ByModule:
    """`saa.AdaptiveSampler` and its ablations; scores are filled up to n r^2 pixels."""
    if sampling == "adaptive":
        filled = n * rate * rate
        return {"score": conv(dim, 1, 1, N), "": elementwise(filled + dim * N + dim * n)}
    return {"": elementwise(dim * n if sampling == "average" else 0)}


def ciffn(dim: Size, hidden_dim: Size, N: Size) -> ByModule:
    """`ciffn.CIFFN`."""
    return {
        "norm": norm(dim, N),
        "fc1": conv(dim, hidden_dim, 1, N, bias=True),
        "dw": dw_conv(hidden_dim, 3, N, bias=True),
        "act": elementwise(hidden_dim * N),
        "redistribute.decompose": conv(hidden_dim, 1, 1, N, bias=True),
        "redistribute.act": elementwise(N),
        "redistribute": Cost(params=hidden_dim, elementwise=hidden_dim * N),  # one interpolation
        "fc2": conv(hidden_dim, dim, 1, N, bias=True),
    }


def mlp(dim: Size, hidden_dim: Size, N: Size) -> ByModule:
    """`ciffn.MLP`."""
    return {
        "norm": norm(dim, N),
        "fc1": conv(dim, hidden_dim, 1, N, bias=True),
        "act": elementwise(hidden_dim * N),
        "fc2": conv(hidden_dim, dim, 1, N, bias=True),
    }


def head(dim: Size, num_classes: int, hw: Size) -> ByModule:
    """`layers.Head`."""
    classifier = {"fc": linear(dim, num_classes)} if num_classes else {}
    return {"norm": norm(dim, hw), "": elementwise(dim), **classifier}


@dataclass(frozen=True, kw_only=True)
class StageTokens:
    """What sampling leaves of one stage's attention."""

    height: int
    width: int
    sampled: int  # n

    @property
    def pixels(self) -> int:
        """N."""
        return self.height * self.width

    @property
    def sparsity(self) -> float:
        """Share of the dense N x N scores that is never computed: 1 - (n/N)^2."""
        return 1 - (self.sampled / self.pixels) ** 2


def tokens(spec: VariantSpec, img_size: tuple[int, int]) -> tuple[StageTokens, ...]:
    """Return map size, pixels and sampled tokens of each stage for an image of H x W."""
    H, W = stem_size(img_size)
    found = []
    for stage in spec.stages:
        found.append(StageTokens(height=H, width=W, sampled=num_tokens(H, W, stage.rate)))
        H, W = half(H), half(W)
    return tuple(found)


def dense_attention_macs(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return what the attention products alone would cost at r = 1 in every stage, in MACs."""
    per_stage = zip(spec.stages, tokens(spec, img_size), strict=True)
    return sum(sum(stage.attends) * attention(stage.dim, seen.pixels).macs for stage, seen in per_stage)


def num_tokens(H: Size, W: Size, rate: Size) -> Size:
    """n = ceil(H/r) ceil(W/r)."""
    return -(-H // rate) * -(-W // rate)


def half(size: Size) -> Size:
    """What a 3 x 3 convolution of stride 2 and padding 1 leaves of a length."""
    return (size + 1) // 2


def stem_size(img_size: tuple[int, int]) -> tuple[int, int]:
    """Return the map size after the stem."""
    return half(half(img_size[0])), half(half(img_size[1]))


def under(name: str, costs: ByModule) -> ByModule:
    """Prefix relative paths; the empty path is the module itself."""
    return {f"{name}.{path}" if path else name: cost for path, cost in costs.items()}


def add_up(costs: ByModule) -> Cost:
    """Add costs exactly."""
    return sum(costs.values(), Cost())
