"""Each layer of SAEViT once, as a list of operations; every count is a sum or a maximum over such lists.

There are two lists for one layer: of the defined form (`saevit.model`), whose operations eager PyTorch runs
one by one, and of the folded form (`model.fold`). Sizes are ints, or int64 arrays for many variants at once;
nothing is computed before a count asks for it. `cost` holds the counts, `explore.capacity` one more.

A map is (channels, height, width) for one image. x is what a layer is given, N = H W its pixels; SAA samples
n = ceil(H/r) ceil(W/r) tokens z of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from saevit.variant import NUM_GROUPS, NUM_STAGES, Stage, VariantSpec

Size = Any  # int, or numpy int64 array
Shape = tuple[Size, Size, Size]
Form = Literal["defined", "folded"]


class Op(NamedTuple):
    """One operation, with the sizes that all of its counts follow from.

    A contraction is a convolution, a linear layer or an attention product. The result of an inner operation
    stays inside the contraction after it. A view computes nothing; all else is element-wise.
    """

    path: str  # of the module that runs it, relative to the layer; "" is the layer itself
    kind: Literal["contraction", "inner", "elementwise", "view"]
    out: Shape  # the map that it writes
    fan_in: Size = 0  # products that are summed up in one element of a contraction's result
    weights: Size = 0  # parameters for one channel of the result
    steps: int = 1  # element-wise operations in a row that each write `out`
    reads: tuple[Shape, ...] = ()  # folded form: the maps that it reads
    held: tuple[Shape, ...] = ()  # defined form: other maps in memory while it runs, without x
    is_main: bool = False  # on the way of the signal: no side path, recovery or classifier
    times: Size = 1  # 0 where a rate of 1 leaves it out of some variants of an array

    @property
    def written(self) -> Size:
        """Elements of the result."""
        return count_elements(self.out)

    @property
    def params(self) -> Size:
        """Parameters."""
        return self.weights * self.out[0]

    @property
    def macs(self) -> Size:
        """Multiply-accumulates of a contraction."""
        return self.fan_in * self.written

    @property
    def activations(self) -> Size:
        """Elements written by a contraction."""
        return self.written if self.kind == "contraction" else 0

    @property
    def elementwise(self) -> Size:
        """Elements written by element-wise work."""
        return self.written * self.steps if self.kind == "elementwise" else 0

    @property
    def traffic(self) -> Size:
        """Elements that it reads and writes, weights included."""
        return sum(map(count_elements, self.reads), self.written) + self.params

    @property
    def live(self) -> Size:
        """Elements in memory while it runs, without x and the weights."""
        return sum(map(count_elements, self.held), self.written) if self.kind != "view" else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Operations that run `times` times: the stem, a downsampling, the head, or equal blocks of a stage."""

    path: str
    ops: list[Op]
    held: tuple[Shape, ...]  # the maps in memory while it runs, beside those of its operations
    own: Shape = (0, 0, 0)  # of blocks: one more such map, which only some blocks are given
    times: Size = 1
    first: Size | None = None  # of blocks: the number of the first one

    @property
    def paths(self) -> list[str]:
        """Paths of the modules that run the operations."""
        if self.first is None:
            return [self.path]
        return [f"{self.path}.{j}" for j in range(self.first, self.first + self.times)]


def count_elements(shape: Shape) -> Size:
    """Return the elements of a map."""
    channels, height, width = shape
    return channels * (height * width)


def describe_network(spec: VariantSpec, img_size: tuple[int, int], form: Form = "defined") -> list[Part]:
    """Return the parts of a whole network for one image of H x W, in the order in which they run."""
    parts, in_dim = [], spec.stem_dim
    for i, stage in enumerate(spec.stages):
        parts += describe_stage(spec, i, stage, in_dim, img_size, form)
        in_dim = stage.dim
    return parts


