"""The cost of a variant in closed form, module path by module path; no torch, no forward pass.

Each function stands beside the layer it mirrors (`saevit.model`) and reads like its `__init__`.
N = H W pixels, n = ceil(H/r) ceil(W/r) sampled tokens. Sizes may be ints or int64 arrays.
"""

from dataclasses import dataclass

from saevit.count.formulas import Cost, Size, attention, conv, dw_conv, elementwise, linear, norm
from saevit.variant import NUM_GROUPS, Stage, VariantSpec

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
            costs |= under(f"stages.{i}.downsample", conv_norm(spec.stages[i - 1].dim, stage.dim, 3, H * W))
        for j, attends in enumerate(stage.attends):
            costs |= under(f"stages.{i}.blocks.{j}", block(spec, stage, H, W, attends=attends))
    costs |= under("head", head(spec.stages[-1].dim, spec.num_classes))
    return {path: cost for path, cost in costs.items() if cost != Cost()}


def total(spec: VariantSpec, img_size: tuple[int, int]) -> Cost:
    """Return the cost of the whole network for one image of H x W, without a step for each block."""
    H, W = stem_size(img_size)
    found = add_up(stem(spec.in_chans, spec.stem_dim, spec.stages[0].dim, img_size))
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
            found += add_up(conv_norm(spec.stages[i - 1].dim, stage.dim, 3, H * W))
        found += blocks(spec, stage, H, W)
    return found + add_up(head(spec.stages[-1].dim, spec.num_classes))


def stem(in_chans: Size, mid_dim: Size, dim: Size, img_size: tuple[Size, Size]) -> ByModule:
    """`layers.Stem`."""
    H, W = half(img_size[0]), half(img_size[1])
    hw = half(H) * half(W)
    return {
        **under("conv1", conv_norm(in_chans, mid_dim, 3, H * W)),
        "act": elementwise(mid_dim * H * W),
        **under("conv2", conv_norm(mid_dim, dim, 3, hw)),
    }


def conv_norm(in_dim: Size, dim: Size, kernel: int, hw: Size, *, groups: Size = 1) -> ByModule:
    """`layers.ConvNorm`, writing hw pixels."""
    return {"conv": conv(in_dim, dim, kernel, hw, groups=groups), "norm": norm(dim, hw)}


def block(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, attends: bool) -> ByModule:
    """`pyramid.Block`: its branches, and one addition for each."""
    N, dim = H * W, stage.dim
    costs = under("attn", saa(spec, stage, H, W)) if attends else {}
    return costs | under("ffn", ffn(spec, stage, N)) | {"": elementwise((1 + attends) * dim * N)}


def blocks(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Cost:
    """All blocks of a stage together. Any size of the stage may be an array."""
    plain, attends = (add_up(block(spec, stage, H, W, attends=carries)) for carries in (False, True))
    return plain * (stage.depth - stage.attn_blocks) + attends * stage.attn_blocks


def saa(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> ByModule:
    """`saa.SAA`; where rate is 1 there is neither sampling nor recovery."""
    dim, N, n = stage.dim, H * W, num_tokens(H, W, stage.rate)
    keys = stage.num_heads * spec.key_dim
    sparse = (stage.rate > 1) * 1
    sampling = sample(spec.sampling, dim, N, n, n * stage.rate * stage.rate)
    return {
        "norm": norm(dim, N),
        **under("sample", {path: cost * sparse for path, cost in sampling.items()}),
        "qkv": conv(dim, 2 * keys + dim, 1, n, bias=True),
        "attend": attention(dim, keys, n),
        "proj": conv(dim, dim, 1, n, bias=True),
        "recover.dw": dw_conv(dim, 3, N, bias=True) * sparse,
    }


def sample(sampling: str, dim: Size, N: Size, n: Size, filled: Size) -> ByModule:
    """`saa.AdaptiveSampler` and its ablations; scores are filled up to n r^2 pixels."""
    if sampling == "adaptive":  # softmax, weighted map, sums
        return {"score": conv(dim, 1, 1, N), "": elementwise(filled + dim * N + dim * n)}
    if sampling == "mix":  # mean, maximum, two products, two sums
        return {"": Cost(params=3 * dim, elementwise=6 * dim * n)}
    return {"": elementwise(dim * n if sampling == "average" else 0)}


def ffn(spec: VariantSpec, stage: Stage, N: Size) -> ByModule:
    """`ciffn.CIFFN`, and `ciffn.MLP` without its aggregates."""
    dim, hidden_dim = stage.dim, stage.hidden_dim
    depth_wise = conv_norm(dim, dim, spec.kernel, N, groups=dim)
    costs = {
        **under("local", depth_wise if spec.local == "dwsconv" else {"": norm(dim, N)}),
        **under("fc1", conv_norm(dim, hidden_dim, 1, N)),
        "act": elementwise(hidden_dim * N),
        **under("fc2", conv_norm(hidden_dim, dim, 1, N)),
    }
    if spec.ffn == "mlp":
        return costs
    return costs | {
        **under("aggregate", conv_norm(dim, NUM_GROUPS, 1, N)),
        "act_a": elementwise(NUM_GROUPS * N),
        "redistribute": Cost(params=hidden_dim, elementwise=2 * hidden_dim * N),  # difference, multiply-add
    }


def head(dim: Size, num_classes: int) -> ByModule:
    """`layers.Head`."""
    classifier = {"fc": linear(dim, num_classes)} if num_classes else {}
    return {"": elementwise(dim), **classifier}


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
    return sum(
        stage.attn_blocks * attention(stage.dim, stage.num_heads * spec.key_dim, seen.pixels).macs
        for stage, seen in per_stage
    )


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
