"""Memory of inference in closed form: how many elements are alive at the worst moment of a forward pass.

It follows eager PyTorch step by step: every operator writes a new tensor, a tensor lives until the last name
that holds it goes, weights are counted apart. `peak.traced_peak` sees the same on the real network.
In half precision the window's scores stay in fp32, as indices are int64 always; where sampling is the worst
moment, twice the elements in bytes are then a little less than the truth. Sizes may be ints or int64 arrays.
"""

from functools import reduce

from saevit.count.cost import half, num_tokens, stem_size
from saevit.count.formulas import Size
from saevit.variant import NUM_GROUPS, Stage, VariantSpec


def peak_elements(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the largest number of activation elements alive at once for one image, the image included."""
    image = spec.in_chans * img_size[0] * img_size[1]
    H, W = stem_size(img_size)
    peaks = [image + stem_peak(spec.stem_dim, spec.stages[0].dim, img_size)]
    stage_input = spec.stages[0].dim * H * W
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
        held = image + stage_input  # the caller holds the stage's input until the stage returns
        peaks.append(held + stage_peak(spec, stage, H, W, downsamples=i > 0))
        stage_input = stage.dim * H * W
    peaks.append(image + head_peak(spec.stages[-1].dim, spec.num_classes, H * W))
    return largest(*peaks)


def stem_peak(mid_dim: Size, dim: Size, img_size: tuple[int, int]) -> Size:
    """Elements alive inside the stem beside the image."""
    H, W = stem_size(img_size)
    between, out = mid_dim * half(img_size[0]) * half(img_size[1]), dim * H * W
    return between + largest(between, 2 * out)


def head_peak(dim: Size, num_classes: int, hw: Size) -> Size:
    """Elements alive inside the head beside the image: its input, the mean of it, what it writes."""
    return dim * hw + dim + num_classes


def stage_peak(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, downsamples: bool) -> Size:
    """Elements alive inside one stage beside its input.

    The first block of the first stage is given the stage's input, every other block a map of its own.
    """
    F = stage.dim * H * W
    plain, attends = (block_peak(spec, stage, H, W, attends=carries) for carries in (False, True))
    all_attend = (stage.attn_blocks == stage.depth) * 1
    return largest(
        2 * F * downsamples,
        F * downsamples + plain + (attends - plain) * all_attend,
        (F + plain) * (stage.depth - stage.attn_blocks > 1),
        (F + attends) * (stage.attn_blocks > all_attend),
    )


def block_peak(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, attends: bool) -> Size:
    """Elements alive inside one block beside its input. After attention, x is a tensor of its own."""
    F, N = stage.dim * H * W, H * W
    ffn = ciffn_peak(F, stage.hidden_dim * N, N) if spec.ffn == "ciffn" else mlp_peak(F, stage.hidden_dim * N)
    return largest(saa_peak(spec, stage, H, W), F + ffn) if attends else ffn


def ciffn_peak(F: Size, hidden: Size, N: Size) -> Size:
    """t, u, a, difference and v while redistributing; v and two maps of F while projecting."""
    return F + hidden + largest(F, 2 * hidden + NUM_GROUPS * N)


def mlp_peak(F: Size, hidden: Size) -> Size:
    """t and two hidden maps while expanding; u and two maps of F while projecting."""
    return F + hidden + largest(F, hidden)


def saa_peak(spec: VariantSpec, stage: Stage, H: Size, W: Size) -> Size:
    """Norm and sampling; then attention on the tokens z; then recovery, while q, k and v are still held."""
    F, n, r = stage.dim * H * W, num_tokens(H, W, stage.rate), stage.rate
    tokens, filled = stage.dim * n, n * r * r
    qkv = (2 * stage.num_heads * spec.key_dim + stage.dim) * n
    attended = qkv + attention_peak(spec.key_dim, stage, n)
    z = F if spec.sampling == "stride" else tokens  # a strided view keeps the whole map alive
    sparse = largest(
        F + sampling_peak(spec.sampling, F, H * W, filled, tokens),
        z + attended,
        z + qkv + tokens + stage.dim * filled + F,
    )
    return sparse + (F + attended - sparse) * (r == 1)


def sampling_peak(sampling: str, F: Size, N: Size, filled: Size, tokens: Size) -> Size:
    """Elements alive while sampling beside the normalised map."""
    if sampling == "mix":
        return 4 * tokens  # weighted mean, maximum, and its indices in int64
    if sampling != "adaptive":
        return tokens if sampling == "average" else 0
    padded = (filled > N) * 1
    softmax = N + padded * filled + 2 * filled  # score, padded; two of its windows, their softmax, and back
    return largest(softmax, filled + F + tokens)


def attention_peak(key_dim: int, stage: Stage, n: Size) -> Size:
    """Elements alive in attention and projection beside z, and q, k, v as they are written.

    q, k and v are strided, so that PyTorch on a CPU multiplies matrices: scaled q and k, n x n scores of each
    head and their softmax. One token with values as wide as keys takes the fused kernel, which keeps one
    log-sum-exp a head. The projection is given a copy of y where heads, tokens and values are several.
    """
    heads, tokens, head_dim = stage.num_heads, stage.dim * n, stage.dim // stage.num_heads
    scaled, scores = heads * key_dim * n, heads * n * n
    products = scaled + scores + largest(scaled, scores, tokens)
    is_fused = (n == 1) & (head_dim == key_dim)
    is_copied = (heads > 1) & (n > 1) & (head_dim > 1)
    return largest(products + (tokens + heads - products) * is_fused, 2 * tokens + tokens * is_copied)


def largest(*sizes: Size) -> Size:
    """Return the largest size, element by element."""
    return reduce(lambda a, b: a + (b - a) * (b > a), sizes)