def describe_stage(
    spec: VariantSpec, i: int, stage: Stage, in_dim: Size, img_size: tuple[int, int], form: Form = "defined"
) -> list[Part]:
    """Return the parts of one stage; the stem is part of the first stage, the head of the last one.

    Args:
        spec: has the settings that the stages share.
        i: the stage, from 0.
        stage: its sizes; each may be an array.
        in_dim: channels of the stage before; for the first stage, those inside the stem.
        img_size: (H, W) of the image.
        form: of the network.
    """
    image, sizes = (spec.in_chans, *img_size), map_sizes(img_size)
    x = (stage.dim, *sizes[i])
    if i:
        before = (in_dim, *sizes[i - 1])
        held = (image, before)  # the stage's caller holds its input until the stage returns
        path = f"stages.{i}.downsample"
        parts = [Part(path=path, ops=conv_norm(before, x, 3, form), held=held)]
    else:
        held = (image, x)
        parts = [Part(path="stem", ops=stem(image, in_dim, x, form), held=(image,))]
    path, plain = f"stages.{i}.blocks", stage.depth - stage.attn_blocks
    for attends, times, first in ((False, plain, 0), (True, stage.attn_blocks, plain)):
        # Every block is given a map of its own, but the first block of the network the stage's input.
        owns = 1 if i else (times > ((plain == 0) == attends)) * 1
        ops = block(spec, stage, x, form, attends=attends)
        own = (stage.dim * owns, *sizes[i])
        parts.append(Part(path=path, ops=ops, held=held, own=own, times=times, first=first))
    if i == NUM_STAGES - 1:
        parts.append(Part(path="head", ops=head(x, spec.num_classes), held=(image, x)))
    return parts


def map_sizes(img_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return height and width of the four stages' maps, for an image of H x W."""
    sizes = [halve(halve(img_size))]
    while len(sizes) < NUM_STAGES:
        sizes.append(halve(sizes[-1]))
    return tuple(sizes)


def halve(size: tuple[int, int]) -> tuple[int, int]:
    """Return what a 3 x 3 convolution of stride 2 and padding 1 leaves of a height and a width."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def token_size(size: tuple[Size, Size], rate: Size) -> tuple[Size, Size]:
    """Return (ceil(H/r), ceil(W/r)): a row and a column of tokens."""
    return -(-size[0] // rate), -(-size[1] // rate)


# Layers. Each function reads like the `__init__` and `forward` of the module it is named after.


def conv(path: str, fan_in: Size, out: Shape, *, bias: bool = False, **rest: Any) -> Op:
    """A convolution or a linear layer; fan_in is k k C, or k k where it is depth-wise."""
    return Op(path=path, kind="contraction", out=out, fan_in=fan_in, weights=fan_in + bias, **rest)


def elementwise(path: str, out: Shape, **rest: Any) -> Op:
    """An operation that writes a map without contracting."""
    return Op(path=path, kind="elementwise", out=out, **rest)


def norm(path: str, x: Shape, held: tuple[Shape, ...] = ()) -> Op:
    """BatchNorm: a scale and a shift of each channel."""
    return elementwise(path, x, weights=2, held=held)


def conv_norm(
    x: Shape,
    out: Shape,
    kernel: int,
    form: Form,
    *,
    depth_wise: bool = False,
    is_main: bool = True,
    held: tuple[Shape, ...] = (),
) -> list[Op]:
    """`layers.ConvNorm`; folded, it is one convolution with bias."""
    fan_in = kernel**2 if depth_wise else kernel**2 * x[0]
    if form == "folded":
        return [conv("conv", fan_in, out, bias=True, reads=(x,))]
    return [conv("conv", fan_in, out, is_main=is_main, held=held), norm("norm", out, (*held, out))]


def within(path: str, ops: Iterable[Op], held: tuple[Shape, ...] = ()) -> list[Op]:
    """Put the operations of a layer under the path of its module, beside maps that its caller holds."""
    return [op._replace(path=f"{path}.{op.path}" if op.path else path, held=(*op.held, *held)) for op in ops]


def stem(image: Shape, mid_dim: Size, x: Shape, form: Form) -> list[Op]:
    """`layers.Stem`."""
    between = (mid_dim, *halve(image[1:]))
    ops = within("conv1", conv_norm(image, between, 3, form))
    if form == "defined":
        ops.append(elementwise("act", between, held=(between,)))
    return ops + within("conv2", conv_norm(between, x, 3, form), (between,))


def head(x: Shape, num_classes: int) -> list[Op]:
    """`layers.Head`, the same in both forms."""
    pooled = (x[0], 1, 1)
    ops = [elementwise("", pooled, reads=(x,))]
    if num_classes:
        fc = conv("fc", x[0], (num_classes, 1, 1), bias=True, reads=(pooled,), held=(pooled,))
        ops.append(fc)
    return ops


def block(spec: VariantSpec, stage: Stage, x: Shape, form: Form, *, attends: bool) -> list[Op]:
    """`pyramid.Block`: its branches, and the additions of their results."""
    if form == "folded":
        return (folded_saa(spec, stage, x) if attends else []) + folded_ffn(spec, stage, x)
    ops = within("attn", saa(spec, stage, x)) if attends else []
    own = (x,) * attends  # after attention, x is a map of the block's own
    ops += within("ffn", ffn(spec, stage, x), own)
    return [*ops, elementwise("", x, steps=1 + attends, held=(x, *own))]


def saa(spec: VariantSpec, stage: Stage, x: Shape) -> list[Op]:
    """`saa.SAA`: normalise, sample, attend, recover."""
    dim, heads, size = stage.dim, stage.num_heads, token_size(x[1:], stage.rate)
    n, head_dim = size[0] * size[1], dim // heads
    z = y = (dim, *size)
    z_held = x if spec.sampling == "stride" else z  # a strided view keeps the whole map in memory
    qkv = (2 * heads * spec.key_dim + dim, *size)
    # q, k and v are strided, so PyTorch on a CPU multiplies matrices: scaled q and k, n x n scores of each
    # head and their softmax. One token with values as wide as keys takes the fused kernel, which keeps one
    # log-sum-exp of each head. The projection is given a copy of y where heads, tokens, values are several.
    is_fused, is_copied = (n == 1) & (head_dim == spec.key_dim), (heads > 1) & (n > 1) & (head_dim > 1)
    scaled, scores, copy = (heads * (1 - is_fused), spec.key_dim, n), (heads, n, n), (dim * is_copied, *size)
    inner = (z_held, qkv, scaled, scores)
    wide = (dim, size[0] * stage.rate, size[1] * stage.rate)
    return [
        norm("norm", x),
        *only_sparse(stage, within("sample", sample(spec.sampling, x, z, wide))),
        conv("qkv", dim, qkv, bias=True, is_main=True, held=(z_held,)),
        Op(path="attend", kind="inner", out=scores, fan_in=spec.key_dim, held=(z_held, qkv, scaled, scaled)),
        Op(path="attend", kind="inner", out=scores, held=inner),  # softmax
        Op(path="attend", kind="contraction", out=y, fan_in=n, held=inner),
        conv("proj", dim, y, bias=True, is_main=True, held=(z_held, qkv, y, copy)),
        *only_sparse(stage, [conv("recover.dw", 9, x, bias=True, held=(z_held, qkv, y, wide))]),
    ]


def folded_saa(spec: VariantSpec, stage: Stage, x: Shape) -> list[Op]:
    """`fold.FoldedSAA`: q k^T, its softmax and the product with v each write what the next one reads."""
    dim, heads, size = stage.dim, stage.num_heads, token_size(x[1:], stage.rate)
    n = size[0] * size[1]
    z, keys, scores = (dim, *size), (heads * spec.key_dim, *size), (heads, n, n)
    wide = (dim, size[0] * stage.rate, size[1] * stage.rate)
    recover = conv("recover", 9, x, bias=True, reads=(x,))
    return [
        *only_sparse(stage, folded_sample(spec.sampling, x, z, wide)),
        conv("qkv", dim, (2 * keys[0] + dim, *size), bias=True, reads=(z,)),
        Op(path="", kind="inner", out=scores, fan_in=spec.key_dim, reads=(keys, keys)),
        Op(path="", kind="inner", out=scores, reads=(scores,)),
        Op(path="", kind="contraction", out=z, fan_in=n, reads=(scores, z)),
        conv("proj", dim, z, bias=True, reads=(z, x)),  # x is added here, or in the recovery
        *only_sparse(stage, [recover]),
    ]


def only_sparse(stage: Stage, ops: list[Op]) -> list[Op]:
    """Leave sampling and recovery out where attention is dense."""
    if not getattr(stage.samples, "ndim", 0):  # all variants alike
        return ops if stage.samples else []
    return [op._replace(times=stage.samples * 1) for op in ops]


def sample(sampling: str, x: Shape, z: Shape, wide: Shape) -> list[Op]:
    """`saa.AdaptiveSampler` and its ablations, given the normalised map; `wide` are whole windows."""
    if sampling == "adaptive":
        score, weights = (1, *x[1:]), (1, *wide[1:])
        padded = ((count_elements(weights) > count_elements(score)) * 1, *wide[1:])
        return [
            conv("score", x[0], score, held=(x,)),
            elementwise("", weights, held=(x, score, padded, weights)),  # softmax
            elementwise("", x, held=(x, weights)),  # weighted map
            elementwise("", z, held=(x, weights, x)),  # sums
        ]
    if sampling == "mix":  # mean, maximum with indices in int64, two products, two sums
        return [elementwise("", z, weights=3, steps=6, held=(x, z, z, z))]
    if sampling == "average":
        return [elementwise("", z, held=(x,))]
    return [Op(path="", kind="view", out=z)]


def folded_sample(sampling: str, x: Shape, z: Shape, wide: Shape) -> list[Op]:
    """`fold.FoldedSampler`."""
    if sampling == "adaptive":
        score, weights = (1, *x[1:]), (1, *wide[1:])
        return [
            conv("score", x[0], score, reads=(x,)),
            elementwise("", weights, reads=(weights,)),
            elementwise("", x, reads=(x, score)),
            elementwise("", z, reads=(wide,)),
        ]
    pool = elementwise("", z, reads=(x,))
    if sampling == "mix":  # mean, and maximum of the signed map, each scaled by channel; their sum
        sign, scale = elementwise("", x, weights=1, reads=(x,)), elementwise("", z, weights=1, reads=(z,))
        return [pool, scale, sign, pool, scale, elementwise("", z, reads=(z, z))]
    return [pool] if sampling == "average" else []


def ffn(spec: VariantSpec, stage: Stage, x: Shape) -> list[Op]:
    """`ciffn.CIFFN`, and `ciffn.MLP` without its aggregates."""
    t, u, a = x, (stage.hidden_dim, *x[1:]), (NUM_GROUPS, *x[1:])
    form: Form = "defined"
    local = conv_norm(x, t, spec.kernel, form, depth_wise=True) if spec.local == "dwsconv" else [norm("", t)]
    ops = [
        *within("local", local),
        *within("fc1", conv_norm(t, u, 1, form), (t,)),
        elementwise("act", u, held=(t, u)),
        *within("fc2", conv_norm(u, x, 1, form), (u,)),
    ]
    if spec.ffn == "ciffn":
        ops += [
            *within("aggregate", conv_norm(t, a, 1, form, is_main=False), (t, u)),
            elementwise("act_a", a, held=(t, u, a)),
            elementwise("redistribute", u, weights=1, steps=2, held=(t, u, a, u)),  # difference; v
        ]
    return [*ops, Op(path="", kind="view", out=x)]  # in the order of the modules, so the result is named


def folded_ffn(spec: VariantSpec, stage: Stage, x: Shape) -> list[Op]:
    """`fold.FoldedFFN`: the aggregates are channels beside the hidden ones."""
    u = (stage.hidden_dim + NUM_GROUPS * (spec.ffn == "ciffn"), *x[1:])
    local = conv_norm(x, x, spec.kernel, "folded", depth_wise=True) if spec.local == "dwsconv" else []
    return [
        *within("local", local),
        conv("fc1", x[0], u, bias=True, reads=(x,)),
        conv("fc2", u[0], x, bias=True, reads=(u, x)),  # x is added here
    ]
